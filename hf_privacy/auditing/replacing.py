"""Whether an audit about to be made would put a weaker report in the place of a stronger one."""

from __future__ import annotations

from pathlib import Path

import torch

from hf_privacy.attack_table import EXTRA_ATTACKS
from hf_privacy.auditing.assemble import weights_hash
from hf_privacy.hub import REPORT_NAME
from hf_privacy.hub.strength import Strength, refuse_weaker
from hf_privacy.recipe import AuditSettings

# Attacks that an audit makes where it is asked to; the others follow from its depth.
_ON_REQUEST = (*EXTRA_ATTACKS, "curvature")
_SECTIONS = {"targets": lambda options: options.targets > 1, "robustness": lambda options: options.robustness,
             "canaries": lambda options: options.canaries}  # fmt: skip


def refuse_weaker_audit(
    output_dir: str | Path, model: torch.nn.Module, folder: Path | None, options: AuditSettings
) -> None:
    """Refuse, before any training, settings whose report would say less of the same weights than the one there.

    Parameters
    ----------
    output_dir : path
        Where the report would go.
    model, folder
        The target, and the folder it is saved in, if it is.
    options : AuditSettings

    Raises
    ------
    InputError
        Says in what the report would be weaker.
    """
    if not (Path(output_dir) / REPORT_NAME).is_file():
        return
    made = {*options.extra_attacks, *(["curvature"] if options.curvature else [])}
    planned = Strength(
        depth=options.depth,
        references=options.references if options.depth == "full" else 0,
        confidence=options.confidence,
        fprs=frozenset(options.fprs),
        attacks=frozenset(made),
        sections=frozenset(name for name, is_made in _SECTIONS.items() if is_made(options)),
    )
    refuse_weaker(output_dir, weights_hash(model, folder), planned, attacks=_ON_REQUEST)
