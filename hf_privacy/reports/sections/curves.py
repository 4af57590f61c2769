"""What a report keeps of an attack's scores: a thinned ROC curve and two histograms, never a score of an example."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.errors import InputError
from hf_privacy.reports.shapes import listed, record, shape
from hf_privacy.statistics import roc
from hf_privacy.statistics.tpr import allowed_false_positives

FIELDS = {
    "curves": {
        "description": "One thinned ROC and score histogram per attack, by the attack's name.",
        "type": "object",
        "propertyNames": shape("name"),
        "additionalProperties": record(
            fpr=listed("unit", most=256),
            tpr=listed("unit", most=256),
            score_edges=listed("number", most=129),
            member_counts=listed("count", most=128),
            nonmember_counts=listed("count", most=128),
        ),
    }
}
MAX_ROC_POINTS = 200
HISTOGRAM_BINS = 40
# The points behind the TPR at these FPRs are always kept, so that it can be read off the thinned curve exactly.
KEPT_FPRS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_FAR = 1e150  # beyond it the width of a histogram overflows float64


def curve_of(scores: ArrayLike, membership: ArrayLike) -> dict[str, list[Any]]:
    """Give the aggregate of an attack's scores that a report may hold under ``curves``.

    The ROC is thinned to at most 200 of its own points: both ends, the best point with no false positive, and, for
    each FPR of a log-spaced and of an even grid, the last point not above it. The points that `tpr_at_fpr` takes for
    0.1 %, 1 % and 10 % FPR are kept.

    The histogram has 40 bins between the 1st and 99th percentile of the finite scores (members and non-members
    together). Scores further out, infinite ones too, are counted in the outermost bins, so the counts
    add up to the number of examples.

    Parameters
    ----------
    scores : float[N]
        Higher means more likely a member. May be infinite, not NaN.
    membership : bool[N]
        True: the example was trained on.

    Returns
    -------
    dict of lists
        ``fpr``, ``tpr`` (at most 200 each, in [0, 1], ascending), ``score_edges`` (41), ``member_counts`` and
        ``nonmember_counts`` (40 each).

    Raises
    ------
    InputError
        When a score is NaN, the lengths differ, or there is no member or no non-member.

    Examples
    --------
    >>> curve = curve_of([0.1, 0.2, 0.8, float("inf")], [False, False, True, True])
    >>> curve["fpr"], curve["tpr"]
    ([0.0, 0.0, 0.5, 1.0], [0.0, 1.0, 1.0, 1.0])
    >>> sum(curve["member_counts"]), curve["member_counts"][-1]
    (2, 2)
    """
    values = np.asarray(scores, dtype=np.float64)
    members = np.asarray(membership)
    if np.isnan(values).any():
        raise InputError(f"scores holds {int(np.isnan(values).sum())} NaN: give every example a score")
    # Ranks have the scores' ROC and are finite where the scores are not.
    fpr, tpr, _ = roc(np.unique(values, return_inverse=True)[1], members)
    kept = _kept_points(fpr, int(np.count_nonzero(~members)))
    edges = _edges(values)
    inside = np.clip(values, edges[0], edges[-1])
    return {
        "fpr": [float(value) for value in fpr[kept]],
        "tpr": [float(value) for value in tpr[kept]],
        "score_edges": [float(value) for value in edges],
        "member_counts": [int(count) for count in np.histogram(inside[members], bins=edges)[0]],
        "nonmember_counts": [int(count) for count in np.histogram(inside[~members], bins=edges)[0]],
    }


def _kept_points(fpr: NDArray[np.float64], n_nonmembers: int) -> NDArray[np.intp]:
    positive = fpr[fpr > 0]
    smallest = float(positive[0]) if positive.size else 1.0
    # 120 + 60 on the grids (the even one starts at 0, where it keeps the best point), 5 kept FPRs and 2 ends: ≤ 187.
    allowed = [max(allowed_false_positives(n_nonmembers, target), 0) / n_nonmembers for target in KEPT_FPRS]
    grid = np.concatenate([np.geomspace(smallest, 1.0, 120), np.linspace(0.0, 1.0, 60), allowed])
    # Rounding must not turn 3 of 30 into more than a tenth.
    last_not_above = np.searchsorted(fpr, grid * (1 + 1e-12), side="right") - 1
    return np.unique(np.concatenate([[0, fpr.size - 1], last_not_above]))


def _edges(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = scores[np.isfinite(scores) & (np.abs(scores) < _FAR)]
    if finite.size == 0:
        return np.linspace(-0.5, 0.5, HISTOGRAM_BINS + 1)
    low, high = (float(value) for value in np.percentile(finite, [1, 99]))
    if low == high:  # nearly all scores tie: show what lies around the tie
        reach = max(1.0, abs(low))
        low, high = max(float(finite.min()), low - reach), min(float(finite.max()), high + reach)
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    if not (np.diff(edges) > 0).all():  # all tie, or lie closer together than float64 resolves
        edges = np.linspace(low - 0.5 * max(1.0, abs(low)), low + 0.5 * max(1.0, abs(low)), HISTOGRAM_BINS + 1)
    return edges
