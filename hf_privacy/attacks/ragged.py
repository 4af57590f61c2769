"""Values of tokens in rows of different length: flat arrays, and the offsets at which each row begins and ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import real_array, whole_array
from hf_privacy.errors import InputError

# A log-probability may come out a rounding error above zero; anything higher has the wrong sign.
_ROUNDING = 1e-6


def row_offsets(offsets: ArrayLike, *, n_values: int) -> NDArray[np.int64]:
    """Offsets of rows that each hold a value.

    Parameters
    ----------
    offsets : array-like of int, shape [N+1]
        Row i holds the values from ``offsets[i]`` up to ``offsets[i + 1]``.
    n_values : int
        Of the flat arrays.

    Raises
    ------
    InputError
        If they do not go from 0 to ``n_values``, or a row holds no value: which.

    Examples
    --------
    >>> row_offsets([0, 2, 5], n_values=5)
    array([0, 2, 5])
    >>> row_offsets([0, 2, 2], n_values=2)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: row 1 has no token by offsets: leave out rows without a scored token (1 of 2)
    """
    found = whole_array("offsets", offsets)
    if found.ndim != 1 or len(found) < 2:
        raise InputError(f"offsets has shape {found.shape}: pass one number more than there are rows, from 0 on")
    if found[0] != 0 or found[-1] != n_values:
        raise InputError(f"offsets go from {found[0]:,} to {found[-1]:,} for {n_values:,} tokens: pass 0 to that")
    lengths = np.diff(found)
    if lengths.min() < 1:
        empty = np.flatnonzero(lengths < 1)
        raise InputError(
            f"row {empty[0]:,} has no token by offsets: leave out rows without a scored token ({len(empty):,} of "
            f"{len(lengths):,})"
        )
    return found


def log_probabilities(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Log-probabilities of tokens as float64, −∞ for one that cannot come.

    Raises
    ------
    InputError
        If the values are not one-dimensional, NaN, or above 0 by more than rounding: the mark of a loss.

    Examples
    --------
    >>> log_probabilities("log_prob", [-0.5, -np.inf, 1e-8])
    array([-0.5, -inf,  0. ])
    """
    array = real_array(name, values)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}: pass one flat array, one value per token")
    numbers = array.astype(np.float64)
    n_missing = int(np.isnan(numbers).sum())
    if n_missing:
        raise InputError(f"{name} holds {n_missing:,} NaN of {numbers.size:,}: pass log-probabilities")
    if numbers.size and numbers.max() > _ROUNDING:
        raise InputError(f"{name} goes up to {numbers.max():.4g}: a log-probability is at most 0, this may be a loss")
    return np.minimum(numbers, 0.0, out=numbers)


def row_sums(values: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of each row.

    Examples
    --------
    >>> row_sums(np.array([1.0, 2.0, 3.0]), np.array([0, 2, 3]))
    array([3., 3.])
    """
    sums: NDArray[np.float64] = np.add.reduceat(values, offsets[:-1])
    return sums
