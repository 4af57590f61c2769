"""What this room asks of the tables of reference models: one row a model, read one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.errors import InputError

Table: TypeAlias = Sequence[ArrayLike] | NDArray[Any]
"""An array of shape [K, N], or a sequence of K rows, such as one memory-mapped file per reference model."""


def paired_rows(
    correct: Table, reference_membership: Table
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Row by row, correctness in [0, 1] and membership of the same examples.

    Raises
    ------
    InputError
        If the numbers of rows or examples differ, a value is NaN or lies outside [0, 1], or membership is not boolean.

    Examples
    --------
    >>> [(row.tolist(), inside.tolist()) for row, inside in paired_rows([[1, 0]], [[True, False]])]
    [([1.0, 0.0], [True, False])]
    """
    check_row_counts(correct, reference_membership)
    n_examples = np.asarray(reference_membership[0]).size
    for values, membership in zip(correct, reference_membership, strict=True):
        yield unit_row("correct", values, n_examples), membership_row(membership, n_examples)


def check_row_counts(correct: Table, reference_membership: Table, *, name: str = "correct") -> None:
    """Refuse tables of no or of different numbers of rows.

    Raises
    ------
    InputError
        If there are.

    Examples
    --------
    >>> check_row_counts([[1, 0]], [[True, False]])
    """
    if len(correct) != len(reference_membership) or len(correct) == 0:
        raise InputError(
            f"{name} has {len(correct)} rows and reference_membership {len(reference_membership)}: pass one row per "
            "reference model in both"
        )


def membership_row(values: ArrayLike, n_examples: int) -> NDArray[np.bool_]:
    """One row of membership.

    Raises
    ------
    InputError
        If it has another length or is not boolean.

    Examples
    --------
    >>> membership_row([True, False], 2)
    array([ True, False])
    """
    inside = np.asarray(values)
    if inside.shape != (n_examples,) or inside.dtype != np.bool_:
        raise InputError(
            f"reference_membership has a row of shape {inside.shape} and dtype {inside.dtype}: pass "
            f"{n_examples:,} booleans a row, True where the example is IN"
        )
    return inside


def unit_row(name: str, values: ArrayLike, n_examples: int) -> NDArray[np.float64]:
    """One row of correctness, 0 and 1 or probabilities.

    Raises
    ------
    InputError
        If it has another length, or a value is NaN or lies outside [0, 1].

    Examples
    --------
    >>> unit_row("correct", [1, 0.5], 2)
    array([1. , 0.5])
    """
    try:
        row = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be read as numbers: pass 0 and 1, or probabilities in [0, 1]") from error
    if row.shape != (n_examples,):
        raise InputError(f"{name} has a row of shape {row.shape}: pass {n_examples:,} values a row")
    # A NaN fails both comparisons, so it is refused here too.
    if n_examples == 0 or not (row.min() >= 0.0 and row.max() <= 1.0):
        reach = "is empty" if n_examples == 0 else f"reaches from {row.min():.4g} to {row.max():.4g}"
        raise InputError(f"{name} {reach}: pass 0 and 1, or probabilities in [0, 1]")
    return row


def refuse_one_sided(n_in: NDArray[np.int64], n_references: int) -> None:
    """Refuse examples that are IN, or OUT, for all reference models.

    Raises
    ------
    InputError
        If there are any: how many.

    Examples
    --------
    >>> refuse_one_sided(np.array([1, 1]), 2)
    """
    for name, count in (("IN", n_references - n_in), ("OUT", n_in)):
        everywhere = int(np.sum(count == 0))
        if everywhere:
            raise InputError(
                f"{everywhere:,} of {len(n_in):,} examples are {name} for all {n_references} reference models: leave "
                "them out, or train more reference models"
            )


def refuse_single(n_in: NDArray[np.int64], n_references: int, wanted_for: str) -> None:
    """Refuse examples with fewer than two reference models on a side.

    Raises
    ------
    InputError
        If there are any: how many.

    Examples
    --------
    >>> refuse_single(np.array([2, 2]), 4, "a standard error")
    """
    short = int(np.sum(np.minimum(n_in, n_references - n_in) < 2))
    if short:
        raise InputError(
            f"{short:,} of {len(n_in):,} examples have fewer than 2 of the {n_references} reference models on a side "
            f"and {wanted_for} needs 2: leave them out, or train more reference models"
        )


def finite_vector(name: str, values: ArrayLike, *, n_examples: int | None = None) -> NDArray[np.float64]:
    """One finite float64 per example.

    Raises
    ------
    InputError
        If the values are no numbers, empty, not one-dimensional, of another number than ``n_examples``, or not
        finite.

    Examples
    --------
    >>> finite_vector("scores", [0.5, 2])
    array([0.5, 2. ])
    """
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be read as numbers: pass one finite number per example") from error
    if vector.ndim != 1 or vector.size == 0:
        raise InputError(f"{name} has shape {vector.shape}: pass one dimension, one number per example")
    if n_examples is not None and len(vector) != n_examples:
        raise InputError(f"{name} has {len(vector):,} rows for {n_examples:,} examples: pass one number per example")
    n_bad = int(np.count_nonzero(~np.isfinite(vector)))
    if n_bad:
        raise InputError(f"{name} holds {n_bad:,} NaN or infinite values of {len(vector):,}: pass finite values")
    return vector


def boolean_vector(name: str, values: ArrayLike, *, n_examples: int) -> NDArray[np.bool_]:
    """One yes or no per example.

    Raises
    ------
    InputError
        If the values are not boolean or not one per example.

    Examples
    --------
    >>> boolean_vector("mislabelled", [True, False], n_examples=2)
    array([ True, False])
    """
    vector = np.asarray(values)
    if vector.shape != (n_examples,) or vector.dtype != np.bool_:
        raise InputError(
            f"{name} has shape {vector.shape} and dtype {vector.dtype}: pass {n_examples:,} booleans, one per example"
        )
    return vector
