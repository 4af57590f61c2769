"""Attacks on a defended model read from both sides, over the seeds of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.comparison.figures import Figure, over_seeds
from hf_privacy.hub.evidence import tpr_at
from hf_privacy.statistics.two_sided import HIGH, LOW, half_the_risk, two_sided_area


def two_sided_figures(found: Sequence[dict[str, Any]], fpr: float, confidence: float) -> dict[str, Any] | None:
    """Give the means over seeds from the side that tells more on average, one side for all seeds.

    Parameters
    ----------
    found : sequence of dict
        One attack's entry in each report.
    fpr : float
    confidence : float

    Returns
    -------
    dict or None
        ``auc``, ``tpr`` and, where groups are the unit, ``by_group``, each with its ``side`` and an interval that
        covers the choice of it (see `hf_privacy.statistics.two_sided`). None where a report was read one-sided.
    """
    if any("two_sided" not in attack for attack in found):
        return None
    figures = {"auc": _area([attack["auc"] for attack in found], confidence), "tpr": _rate(found, fpr, confidence)}
    if all("by_group" in attack for attack in found):
        figures["by_group"] = _area([attack["by_group"]["auc"] for attack in found], confidence)
    return figures


def _area(values: Sequence[float], confidence: float) -> Figure:
    one_sided = over_seeds(values, confidence) or {}
    side, mean, low, high = two_sided_area(*(one_sided[key] for key in ("mean", "low", "high")))
    turned = [value if side == HIGH else 1.0 - value for value in values]
    return {"values": turned, "mean": mean, "low": low, "high": high, "side": side}


def _rate(found: Sequence[dict[str, Any]], fpr: float, confidence: float) -> Figure | None:
    high, low = [tpr_at(attack, fpr=fpr) for attack in found], [tpr_at(a["two_sided"], fpr=fpr) for a in found]
    tails: list[Figure] = []
    for values in ([entry and entry["tpr"] for entry in high], [entry and entry["low_tail"] for entry in low]):
        figure, corrected = over_seeds(values, confidence), over_seeds(values, half_the_risk(confidence))
        if figure is None or corrected is None:
            return None
        tails.append({**figure, "low": corrected["low"]})
    better = max(tails, key=lambda tail: tail["mean"])
    return {
        **better,
        **{end: max(tail[end] for tail in tails) for end in ("low", "high")},
        "side": HIGH if better is tails[0] else LOW,
    }
