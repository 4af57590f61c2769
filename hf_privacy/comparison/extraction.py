"""How much of its training texts each language model of a comparison gives back: columns beside its leakage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.comparison.cells import points_cell, rate_cell
from hf_privacy.comparison.figures import Figure, minus, over_examples, over_seeds


def extraction_part(
    reports: Sequence[dict[str, Any]], confidence: float, *, by_targets: bool
) -> dict[str, Figure | None] | None:
    """Gather what greedy decoding gives back word for word.

    Returns
    -------
    dict or None
        ``members`` and ``heldout``, shares of rows, and ``leakage``: members less held-out rows, less the same of the
        base where there is one. Over seeds; of the trained model alone, with its interval over examples, where a
        comparison is over targets. None where a report has no extraction.
    """
    found = [report.get("extraction") for report in reports]
    if None in found:
        return None
    greedy = [extraction["greedy"] for extraction in found if extraction is not None]
    if by_targets:
        return {
            **{side: over_examples(greedy[0][side], "rate") for side in ("members", "heldout")},
            "leakage": over_examples(greedy[0]["leakage"]),
        }
    return {
        **{side: over_seeds([entry[side]["rate"] for entry in greedy], confidence) for side in ("members", "heldout")},
        "leakage": over_seeds([entry["leakage"]["value"] for entry in greedy], confidence, within=(-2.0, 2.0)),
    }


def extraction_difference(row: dict[str, Any], other: dict[str, Any], confidence: float) -> Figure | None:
    """Give how much more of members than of held-out rows one row gives back than another."""
    mine, theirs = row.get("extraction"), other.get("extraction")
    if mine is None or theirs is None:
        return None
    return minus(mine["leakage"], theirs["leakage"], confidence, within=(-4.0, 4.0))


def extraction_headers(table: dict[str, Any]) -> list[str]:
    """Give the columns' titles, where any row has them."""
    return ["Given back greedily", "less held-out"] if _has_any(table) else []


def extraction_cells(row: dict[str, Any], table: dict[str, Any]) -> list[str]:
    """Give one row's cells."""
    if not _has_any(table):
        return []
    found = row.get("extraction") or {"members": None, "leakage": None}
    return [rate_cell(found["members"]), points_cell(found["leakage"])]


def extraction_note(table: dict[str, Any]) -> list[str]:
    """Say what the columns are."""
    if not _has_any(table):
        return []
    return [
        "Given back greedily: the share of members' texts whose rest greedy decoding gives word for word; less "
        "held-out: less that of non-members, and less the same of the base model, in percentage points."
    ]


def _has_any(table: dict[str, Any]) -> bool:
    return any(row.get("extraction") for row in table["rows"])
