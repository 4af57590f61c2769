"""What the attacks ask of losses and probabilities; read through `hf_privacy.arrays`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite, finite_vector
from hf_privacy.errors import InputError

# A cross-entropy or an entropy may come out a rounding error below zero; anything lower has the wrong sign.
_ROUNDING = 1e-6


def nonnegative_vector(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """One finite float64 per example, none below zero by more than rounding.

    Raises
    ------
    InputError
        As `hf_privacy.arrays.finite_vector`; also if a value is negative, the mark of a log-probability passed for a
        loss.

    Examples
    --------
    >>> nonnegative_vector("loss", [0.5, 2])
    array([0.5, 2. ])
    """
    vector = finite_vector(name, values)
    if vector.min() < -_ROUNDING:
        raise InputError(f"{name} goes down to {vector.min():.4g}: it cannot be negative, its sign may be turned")
    return vector


def probabilities(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities as float64.

    Raises
    ------
    InputError
        If any is NaN or lies outside [0, 1].

    Examples
    --------
    >>> probabilities("prob", np.array([0.5, 1]))
    array([0.5, 1. ])
    """
    numbers = finite(name, values)
    if numbers.size and (numbers.min() < 0.0 or numbers.max() > 1.0):
        raise InputError(
            f"{name} reaches from {numbers.min():.4g} to {numbers.max():.4g}: pass probabilities of the true class, "
            "in [0, 1]"
        )
    return numbers
