"""What the attacks ask of the arrays they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.errors import InputError

# A cross-entropy or an entropy may come out a rounding error below zero; anything lower has the wrong sign.
_ROUNDING = 1e-6


def as_array(name: str, values: ArrayLike) -> NDArray[Any]:
    """The values as an array, without a copy where they are one already (a memory-mapped store stays on disk).

    Raises
    ------
    InputError
        If rows differ in length or the values are no real numbers.

    Examples
    --------
    >>> as_array("signal", [1, 2])
    array([1, 2])
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{name} is ragged: pass rows of one length") from error
    if array.dtype != np.bool_ and not (np.issubdtype(array.dtype, np.number) and np.isrealobj(array)):
        raise InputError(f"{name} has dtype {array.dtype}: pass real numbers")
    return array


def finite(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """The values as float64.

    Raises
    ------
    InputError
        If any is NaN or infinite: how many are.

    Examples
    --------
    >>> finite("signal", np.array([1, 2]))
    array([1., 2.])
    """
    numbers = values.astype(np.float64, copy=False)
    n_bad = int(np.count_nonzero(~np.isfinite(numbers)))
    if n_bad:
        raise InputError(f"{name} holds {n_bad:,} NaN or infinite values of {numbers.size:,}: pass finite values")
    return numbers


def finite_vector(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """One finite float64 per example.

    Raises
    ------
    InputError
        If the values are empty, not one-dimensional, NaN or infinite.

    Examples
    --------
    >>> finite_vector("loss", [0.5, 2])
    array([0.5, 2. ])
    """
    array = as_array(name, values)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}: pass one dimension, one value per example")
    if array.size == 0:
        raise InputError(f"{name} is empty: pass at least one example")
    return finite(name, array)


def nonnegative_vector(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """One finite float64 per example, none below zero by more than rounding.

    Raises
    ------
    InputError
        As `finite_vector`; also if a value is negative, the mark of a log-probability passed for a loss.

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


def boolean_matrix(name: str, values: ArrayLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A boolean matrix of the given shape.

    Raises
    ------
    InputError
        If the shape differs or the values are not boolean.

    Examples
    --------
    >>> boolean_matrix("reference_membership", [[True, False]], (1, 2))
    array([[ True, False]])
    """
    matrix = as_array(name, values)
    if matrix.shape != shape:
        raise InputError(f"{name} has shape {matrix.shape}: pass {shape}, one row per reference model")
    if matrix.dtype != np.bool_:
        raise InputError(f"{name} has dtype {matrix.dtype}: pass booleans, True where the example is IN")
    return matrix
