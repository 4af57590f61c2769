"""What the model is worth on members and non-members: accuracy and mean loss; of a language model perplexity."""

from __future__ import annotations

import math
from typing import Any

from huggingface_hub import EvalResult

from hf_privacy.reports.model_index import HELD_OUT_SPLIT, result
from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import ESTIMATE, either, of_sides, record
from hf_privacy.reports.words import rate

SHAPES = {
    "estimate": record(ESTIMATE),
    "perplexity_estimate": record(
        "value perplexity, low perplexity, high perplexity",
        description="The exponential of the mean loss over tokens; rows, or groups of them, are what is drawn.",
    ),
}
FIELDS = {
    "utility": either(
        "member_perplexity",
        record(of_sides(loss="amount", perplexity="perplexity_estimate", token_accuracy="estimate")),
        record(
            "member_accuracy estimate, nonmember_accuracy estimate, member_loss number, nonmember_loss number",
            # What a table that scores the true class alone does not tell.
            optional="member_accuracy nonmember_accuracy",
        ),
    )
}
_SIDES = {"nonmember": "Held out (non-members)", "member": "Training (members)"}


def is_of_language_model(report: Report) -> bool:
    """Whether the model was worth something in perplexity."""
    return "member_perplexity" in report.utility


def shown(report: Report) -> dict[str, Any]:
    """Give title, headers, and rows of cells with their intervals."""
    headers, cells = ["Accuracy", "Mean loss [nats]"], _of_classifier
    if is_of_language_model(report):
        headers, cells = ["Perplexity", "Loss [nats a token]", "Greedy hits"], _of_language_model
    elif not _has_accuracy(report):
        headers = headers[1:]
    rows = [(title, cells(report.utility, side)) for side, title in _SIDES.items()]
    return {"utility": {"headers": headers, "rows": rows}}


def _has_accuracy(report: Report) -> bool:
    return "member_accuracy" in report.utility


def _of_classifier(utility: dict[str, Any], side: str) -> list[tuple[str, str]]:
    accuracy = [_percent(utility[f"{side}_accuracy"])] if f"{side}_accuracy" in utility else []
    return [*accuracy, (f"{utility[f'{side}_loss']:.4g}", "")]


def _of_language_model(utility: dict[str, Any], side: str) -> list[tuple[str, str]]:
    perplexity = [utility[f"{side}_perplexity"][key] for key in ("value", "low", "high")]
    return [
        _number(*perplexity),
        _number(utility[f"{side}_loss"], *map(math.log, perplexity[1:])),
        _percent(utility[f"{side}_token_accuracy"]),
    ]


def _percent(found: dict[str, float]) -> tuple[str, str]:
    value, interval = rate(found["value"], found["low"], found["high"])
    return f"{value} %", interval


def _number(value: float, low: float, high: float) -> tuple[str, str]:
    return f"{value:.4g}", f"[{low:.4g}, {high:.4g}]"


def lines(report: Report) -> str | None:
    """Give perplexity beside the attacks; a classifier's accuracy is on page and card alone."""
    if not is_of_language_model(report):
        return None
    sides = [
        f"{title.lower()} {' '.join(_of_language_model(report.utility, side)[0])}" for side, title in _SIDES.items()
    ]
    return f"Perplexity: {'; '.join(sides)}"


def meaning(report: Report) -> list[str]:
    if not is_of_language_model(report):
        return []
    return [
        "Perplexity is the exponential of the mean loss over scored tokens: 1 is a model that is sure and right, and "
        "guessing evenly is as many as the vocabulary has tokens. Greedy hits are the share of tokens that the model "
        "finds likeliest. Their intervals hold for other rows, or groups of rows, of the same kind."
    ]


def metrics(report: Report) -> list[str]:
    """Name what the card's metadata says the model is measured by."""
    if is_of_language_model(report):
        return ["perplexity"]
    return ["accuracy"] if _has_accuracy(report) else []


def results(report: Report, dataset: dict[str, Any]) -> list[EvalResult]:
    """Give what the model is worth on held-out examples as the Hub lists results."""
    names = {"accuracy": "Accuracy"} if _has_accuracy(report) else {"loss": "Mean loss in nats"}
    if is_of_language_model(report):
        names = {"perplexity": "Perplexity", "loss": "Loss in nats a token"}
    found = []
    for name, title in names.items():
        value, ends = report.utility[f"nonmember_{name}"], {}
        if isinstance(value, dict):
            value, ends = value["value"], {key: value[key] for key in ("low", "high")}
        found.append(result(dataset, HELD_OUT_SPLIT, name, f"{title} on held-out examples", value, **ends))
    return found
