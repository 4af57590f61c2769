"""How much less so many examples say when they come in groups: all texts of one author are alike.

Groups are drawn and examples are not, so the variance of a mean is that of sums over groups. Its ratio to the variance
of as many independent examples is the design effect: n examples are worth n divided by it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student_t

from hf_privacy.statistics.checks import check_groups


def group_of_each(groups: ArrayLike | None, n_examples: int) -> NDArray[np.int64]:
    """Numbers of groups from 0; each example its own where there are none: int64[N].

    Raises
    ------
    InputError
        See `check_groups`.

    Examples
    --------
    >>> group_of_each(["b", "a", "b"], 3).tolist(), group_of_each(None, 2).tolist()
    ([1, 0, 1], [0, 1])
    """
    if groups is None:
        return np.arange(n_examples)
    return np.unique(check_groups(groups, n_examples), return_inverse=True)[1]


def group_sums(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums over the groups that there are: float64[G].

    Examples
    --------
    >>> group_sums(np.array([1.0, 2.0, 4.0]), np.array([3, 0, 3]))
    array([2., 5.])
    """
    return np.bincount(np.unique(group, return_inverse=True)[1], weights=values).astype(np.float64)


def variance_of_mean(values: NDArray[np.float64], group: NDArray[np.int64]) -> float:
    """Estimated variance of a mean of examples in groups; at least that of as many independent ones.

    With few groups the first is uncertain, and examples of a group that are **less** alike than others are rare: what
    is smaller is luck. Infinite for a single group, which says nothing of how groups differ.

    Examples
    --------
    >>> values = np.array([0.0, 0.0, 1.0, 1.0])
    >>> round(variance_of_mean(values, np.arange(4)), 4), round(variance_of_mean(values, values.astype(int)), 4)
    (0.0833, 0.25)
    """
    sums = group_sums(values - values.mean(), group)
    if len(sums) < 2:
        return np.inf
    by_group = len(sums) / (len(sums) - 1) * float(np.sum(sums**2)) / len(values) ** 2
    return max(by_group, float(values.var(ddof=1)) / len(values))


def design_effect(values: NDArray[np.float64], group: NDArray[np.int64]) -> float:
    """Variance of the mean over that of as many independent examples: from 1 to their number.

    Examples
    --------
    >>> round(design_effect(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1])), 4)
    3.0
    """
    spread = float(values.var(ddof=1)) if len(values) > 1 else 0.0
    if spread == 0.0:  # nothing varies, so nothing says how alike the examples of a group are
        return 1.0
    return float(min(variance_of_mean(values, group) / (spread / len(values)), len(values)))


def counted_groups(n_groups: int, tail: float) -> float:
    """What an estimated design effect is multiplied by, for it rests on so many groups alone.

    References
    ----------
    Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data", Survey Methodology 1998.

    Examples
    --------
    >>> round(counted_groups(5, 0.025), 2), round(counted_groups(1000, 0.025), 2)
    (2.01, 1.0)
    """
    if n_groups < 2:
        return np.inf
    return float((student_t.isf(tail, n_groups - 1) / norm.isf(tail)) ** 2)


def effective_counts(
    outcomes: NDArray[np.bool_], groups: NDArray[np.int64] | None = None, *, tail: float = 0.025
) -> tuple[int, int]:
    """Number that hold and number of examples, for an interval; of examples in groups those of independent ones.

    Examples count divided by their design effect, and by what its uncertainty adds. Where all outcomes are equal
    nothing says how alike those of a group are, and each group counts once.

    Parameters
    ----------
    outcomes : bool[N]
    groups : int64[N], optional
        What is drawn together, such as the author of an example.
    tail : float
        What the interval leaves out on either side.

    Returns
    -------
    successes, trials : int
        Plain counts without groups, or with one example each.

    Examples
    --------
    >>> authors = np.repeat(np.arange(20), 5)
    >>> effective_counts(authors % 2 == 0), effective_counts(authors % 2 == 0, authors)
    ((50, 100), (8, 16))
    """
    n, k = len(outcomes), int(np.count_nonzero(outcomes))
    group = group_of_each(groups, n)
    n_groups = len(np.unique(group))
    if n_groups == n:
        return k, n
    if k in (0, n) or n_groups == 1:
        return (n_groups if k == n else round(k / n * n_groups)), n_groups
    effect = design_effect(outcomes.astype(np.float64), group) * counted_groups(n_groups, tail)
    trials = int(max(n / effect, 1.0))
    return round(k / n * trials), trials
