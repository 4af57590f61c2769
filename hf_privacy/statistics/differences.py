"""Interval for the difference of two rates of different examples."""

from __future__ import annotations

import math

from scipy.stats import binomtest

from hf_privacy.arguments import check_whole
from hf_privacy.errors import InputError
from hf_privacy.statistics.checks import check_confidence


def rate_difference(
    successes: int, trials: int, other_successes: int, other_trials: int, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """The first rate less the second, of examples drawn independently, with its interval.

    Parameters
    ----------
    successes, trials, other_successes, other_trials : int
        0 ≤ successes ≤ trials, trials ≥ 1.
    confidence : float, default 0.95

    Returns
    -------
    value, low, high : float
        In [−1, 1]; of some width also where both rates are 0 or 1.

    Raises
    ------
    InputError
        If the counts are no such numbers, or confidence lies outside (0, 1).

    References
    ----------
    Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 1998,
    method 10.

    Examples
    --------
    >>> [round(end, 3) for end in rate_difference(56, 70, 48, 80)]
    [0.2, 0.052, 0.334]
    """
    confidence = check_confidence(confidence)
    sides = []
    for k, n in ((successes, trials), (other_successes, other_trials)):
        n = check_whole("trials", n, at_least=1)
        k = check_whole("successes", k, at_least=0)
        if k > n:
            raise InputError(f"successes are {k:,} of {n:,} trials: pass at most as many")
        ends = binomtest(k, n).proportion_ci(confidence, method="wilson")
        sides.append((k / n, float(ends.low), float(ends.high)))
    return difference_of(*sides)


def difference_of(first: tuple[float, float, float], second: tuple[float, float, float]) -> tuple[float, float, float]:
    """The difference of two independent estimates, each a value with its interval, and the interval of that.

    Parameters
    ----------
    first, second : (value, low, high)

    Returns
    -------
    value, low, high : float

    References
    ----------
    Zou and Donner, "Construction of confidence limits about effect measures: a general approach", Statistics in
    Medicine 2008.

    Examples
    --------
    >>> difference_of((0.5, 0.2, 0.8), (0.25, 0.25, 0.65))
    (0.25, -0.25, 0.55)
    """
    (value, low, high), (other, other_low, other_high) = first, second
    middle = value - other
    return (
        middle,
        middle - math.hypot(value - low, other_high - other),
        middle + math.hypot(high - value, other - other_low),
    )
