"""What the attacks ask of losses and probabilities; read through `hf_privacy.arrays`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite, finite_vector
from hf_privacy.errors import InputError

# A cross-entropy, an entropy or a variance of float32 logits may come out a rounding error below zero, a
# log-probability above; anything further has the wrong sign.
_ROUNDING = 1e-4
_SMALLEST_LOSS = 1e-12


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


def log_probabilities(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """One finite log-probability per example or token, none above zero by more than rounding.

    Raises
    ------
    InputError
        As `hf_privacy.arrays.finite_vector`; also if a value is positive, the mark of a loss passed instead.

    Examples
    --------
    >>> log_probabilities("log_prob", [-0.5, 0])
    array([-0.5,  0. ])
    """
    vector = finite_vector(name, values)
    if vector.max() > _ROUNDING:
        raise InputError(f"{name} goes up to {vector.max():.4g}: a log-probability is at most 0, pass −loss")
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


def loss_ratio(name: str, loss: ArrayLike, other_name: str, other_loss: ArrayLike) -> NDArray[np.float64]:
    """One loss over another of the same examples; what is next to nothing is taken as 1e-12, so that 0/0 is 1.

    Raises
    ------
    InputError
        As `nonnegative_vector`; also if the lengths differ.

    Examples
    --------
    >>> loss_ratio("loss", [0.5, 0.0], "lowercase_loss", [2.0, 0.0])
    array([0.25, 1.  ])
    """
    losses, others = nonnegative_vector(name, loss), nonnegative_vector(other_name, other_loss)
    if len(losses) != len(others):
        raise InputError(
            f"{other_name} has {len(others):,} rows and {name} {len(losses):,}: pass one value per example"
        )
    return np.maximum(losses, _SMALLEST_LOSS) / np.maximum(others, _SMALLEST_LOSS)
