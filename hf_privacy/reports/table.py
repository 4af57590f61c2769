"""The report as plain text for terminals."""

from __future__ import annotations

from hf_privacy.reports.report import Report
from hf_privacy.reports.sections import (
    canaries,
    extraction,
    leakage_share,
    memorization,
    memorized,
    outside,
    robustness,
    targets,
    unlearning,
    utility,
    verdict,
)
from hf_privacy.reports.sections.attack_table import attack_table
from hf_privacy.reports.sections.attacks import shown_attacks
from hf_privacy.reports.sections.evidence import evidence_sentence
from hf_privacy.reports.words import wrapped

_BELOW = (
    utility,
    targets,
    memorized,
    memorization,
    robustness,
    leakage_share,
    extraction,
    canaries,
    unlearning,
    outside,
)


def table(report: Report) -> str:
    """Lay a report out as plain text of at most 100 columns: the verdict, the attacks, then what else it has."""
    attacks = "\n".join([attack_table(shown_attacks(report)), *wrapped(evidence_sentence(vars(report)))])
    more = [section.lines(report) for section in _BELOW]
    return "\n\n".join([verdict.lines(report), attacks, *filter(None, more)])
