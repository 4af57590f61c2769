"""What a few models trained from different seeds say: a mean and how far chance in training can have moved it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from hf_privacy.statistics.checks import check_confidence


def mean_interval(values: NDArray[np.float64], *, confidence: float = 0.95) -> tuple[float | None, float | None]:
    """Student's t interval of a mean over seeds; None for a single one, which says nothing about chance.

    Examples
    --------
    >>> low, high = mean_interval(np.array([0.1, 0.2, 0.3]))
    >>> round(low, 3), round(high, 3)
    (-0.048, 0.448)
    >>> mean_interval(np.array([0.1]))
    (None, None)
    """
    level = check_confidence(confidence)
    if len(values) < 2:
        return None, None
    reach = t.isf((1.0 - level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    mean = values.mean()
    return float(mean - reach), float(mean + reach)
