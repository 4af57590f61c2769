"""Whether an audit about to be made would put a weaker report in the place of a stronger one."""

from __future__ import annotations

from collections.abc import Iterable

from hf_privacy.attack_table import EXTRA_ATTACKS
from hf_privacy.auditing.assemble import weights_hash
from hf_privacy.auditing.case import AuditCase
from hf_privacy.auditing.examination import Examination
from hf_privacy.auditing.examinations import EXAMINATIONS
from hf_privacy.hub import REPORT_NAME
from hf_privacy.hub.strength import Strength, refuse_weaker

# Attacks that an audit makes where it is asked to; the others follow from its depth.
_ON_REQUEST = (*EXTRA_ATTACKS, "curvature")


def refuse_weaker_audit(case: AuditCase, examinations: Iterable[Examination]) -> None:
    """Refuse, before any training, settings whose report would say less of the same weights than the one there.

    Raises
    ------
    InputError
        Says in what the report would be weaker.
    """
    if not (case.output_dir / REPORT_NAME).is_file():
        return
    settings = case.settings
    planned = Strength(
        depth=settings.depth,
        references=settings.references if settings.depth == "full" else 0,
        confidence=settings.confidence,
        fprs=frozenset(settings.fprs),
        attacks=frozenset({*settings.extra_attacks, *(["curvature"] if settings.curvature else [])}),
        sections=settings.sections | {made.name for made in examinations if made.name not in EXAMINATIONS},
    )
    refuse_weaker(case.output_dir, weights_hash(case.model, case.folder), planned, attacks=_ON_REQUEST)
