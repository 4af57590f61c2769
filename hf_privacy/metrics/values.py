"""What goes into an `evaluate` module of ours and what comes out: 0/1 membership in, a flat dict of numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy import arrays
from hf_privacy.errors import InputError
from hf_privacy.statistics import summarize

# Membership written as 0/1 or as booleans, as booleans; a message may say otherwise what 1 and 0 stand for.
zero_one = partial(arrays.zero_one, one="a member", zero="a non-member")


def flatten_summary(summary: dict[str, Any]) -> dict[str, float | int]:
    """A summary of `hf_privacy.statistics.summarize` with one plain number per key, as `evaluate` wants it.

    A TPR at x becomes ``tpr_at_fpr_x``, with its interval ``…_low`` and ``…_high`` and the one that takes the
    threshold as given, ``…_conditional_low`` and ``…_conditional_high``; one that the non-members cannot resolve is
    left out.

    Examples
    --------
    >>> rate = {"fpr": 0.01, "tpr": 0.2, "low": 0.1, "high": 0.3, "conditional_low": 0.17, "conditional_high": 0.23}
    >>> flat = flatten_summary({"auc": 0.6, "tpr_at_fpr": [rate, {"fpr": 0.001, "tpr": None}]})
    >>> flat["tpr_at_fpr_0.01"], flat["tpr_at_fpr_0.01_low"], flat["tpr_at_fpr_0.01_conditional_low"], len(flat)
    (0.2, 0.1, 0.17, 6)
    """
    flat = {key: value for key, value in summary.items() if key != "tpr_at_fpr"}
    for rate in summary.get("tpr_at_fpr", ()):  # a slice too small to be summarized has none
        if rate["tpr"] is not None:
            key = f"tpr_at_fpr_{rate['fpr']:g}"
            ends = ("low", "high", "conditional_low", "conditional_high")
            flat.update({key: rate["tpr"]} | {f"{key}_{end}": rate[end] for end in ends})
    return flat


def named_figures(result: dict[str, Any], name: str) -> dict[str, float | int]:
    """A figure's ``value``, ``low`` and ``high`` under its name; what is no number, or None, is left out.

    Examples
    --------
    >>> named_figures({"value": 0.5, "low": 0.25, "gap": None, "reading": "accuracy"}, "rate")
    {'rate': 0.5, 'rate_low': 0.25}
    """
    named = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
    return {named.get(key, key): value for key, value in result.items() if isinstance(value, (int, float))}


def by_model(name: str, rows: ArrayLike) -> NDArray[np.float64]:
    """Rows of one example each, as `evaluate` collects them, turned into one row per model.

    Raises
    ------
    InputError
        If the rows differ in length or are no lists of numbers.

    Examples
    --------
    >>> by_model("predictions", [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    array([[1., 3., 5.],
           [2., 4., 6.]])
    """
    table = arrays.real_array(name, rows).astype(np.float64, copy=False)
    if table.ndim != 2:
        raise InputError(f"{name} has shape {table.shape}: pass one row per example and one column per model")
    return table.T


def flat_rows(
    name: str, values: Any, *, like: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rows of numbers, one after the other in one array, and where each starts.

    Raises
    ------
    InputError
        If the values are no list of rows of numbers, or rows are not as long as those of offsets ``like``.

    Examples
    --------
    >>> flat_rows("predictions", [[-1.0, -2.0], [-0.5]])
    (array([-1. , -2. , -0.5]), array([0, 2, 3]))
    """
    is_listed = isinstance(values, (Sequence, np.ndarray)) and not isinstance(values, (str, bytes))
    is_listed = is_listed and getattr(values, "ndim", 1) > 0
    rows = [arrays.real_array(name, row) for row in values] if is_listed else []
    if not rows or any(row.ndim != 1 for row in rows):
        raise InputError(f"{name} is no list of rows: pass one row of numbers per example, one for each scored token")
    offsets = np.cumsum([0, *map(len, rows)])
    if like is not None and not np.array_equal(offsets, like):
        raise InputError(f"{name} has rows of other lengths than predictions: pass a number for each of their tokens")
    return np.concatenate(rows).astype(np.float64), offsets


def attack_summary(
    scores: ArrayLike, references: ArrayLike, *, fprs: Iterable[float], confidence: float
) -> dict[str, float | int]:
    """What the module of an attack returns: how well its scores tell members from non-members, in plain numbers.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher for likelier members.
    references : array-like of 0/1, shape [N]
        1 for a member.
    fprs, confidence
        As in `hf_privacy.statistics.summarize`.

    Raises
    ------
    InputError
        If a reference is neither 0 nor 1, and as `hf_privacy.statistics.summarize`.

    Examples
    --------
    >>> attack_summary([0.9, 0.4, 0.1], [1, 0, 0], fprs=[0.5], confidence=0.95)["tpr_at_fpr_0.5"]
    1.0
    """
    return flatten_summary(summarize(scores, zero_one("references", references), fprs=fprs, confidence=confidence))
