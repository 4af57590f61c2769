"""How well members and non-members are told apart without the model: a split that leaks by itself."""

from __future__ import annotations

from hf_privacy.hub.headline import blind_inputs
from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import AUC, nullable, record
from hf_privacy.reports.words import area

FIELDS = {
    "blind_baseline": nullable(
        record(f"{AUC}, confidence open_unit, differs boolean, base_loss boolean", optional="base_loss"),
        "Members against non-members by their inputs alone, of texts also by the base model's loss (base_loss); an "
        "AUC above 0.5 is a leaky split.",
    )
}


def words(report: Report) -> str:
    """Give the AUC, and of texts what it is by."""
    found = report.blind_baseline
    if found is None:
        return "not tried"
    return f"AUC {area(found)}" + (f", by {blind_inputs(found)}" if found.get("base_loss") else "")
