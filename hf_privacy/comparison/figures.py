"""The figures of a comparison: means with intervals over seeds or over one audit's targets, and their differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.auditing import mean_interval

Figure = dict[str, Any]


def over_seeds(
    values: Sequence[float | None], confidence: float, *, within: tuple[float, float] = (0.0, 1.0)
) -> Figure | None:
    """Give the mean and Student t interval of one value a seed; None where a seed has none.

    ``within`` is where the figure can lie, which its interval does not leave.

    Returns
    -------
    dict or None
        ``values``, ``mean``, ``low``, ``high``.

    Examples
    --------
    >>> over_seeds([0.5, 0.7], 0.95)["mean"], over_seeds([0.5, None], 0.95)
    (0.6, None)
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return {"values": known, **mean_interval(known, within=within, confidence=confidence)}


def over_targets(entry: dict[str, Any] | None) -> Figure | None:
    """Take a mean over targets out of a report; with ``values`` where the report has each target's own.

    Examples
    --------
    >>> over_targets({"fpr": 0.01, "mean": 0.2, "low": 0.1, "high": 0.3})
    {'mean': 0.2, 'low': 0.1, 'high': 0.3}
    """
    if entry is None:
        return None
    return {key: entry[key] for key in ("values", "mean", "low", "high") if key in entry}


def over_examples(entry: dict[str, Any] | None, name: str = "value", *, prefix: str = "") -> Figure | None:
    """Take one model's own figure out of a report: its interval is over the examples, and it says so.

    Examples
    --------
    >>> over_examples({"auc": 0.6, "auc_low": 0.5, "auc_high": 0.7}, "auc", prefix="auc_")
    {'mean': 0.6, 'low': 0.5, 'high': 0.7, 'over': 'examples'}
    """
    if entry is None:
        return None
    return {"mean": entry[name], "low": entry[f"{prefix}low"], "high": entry[f"{prefix}high"], "over": "examples"}


def minus(
    mine: Figure | None, theirs: Figure | None, confidence: float, *, within: tuple[float, float] = (-1.0, 1.0)
) -> Figure | None:
    """Give the mean difference, seed by seed or target by target; None where either lacks its single values.

    Examples
    --------
    >>> one, other = over_seeds([0.5, 0.75], 0.95), over_seeds([0.25, 0.25], 0.95)
    >>> minus(one, other, 0.95)["values"], minus(one, {"mean": 0.2, "low": 0.1, "high": 0.3}, 0.95)
    ([0.25, 0.5], None)
    """
    if mine is None or theirs is None:
        return None
    pairs = mine.get("values"), theirs.get("values")
    if pairs[0] is None or pairs[1] is None or len(pairs[0]) != len(pairs[1]):
        return None
    return over_seeds([a - b for a, b in zip(*pairs, strict=True)], confidence, within=within)


def gap(members: Figure, nonmembers: Figure, confidence: float) -> Figure:
    """Give the train–test gap; its interval is None where the single values are not known.

    Examples
    --------
    >>> gap({"mean": 1.0, "low": 0.9, "high": 1.1}, {"mean": 0.75, "low": 0.6, "high": 0.8}, 0.95)
    {'mean': 0.25, 'low': None, 'high': None}
    """
    paired = minus(members, nonmembers, confidence)
    return paired or {"mean": members["mean"] - nonmembers["mean"], "low": None, "high": None}
