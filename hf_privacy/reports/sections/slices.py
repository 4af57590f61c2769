"""Leakage of the strongest attack by class."""

from __future__ import annotations

from typing import Any

from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import AUC, listed, nullable, record

# One attack within a part of the examples, as by class and by memorization.
# One attack within a part of the examples, as by class and by memorization.
PART = (
    f"attack name, n_members positive_count, n_nonmembers positive_count, {AUC}, confidence open_unit, fpr unit, "
    "tpr unit, tpr_low unit, tpr_high unit"
)
UNRESOLVED = "fpr tpr tpr_low tpr_high"
FIELDS = {
    "class_slices": nullable(
        listed(
            record(
                f"class text, {PART}",
                optional=UNRESOLVED,
                description="One attack within one class; the TPR is at the FPR among the non-members of all "
                "classes, its interval covers the chance in the threshold.",
            ),
            most=2000,
        )
    )
}


def shown(report: Report) -> dict[str, Any]:
    return {"class_of": lambda row: row["class"]}
