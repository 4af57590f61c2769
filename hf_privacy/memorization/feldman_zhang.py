"""Memorization scores of Feldman and Zhang, from models trained with and without each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.errors import InputError


def feldman_zhang(
    correct: Sequence[ArrayLike] | NDArray[Any], reference_membership: Sequence[ArrayLike] | NDArray[np.bool_]
) -> NDArray[np.float64]:
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
    if len(correct) != len(reference_membership) or len(correct) == 0:
        raise InputError(
            f"correct has {len(correct)} rows and reference_membership {len(reference_membership)}: pass one row per "
            "reference model in both"
        )
    n_examples = np.asarray(reference_membership[0]).size
    in_sum, out_sum = np.zeros(n_examples), np.zeros(n_examples)
    n_in = np.zeros(n_examples, dtype=np.int64)
    for values, membership in zip(correct, reference_membership, strict=True):
        row = _unit_row(values, n_examples)
        inside = np.asarray(membership)
        if inside.shape != (n_examples,) or inside.dtype != np.bool_:
            raise InputError(
                f"reference_membership has a row of shape {inside.shape} and dtype {inside.dtype}: pass "
                f"{n_examples:,} booleans a row, True where the example is IN"
            )
        in_part = row * inside
        in_sum += in_part
        out_sum += row - in_part
        n_in += inside
    n_out = len(correct) - n_in
    for name, count in (("IN", n_out), ("OUT", n_in)):
        everywhere = int(np.sum(count == 0))
        if everywhere:
            raise InputError(
                f"{everywhere:,} of {n_examples:,} examples are {name} for all {len(correct)} reference models: leave "
                "them out, or train more reference models"
            )
    return in_sum / n_in - out_sum / n_out


def _unit_row(values: ArrayLike, n_examples: int) -> NDArray[np.float64]:
    row = np.asarray(values, dtype=np.float64)
    if row.shape != (n_examples,):
        raise InputError(f"correct has a row of shape {row.shape}: pass {n_examples:,} values a row")
    # A NaN fails both comparisons, so it is refused here too.
    if not (row.min() >= 0.0 and row.max() <= 1.0):
        raise InputError(
            f"correct reaches from {row.min():.4g} to {row.max():.4g}: pass 0 and 1, or probabilities in [0, 1]"
        )
    return row
