"""Where a condition stops to hold, approached from below: a root finder ends on either side, and a bound must not."""

from __future__ import annotations

from collections.abc import Callable


def last_holding(
    holds: Callable[[float], bool], *, high: float | None = None, absolute: float, relative: float = 0.0
) -> float:
    """A number at which ``holds`` is true, from 0 up, no further than the tolerance below one at which it is false.

    Parameters
    ----------
    holds : callable
        True up to some number and false from there on; it is not asked at 0.
    high : float, optional
        Where it is false; by default looked for by doubling from 1.
    absolute, relative : float
        The larger of the two tolerances decides.

    Examples
    --------
    >>> last_holding(lambda x: x * x < 2, absolute=1e-9) < 2**0.5
    True
    """
    low = 0.0
    if high is None:
        high = 1.0
        while holds(high):
            low, high = high, 2 * high
    while high - low > max(absolute, relative * high):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
