"""What the attacks that learn or go by class ask of features, labels and membership."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import as_array, finite
from hf_privacy.errors import InputError


def feature_matrix(name: str, values: ArrayLike, n_examples: int) -> NDArray[np.float64]:
    """One finite row of features per example.

    Raises
    ------
    InputError
        If there are not ``n_examples`` rows of at least one column, or a value is NaN or infinite.

    Examples
    --------
    >>> feature_matrix("features", [[1, 2]], 1)
    array([[1., 2.]])
    """
    matrix = as_array(name, values)
    if matrix.ndim != 2 or len(matrix) != n_examples or matrix.shape[1] == 0:
        raise InputError(f"{name} has shape {matrix.shape}: pass {n_examples:,} rows of features, one per example")
    return finite(name, matrix)


def class_labels(name: str, values: ArrayLike, n_examples: int) -> NDArray[np.int64]:
    """One class per example, counted from 0.

    Raises
    ------
    InputError
        If there is not one whole number ≥ 0 per example.

    Examples
    --------
    >>> class_labels("labels", [0, 2.0], 2)
    array([0, 2])
    """
    array = as_array(name, values)
    if array.shape != (n_examples,):
        raise InputError(f"{name} has shape {array.shape}: pass {n_examples:,} classes, one per example")
    if array.dtype == np.bool_ or np.any(finite(name, array) != np.floor(array)) or (array.size and array.min() < 0):
        raise InputError(f"{name} holds values that are no classes: pass whole numbers from 0")
    return array.astype(np.int64)


def check_seed(seed: int) -> int:
    """A seed that NumPy and scikit-learn both take.

    Raises
    ------
    InputError
        If it is no whole number in [0, 2³²).

    Examples
    --------
    >>> check_seed(0)
    0
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed!r}: pass a whole number from 0, below 2**32")
    return int(seed)
