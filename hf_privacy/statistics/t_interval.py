"""The mean of a few repeated figures, and how far chance from one repetition to the next can have moved it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from hf_privacy.arguments import check_number, seen
from hf_privacy.arrays import finite_vector, squarable
from hf_privacy.errors import InputError
from hf_privacy.statistics.checks import check_confidence


def t_interval(
    values: ArrayLike, *, within: tuple[float, float], confidence: float = 0.95
) -> tuple[float | None, float | None]:
    """Student's t interval of a mean, as far as it lies where the quantity can.

    Parameters
    ----------
    values : array-like of float, shape [n]
        One a repetition: a seed, a target, a model.
    within : (float, float)
        The least and the greatest value the quantity can have: (0, 1) for a rate, (-1, 1) for a difference of two
        rates, infinities where there is no bound. An end beyond is moved to it, which loses nothing: the mean cannot
        lie there. Half the width of such an interval is no "±".
    confidence : float, default 0.95

    Returns
    -------
    low, high : float
        With ``within[0] <= low <= mean <= high <= within[1]``. Both None for a single value, which says nothing about
        chance.

    Raises
    ------
    InputError
        If the values are no finite numbers or there is none, an end of ``within`` is no number, or confidence lies
        outside (0, 1).

    Examples
    --------
    >>> low, high = t_interval([0.1, 0.2, 0.3], within=(0.0, 1.0))
    >>> round(low, 3), round(high, 3)
    (0.0, 0.448)
    >>> t_interval([0.1], within=(0.0, 1.0))
    (None, None)
    """
    level = check_confidence(confidence)
    array = squarable("values", finite_vector("values", values))
    if not isinstance(within, (tuple, list)) or len(within) != 2:
        raise InputError(f"within is {seen(within)}: pass the least and the greatest value the quantity can have")
    ends = [check_number("an end of within", end, infinite=True) for end in within]
    if len(array) < 2:
        return None, None
    reach = t.isf((1.0 - level) / 2, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    mean = array.mean()
    return float(max(mean - reach, ends[0])), float(min(mean + reach, ends[1]))
