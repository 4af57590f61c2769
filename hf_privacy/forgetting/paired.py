"""Intervals for two 0/1 readings of the same examples: their ratio and their difference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from hf_privacy.statistics.checks import check_confidence


def ratio_interval(
    after: NDArray[np.bool_], before: NDArray[np.bool_], *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval for (share after)/(share before), of the same examples.

    Parameters
    ----------
    after, before : bool[N]
        ``before`` holds at least one True.
    confidence : float, default 0.95

    Returns
    -------
    low, high : float
        At least 0; finite also where nothing is left, or nothing changed.

    References
    ----------
    Bonett and Price, "Confidence intervals for a ratio of binomial proportions based on paired data", Statistics in
    Medicine 2006 (hybrid of two Wilson intervals).

    Examples
    --------
    >>> before = np.ones(20, dtype=bool)
    >>> [round(end, 3) for end in ratio_interval(np.arange(20) < 10, before)]
    [0.321, 0.78]
    """
    quantile = norm.isf((1.0 - check_confidence(confidence)) / 2)
    n_after, n_before = int(after.sum()), int(before.sum())
    n_either = int(np.sum(after | before))  # examples that are False both times say nothing about the ratio
    n_changed = int(np.sum(after ^ before))
    # The factor makes the two intervals' ends, divided, an interval of the stated confidence for the ratio.
    spread = np.sqrt((n_changed + 2) / ((n_after + 1) * (n_before + 1)))
    alone = [np.sqrt((1 - (count + 1) / (n_either + 2)) / (count + 1)) for count in (n_after, n_before)]
    z = quantile * spread / sum(alone)
    low_after, high_after = _wilson(n_after, n_either, z)
    low_before, high_before = _wilson(n_before, n_either, z)
    return float(low_after / high_before), float(high_after / low_before)


def difference_interval(
    before: NDArray[np.bool_], after: NDArray[np.bool_], *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval for (share before) − (share after), of the same examples.

    Parameters
    ----------
    before, after : bool[N]
    confidence : float, default 0.95

    Returns
    -------
    low, high : float
        In [−1, 1]; of some width also where nothing, or everything, changed.

    References
    ----------
    Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data", Journal of Educational and Behavioral Statistics 2012.

    Examples
    --------
    >>> before = np.ones(20, dtype=bool)
    >>> [round(end, 3) for end in difference_interval(before, np.arange(20) < 10)]
    [0.211, 0.698]
    """
    quantile = norm.isf((1.0 - check_confidence(confidence)) / 2)
    n_padded = len(before) + 2
    lost = (int(np.sum(before & ~after)) + 1) / n_padded
    gained = (int(np.sum(after & ~before)) + 1) / n_padded
    centre = lost - gained
    reach = quantile * np.sqrt((lost + gained - centre**2) / n_padded)
    return float(max(centre - reach, -1.0)), float(min(centre + reach, 1.0))


def _wilson(successes: int, trials: int, z: float) -> tuple[float, float]:
    centre = 2 * successes + z * z
    reach = z * np.sqrt(z * z + 4 * successes * (1 - successes / trials))
    width = 2 * (trials + z * z)
    return max(centre - reach, 0.0) / width, (centre + reach) / width
