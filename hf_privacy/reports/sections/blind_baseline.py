"""How well members and non-members are told apart without the model: a split that leaks by itself."""

from __future__ import annotations

from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import AUC, nullable, record
from hf_privacy.reports.words import area

FIELDS = {
    "blind_baseline": nullable(
        record(f"{AUC}, confidence open_unit, differs boolean"),
        "Members against non-members by their inputs alone; an AUC above 0.5 is a leaky split.",
    )
}


def words(report: Report) -> str:
    """Give the AUC by the inputs alone."""
    return "not tried" if report.blind_baseline is None else f"AUC {area(report.blind_baseline)}"
