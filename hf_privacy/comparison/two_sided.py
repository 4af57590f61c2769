"""Attacks on a defended model read from both sides, over the seeds of a comparison or the targets of one audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.auditing.targets import two_sided_mean_area, two_sided_mean_rate
from hf_privacy.comparison.figures import over_targets
from hf_privacy.hub.evidence import tpr_at


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
        ``auc``, ``tpr`` (None where not resolved) and, where groups are the unit, ``by_group``, each with its
        ``side`` and an interval that covers the choice of it (see `hf_privacy.statistics.two_sided`). None where a
        report was read one-sided.
    """
    if any("two_sided" not in attack for attack in found):
        return None
    figures: dict[str, Any] = {
        "auc": two_sided_mean_area([attack["auc"] for attack in found], confidence=confidence),
        "tpr": None,
    }
    high = [entry["tpr"] for attack in found if (entry := tpr_at(attack, fpr=fpr))]
    low = [entry["low_tail"] for attack in found if (entry := tpr_at(attack["two_sided"], fpr=fpr))]
    if len(high) == len(low) == len(found):
        figures["tpr"] = two_sided_mean_rate(high, low, confidence=confidence)
    if all("by_group" in attack for attack in found):
        grouped = [attack["by_group"]["auc"] for attack in found]
        figures["by_group"] = two_sided_mean_area(grouped, confidence=confidence)
    return figures


def two_sided_over_targets(entry: dict[str, Any], fpr: float) -> dict[str, Any] | None:
    """Take the same over targets out of one report; None where it was read one-sided.

    Examples
    --------
    >>> both = {"auc": {"mean": 0.75, "low": 0.5, "high": 1.0, "side": "low"}, "tpr_at_fpr": []}
    >>> two_sided_over_targets({"two_sided": both}, 0.1)["auc"]["side"]
    'low'
    """
    read = entry.get("two_sided")
    if read is None:
        return None
    rate = next((found for found in read["tpr_at_fpr"] if abs(found["fpr"] - fpr) < 1e-12), None)
    return {
        name: None if found is None else {**(over_targets(found) or {}), "side": found["side"]}
        for name, found in (("auc", read["auc"]), ("tpr", rate))
    }
