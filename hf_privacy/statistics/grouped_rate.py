"""The share of examples of which something holds, and its interval where examples come in groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_privacy.statistics.clusters import effective_counts
from hf_privacy.statistics.intervals import clopper_pearson


def grouped_rate(
    outcomes: NDArray[np.bool_], groups: NDArray[np.int64] | None = None, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """A share with its interval: Clopper and Pearson's, of as many independent examples as those of groups are worth.

    A few hits in a few groups say next to nothing of how alike a group's examples are, and a single group that differs
    may not be among those seen. So no upper end lies below that of none in so many groups, and no lower end above that
    of all.

    Parameters
    ----------
    outcomes : bool[N]
    groups : int64[N], optional
        What is drawn together, such as the author of an example.
    confidence : float, default 0.95

    Returns
    -------
    value, low, high : float

    References
    ----------
    Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data", Survey Methodology 1998.

    Examples
    --------
    >>> hits, authors = np.arange(160) < 1, np.arange(160) // 20
    >>> [round(end, 3) for end in grouped_rate(hits, authors)], round(grouped_rate(hits & ~hits, authors)[2], 3)
    ([0.006, 0.0, 0.369], 0.369)
    >>> [round(end, 3) for end in grouped_rate(hits)]
    [0.006, 0.0, 0.034]
    """
    value = float(np.mean(outcomes))
    counts = effective_counts(outcomes, groups, tail=(1 - confidence) / 2)
    low, high = map(float, clopper_pearson(*counts, confidence=confidence))
    if groups is not None:
        n_groups = len(np.unique(groups))
        low = min(low, float(clopper_pearson(n_groups, n_groups, confidence=confidence)[0]))
        high = max(high, float(clopper_pearson(0, n_groups, confidence=confidence)[1]))
    # The counts are rounded to so many independent examples, and the value is that of all.
    return value, min(low, value), max(high, value)
