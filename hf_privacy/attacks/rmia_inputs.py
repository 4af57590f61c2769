"""The target's and the reference models' probabilities as RMIA takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import as_array, boolean_matrix, probabilities
from hf_privacy.errors import InputError


def check_references(
    prefix: str, prob: ArrayLike, reference_probs: ArrayLike, reference_membership: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.bool_]]:
    """Target's probabilities [N], reference models' [K, N] (their range is checked when read), membership [K, N].

    Raises
    ------
    InputError
        See `rmia`.

    Examples
    --------
    >>> check_references("population_", [0.5], [[0.5], [0.1]], None)[2]
    array([[False],
           [False]])
    """
    target = as_array(f"{prefix}prob", prob)
    references = as_array(f"{prefix}reference_probs", reference_probs)
    if target.ndim != 1 or target.size == 0:
        raise InputError(f"{prefix}prob has shape {target.shape}: pass one probability per example")
    if references.ndim != 2 or references.shape[1] != len(target):
        raise InputError(
            f"{prefix}reference_probs has shape {references.shape} and {prefix}prob {target.shape}: "
            "pass one row per reference model and one column per example"
        )
    target = probabilities(f"{prefix}prob", target)
    if reference_membership is None:
        return target, references, np.zeros(references.shape, dtype=np.bool_)
    name = "population_membership" if prefix else "reference_membership"
    return target, references, boolean_matrix(name, reference_membership, references.shape)


def check_population_index(
    population_index: ArrayLike | None, n_examples: int, n_population: int
) -> NDArray[np.int64]:
    """Position of each example in the population, −1 where it is not in it.

    Raises
    ------
    InputError
        If there is not one whole number per example, or one lies outside the population.

    Examples
    --------
    >>> check_population_index(None, 2, 5)
    array([-1, -1])
    """
    if population_index is None:
        return np.full(n_examples, -1, dtype=np.int64)
    position = as_array("population_index", population_index)
    if position.shape != (n_examples,) or not np.issubdtype(position.dtype, np.integer):
        raise InputError(
            f"population_index has shape {position.shape} and dtype {position.dtype}: "
            f"pass {n_examples:,} whole numbers, one per example"
        )
    if position.min() < -1 or position.max() >= n_population:
        raise InputError(
            f"population_index reaches from {position.min()} to {position.max()}: "
            f"pass positions below {n_population:,}, or -1 for an example outside the population"
        )
    return position.astype(np.int64)


def side_means(
    name: str, references: Sequence[NDArray[Any]] | NDArray[Any], membership: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean over the IN and over the OUT reference models of every example (0 where there is none), and the IN count.

    Raises
    ------
    InputError
        If a reference's probability is NaN or outside [0, 1].

    Examples
    --------
    >>> side_means("reference_probs", np.array([[0.5], [0.25]]), np.array([[True], [False]]))
    (array([0.5]), array([0.25]), array([1]))
    """
    in_sum, out_sum = np.zeros(membership.shape[1]), np.zeros(membership.shape[1])
    for row, row_membership in zip(references, membership, strict=True):
        row_probabilities = probabilities(name, row)
        in_part = row_probabilities * row_membership
        in_sum += in_part
        out_sum += row_probabilities - in_part
    n_in = membership.sum(axis=0, dtype=np.int64)
    return in_sum / np.maximum(n_in, 1), out_sum / np.maximum(len(references) - n_in, 1), n_in
