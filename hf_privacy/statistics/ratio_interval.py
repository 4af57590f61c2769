"""What a mean over tokens can be off by, when rows, or groups of rows, are what is drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from hf_privacy.arrays import finite_vector, squarable
from hf_privacy.errors import InputError
from hf_privacy.statistics.checks import check_confidence
from hf_privacy.statistics.clusters import group_of_each, group_sums


def ratio_interval(
    totals: ArrayLike,
    counts: ArrayLike,
    *,
    within: tuple[float, float],
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Interval of Σ totals / Σ counts, such as the loss of all tokens over their number, rows having been drawn.

    The variance is that of the linearised ratio between rows, or between groups where that is larger, with Student's
    quantile for as many.

    Parameters
    ----------
    totals : array-like of float, shape [N]
        One a row: the sum over what it is made of.
    counts : array-like of float, shape [N]
        Of how many, above 0.
    within : (float, float)
        The least and the greatest value the ratio can have; an end beyond is moved to it.
    groups : array-like, shape [N], optional
        What is drawn as a whole, such as the author of each row.
    confidence : float, default 0.95

    Returns
    -------
    low, high : float

    Raises
    ------
    InputError
        If the arrays are no finite numbers of one length, a count is not above 0, or there are fewer than 2 rows or
        groups: one says nothing of how they differ.

    References
    ----------
    Cochran, "Sampling Techniques", 1977, section 6.3.

    Examples
    --------
    >>> low, high = ratio_interval([1.0, 2.0, 9.0], [1, 2, 3], within=(0.0, float("inf")))
    >>> round(low, 3), round(high, 3)  # of 12 / 6
    (0.0, 5.286)
    """
    level = check_confidence(confidence)
    totals = squarable("totals", finite_vector("totals", totals))
    counts = squarable("counts", finite_vector("counts", counts))
    if len(totals) != len(counts):
        raise InputError(f"totals has {len(totals)} values and counts {len(counts)}: pass one of each a row")
    if not (counts > 0).all():
        raise InputError(f"counts goes down to {counts.min():g}: every row must have something to average over")
    group = group_of_each(groups, len(totals))
    ratio, size = totals.sum() / counts.sum(), counts.sum()
    rest = totals - ratio * counts
    of_groups = group_sums(rest, group)
    if len(of_groups) < 2:
        raise InputError(f"there is {len(of_groups)} row or group: an interval needs at least 2")
    squares = max(_spread(of_groups), _spread(rest))  # as `variance_of_mean`: less than between rows is luck
    reach = t.isf((1.0 - level) / 2, len(of_groups) - 1) * np.sqrt(squares) / size
    return float(max(ratio - reach, within[0])), float(min(ratio + reach, within[1]))


def _spread(rest: np.ndarray) -> float:
    return len(rest) / (len(rest) - 1) * float(np.sum(rest**2))
