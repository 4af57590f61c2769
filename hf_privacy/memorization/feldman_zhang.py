"""Memorization scores of Feldman and Zhang, from models trained with and without each example."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_privacy.memorization.tables import Table, refuse_one_sided, side_sums


def feldman_zhang(correct: Table, reference_membership: Table) -> NDArray[np.float64]:
    """Mean correctness of the models trained with an example less that of the models trained without it.

    Parameters
    ----------
    correct : array-like of float, shape [K, N], or a sequence of K rows
        1 where reference model k classifies example n correctly and 0 where not; or the probability of the true
        class, in [0, 1], which is the same quantity with less noise. Read row by row, so rows may be memory-mapped.
    reference_membership : array-like of bool, shape [K, N], or a sequence of K rows
        True where reference model k was trained on example n.

    Returns
    -------
    float64[N]
        In [−1, 1]; near 1 for an example that models get right only after training on it, near 0 for one whose label
        the others give away. Values below 0 are noise of too few models.

    Raises
    ------
    InputError
        If shapes differ, a value is NaN or lies outside [0, 1], membership is not boolean, or an example is IN or OUT
        for all reference models.

    References
    ----------
    Feldman and Zhang, "What neural networks memorize and why", NeurIPS 2020 (arXiv 2008.03703), equation 1. They
    train on 0.7 of the data; any share serves.

    Examples
    --------
    >>> correct = [[1, 1], [1, 1], [0, 1], [0, 1]]
    >>> membership = [[True, False], [True, True], [False, True], [False, False]]
    >>> feldman_zhang(correct, membership)
    array([1., 0.])
    """
    n_in, ((in_sum, out_sum),) = side_sums(correct, reference_membership)
    refuse_one_sided(n_in, len(correct))
    return in_sum / n_in - out_sum / (len(correct) - n_in)
