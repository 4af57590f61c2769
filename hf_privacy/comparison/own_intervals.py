"""Each audit's own figures beside the means over seeds: intervals over the examples, or groups, of one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.comparison.cells import aligned, area_cell, attack_title, rate_cell, row_title, side_mark
from hf_privacy.comparison.figures import Figure, over_seeds
from hf_privacy.hub.evidence import tpr_at
from hf_privacy.reports.words import percent


def own_figures(found: Sequence[dict[str, Any]], fpr: float) -> list[dict[str, Any]]:
    """Give AUC and TPR of each report's attack as its own audit has them, with its own intervals.

    Returns
    -------
    list of dict
        Per report ``auc`` with ``value``, ``low`` and ``high``, and ``tpr`` with the same, None where not resolved;
        each with its ``side`` where the attack was read from both.
    """
    own = []
    for attack in found:
        rate = tpr_at(attack, fpr=fpr)
        area = {"value": attack["auc"], "low": attack["auc_low"], "high": attack["auc_high"]}
        share = None if rate is None else {"value": rate["tpr"], "low": rate["low"], "high": rate["high"]}
        if "side" in attack:
            area["side"] = attack["side"]
        if rate is not None and share is not None and "side" in rate:
            share["side"] = rate["side"]
        own.append({"auc": area, "tpr": share})
    return own


def over_groups(found: Sequence[dict[str, Any]], confidence: float) -> Figure | None:
    """Give the mean AUC with which whole groups are told apart; None where a report has no groups."""
    if any("by_group" not in attack for attack in found):
        return None
    return over_seeds([attack["by_group"]["auc"] for attack in found], confidence)


def own_intervals_part(table: dict[str, Any]) -> list[str]:
    """Write the first attack's figures of every audit, where the rows hold them."""
    name = table["attacks"][0]
    rows = [row for row in table["rows"] if "audits" in row["attacks"].get(name, {})]
    if not rows:
        return []
    title = attack_title(name, table["rows"])
    shares = f"TPR@{percent(table['fpr']).replace(' ', '')}"
    audits = [f"seed {seed}" for seed in table["seeds"]] if len(table["seeds"]) > 1 else ["the trained model"]
    headers = ["Defence", *(f"{what}, {which}" for which in audits for what in ("AUC", shares))]
    lines = [
        [row_title(row), *(cell for audit in row["attacks"][name]["audits"] for cell in _cells(audit))] for row in rows
    ]
    unit = table["split"].get("unit")
    over = "its examples" if unit is None else f"its groups by {unit!r}"
    return [
        f"{title} in each audit by itself [{percent(table['confidence'])} interval of that audit, over {over}].",
        aligned(headers, lines),
    ]


def _cells(audit: dict[str, Any]) -> list[str]:
    """AUC and TPR of one audit, each with the mark of its side."""
    cells = []
    for name, write in (("auc", area_cell), ("tpr", rate_cell)):
        found = audit[name]
        figure = None if found is None else {"mean": found["value"], "low": found["low"], "high": found["high"]}
        cells.append(write(figure) + side_mark(found))
    return cells
