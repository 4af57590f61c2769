"""What the model is worth: accuracy and mean loss on members and non-members."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult

from hf_privacy.reports.model_index import HELD_OUT_SPLIT, result
from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import ESTIMATE, record

SHAPES = {"estimate": record(ESTIMATE)}
FIELDS = {
    "utility": record(
        "member_accuracy estimate, nonmember_accuracy estimate, member_loss number, nonmember_loss number"
    )
}


def shown(report: Report) -> dict[str, Any]:
    utility = report.utility
    rows = [
        ("Held out (non-members)", utility["nonmember_accuracy"], utility["nonmember_loss"]),
        ("Training (members)", utility["member_accuracy"], utility["member_loss"]),
    ]
    return {"utility": rows}


def results(report: Report, dataset: dict[str, Any]) -> list[EvalResult]:
    """Give the accuracy on held-out examples as the Hub lists results."""
    found = report.utility["nonmember_accuracy"]
    title = "Accuracy on held-out examples"
    return [result(dataset, HELD_OUT_SPLIT, "accuracy", title, found["value"], low=found["low"], high=found["high"])]
