"""What the attacks that learn ask of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite, real_array, squarable
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
    matrix = real_array(name, values)
    if matrix.ndim != 2 or len(matrix) != n_examples or matrix.shape[1] == 0:
        raise InputError(f"{name} has shape {matrix.shape}: pass {n_examples:,} rows of features, one per example")
    return squarable(name, finite(name, matrix))
