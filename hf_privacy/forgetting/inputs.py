"""What this room asks of the arrays it is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.errors import InputError


def finite_vector(name: str, values: ArrayLike, *, n_examples: int | None = None) -> NDArray[np.float64]:
    """One finite float64 per example.

    Raises
    ------
    InputError
        If the values are no real numbers, empty, not one-dimensional, of another number than ``n_examples``, or not
        finite.

    Examples
    --------
    >>> finite_vector("phi", [0.5, 2])
    array([0.5, 2. ])
    """
    vector = _numbers(name, values)
    if vector.ndim != 1 or vector.size == 0:
        raise InputError(f"{name} has shape {vector.shape}: pass one dimension, one number per example")
    if n_examples is not None and len(vector) != n_examples:
        raise InputError(f"{name} has {len(vector):,} rows for {n_examples:,} examples: pass one number per example")
    return _finite(name, vector)


def zero_one_vector(name: str, values: ArrayLike, *, n_examples: int | None = None) -> NDArray[np.bool_]:
    """One yes or no per example, written as booleans or as 0 and 1.

    Raises
    ------
    InputError
        As `finite_vector`; also if a value is neither 0 nor 1.

    Examples
    --------
    >>> zero_one_vector("after", [1, 0])
    array([ True, False])
    """
    return _zero_one(name, finite_vector(name, values, n_examples=n_examples))


def zero_one_table(name: str, values: ArrayLike, *, n_examples: int) -> NDArray[np.bool_]:
    """One row of yes and no per model; a single row may come without its outer list.

    Raises
    ------
    InputError
        As `model_table`; also if a value is neither 0 nor 1.

    Examples
    --------
    >>> zero_one_table("retrained", [1, 0], n_examples=2)
    array([[ True, False]])
    """
    table = _numbers(name, values)
    table = table[None] if table.ndim == 1 else table
    return _zero_one(name, model_table(name, table, at_least=1, n_examples=n_examples))


def model_table(name: str, values: ArrayLike, *, at_least: int, n_examples: int | None = None) -> NDArray[np.float64]:
    """One row per model, one column per example, all finite.

    Raises
    ------
    InputError
        If the values are no real numbers, not two-dimensional, of fewer than ``at_least`` rows, of another number of
        columns than ``n_examples``, or not finite.

    Examples
    --------
    >>> model_table("unlearned", [[0.5, 2], [1, 3]], at_least=2).shape
    (2, 2)
    """
    table = _numbers(name, values)
    if table.ndim != 2 or table.shape[1] == 0:
        raise InputError(f"{name} has shape {table.shape}: pass one row per model and one column per example")
    if len(table) < at_least:
        raise InputError(f"{name} has {len(table)} rows: pass at least {at_least} models")
    if n_examples is not None and table.shape[1] != n_examples:
        raise InputError(
            f"{name} has {table.shape[1]:,} columns for {n_examples:,} examples: pass one column per example"
        )
    return _finite(name, table)


def positive_number(name: str, value: float) -> float:
    """A finite number above 0.

    Raises
    ------
    InputError
        If it is not.

    Examples
    --------
    >>> positive_number("bin_width", 0.5)
    0.5
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < np.inf:
        raise InputError(f"{name} is {value!r}: pass a finite number above 0")
    return float(value)


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(values)
        if np.iscomplexobj(array):
            raise TypeError
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be read as numbers: pass real numbers, in rows of one length") from error


def _finite(name: str, array: NDArray[np.float64]) -> NDArray[np.float64]:
    n_bad = int(np.count_nonzero(~np.isfinite(array)))
    if n_bad:
        raise InputError(f"{name} holds {n_bad:,} NaN or infinite values of {array.size:,}: pass finite values")
    return array


def _zero_one(name: str, array: NDArray[np.float64]) -> NDArray[np.bool_]:
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise InputError(f"{name} holds {wrong[0]:g}: pass 1 for yes and 0 for no")
    return array == 1
