"""What this room asks of tables and of 0/1 readings; read through `hf_privacy.arrays`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite, finite_vector, real_array, zero_one
from hf_privacy.errors import InputError


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
    return zero_one(name, finite_vector(name, values, n_examples=n_examples))


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
    table = real_array(name, values)
    table = table[None] if table.ndim == 1 else table
    return zero_one(name, model_table(name, table, at_least=1, n_examples=n_examples))


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
    table = real_array(name, values)
    if table.ndim != 2 or table.shape[1] == 0:
        raise InputError(f"{name} has shape {table.shape}: pass one row per model and one column per example")
    if len(table) < at_least:
        raise InputError(f"{name} has {len(table)} rows: pass at least {at_least} models")
    if n_examples is not None and table.shape[1] != n_examples:
        raise InputError(
            f"{name} has {table.shape[1]:,} columns for {n_examples:,} examples: pass one column per example"
        )
    return finite(name, table)
