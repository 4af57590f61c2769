"""Which tokens of a language model's rows are scored, and how many there are."""

from __future__ import annotations

from typing import Any

from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import record

# Part of the report's ``dataset``, absent for other tasks.
TOKENS = record(
    "n_total positive_count, mean_row amount, longest_row positive_count, n_truncated optional_count, "
    "max_length optional_count",
    n_scored=record("members positive_count, non_members positive_count, population count"),
    description="Of the audited rows: scored tokens by side, all tokens with those of prompts, the length of a row, "
    "and how many rows were cut at max_length.",
)


def token_facts(report: Report) -> list[tuple[str, str]]:
    """Give what data and split have of tokens."""
    tokens = report.dataset.get("tokens")
    if tokens is None:
        return []
    scored, cut = tokens["n_scored"], tokens["n_truncated"]
    at = "" if tokens["max_length"] is None else f", at {tokens['max_length']:,} tokens"
    return [
        ("Scored tokens: members, non-members, population", ", ".join(f"{count:,}" for count in scored.values())),
        ("Tokens in all", f"{tokens['n_total']:,}"),
        ("Tokens of a row: mean, longest", f"{tokens['mean_row']:.3g}, {tokens['longest_row']:,}"),
        ("Rows cut", "not counted" if cut is None else f"{cut:,}{at}"),
    ]


def shown(report: Report) -> dict[str, Any]:
    """Give what the card's first lines say of the training data, and of what is a member."""
    tokens = report.dataset.get("tokens")
    if tokens is None:
        n_classes = report.dataset.get("n_classes")  # a table that scores the true class alone may name none
        return {"about": "classes not known" if n_classes is None else f"{n_classes:,} classes", "unit": None}
    unit = report.split.get("unit")
    done = "scored" if _is_foreign(report) else "trained on and scored"
    cut = " Rows that were cut have none." if tokens["n_truncated"] else ""
    return {
        "about": f"{tokens['n_scored']['members']:,} scored tokens",
        "unit": f"The unit of privacy is {'one row' if unit is None else f'all rows of one {unit}'}. The end-of-text "
        f"token is {done}.{cut}",
    }


def _is_foreign(report: Report) -> bool:
    """Whether another trainer wrote the model: then nobody here knows which tokens it was trained on."""
    return report.defense["name"] == "unknown"


def meaning(report: Report) -> list[str]:
    tokens = report.dataset.get("tokens")
    if tokens is None:
        return []
    unit = report.split.get("unit")
    whole = (
        "Whether a row was trained on is what the attacks tell"
        if unit is None
        else f"Rows were drawn by {unit}, so the attacks tell whose rows were trained on"
    )
    sentence = (
        f"{whole}. Of each row the tokens that were trained on are scored, which are a completion's, an answer's or "
        "the whole text's, and the end-of-text token with them; a prompt's are not."
    )
    if _is_foreign(report):
        sentence = (
            f"{whole}. Of each row the tokens of a completion, an answer or the whole text are scored, and the "
            "end-of-text token with them. Which of them the model was trained on is not known: another trainer wrote "
            "it."
        )
    if not tokens["n_truncated"]:
        return [sentence]
    return [
        f"{sentence} {tokens['n_truncated']:,} rows were cut at {tokens['max_length']:,} tokens: of what came after, "
        f"their end too, nothing was {'scored' if _is_foreign(report) else 'trained on or scored'}."
    ]
