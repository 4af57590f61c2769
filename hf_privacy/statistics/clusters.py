"""Counts of examples that come in groups, as those of so many independent ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t


def effective_counts(outcomes: NDArray[np.bool_], groups: NDArray[np.int64] | None = None) -> tuple[int, int]:
    """Number that hold and number of examples, for intervals; of examples in groups those of independent ones.

    The effective number is what the variance between groups leaves of it, with Student's factor for few groups. Where
    all outcomes are equal that variance says nothing, and each group counts once.

    Parameters
    ----------
    outcomes : bool[N]
    groups : int64[N], optional
        What is drawn together, such as the author of an example.

    Returns
    -------
    successes, trials : int
        Plain counts without groups, or with one example each.

    References
    ----------
    Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data", Survey Methodology 1998.

    Examples
    --------
    >>> authors = np.repeat(np.arange(20), 5)
    >>> effective_counts(authors % 2 == 0), effective_counts(authors % 2 == 0, authors)
    ((50, 100), (8, 17))
    """
    n, k = len(outcomes), int(np.count_nonzero(outcomes))
    if groups is None:
        return k, n
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n_groups = len(sizes)
    if n_groups == n:
        return k, n
    if k in (0, n) or n_groups == 1:
        return (n_groups if k == n else round(k / n * n_groups)), n_groups
    rate = k / n
    deviations = np.bincount(number, weights=outcomes.astype(np.float64)) - rate * sizes
    variance = n_groups / (n_groups - 1) * float(deviations @ deviations) / n**2
    if variance == 0.0:
        return k, n
    few = float((student_t.ppf(0.975, n - 1) / student_t.ppf(0.975, n_groups - 1)) ** 2)
    trials = int(min(max(rate * (1 - rate) / variance * few, 1.0), n))
    return round(rate * trials), trials
