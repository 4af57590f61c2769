"""What this room asks of the tables of reference models: one row a model, read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import boolean_array, plain_array, real_array
from hf_privacy.errors import InputError

Table: TypeAlias = Sequence[ArrayLike] | NDArray[Any]
"""An array of shape [K, N], or a sequence of K rows, such as one memory-mapped file per reference model."""

Rows: TypeAlias = Callable[[Table, Table], Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]]
"""From the two tables to their rows, read one at a time."""


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
    rows, memberships = check_tables(correct, reference_membership)
    n_examples = count_examples(memberships[0])
    for values, membership in zip(rows, memberships, strict=True):
        yield unit_row("correct", values, n_examples), membership_row(membership, n_examples)


def side_sums(
    correct: Table, reference_membership: Table, *, powers: int = 1, rows: Rows | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """On how many models each example is IN, and sums of its correctness over the IN and over the OUT models.

    `rows` reads the two tables row by row, as `paired_rows` does.

    Returns
    -------
    n_in : int64[N]
    sums : float64[powers, 2, N]
        Of the values, of their squares, … up to so many powers; IN first.

    Raises
    ------
    InputError
        As `paired_rows`.

    Examples
    --------
    >>> n_in, ((in_sum, out_sum),) = side_sums([[1, 0], [1, 1]], [[True, False], [True, False]])
    >>> n_in, in_sum, out_sum
    (array([2, 0]), array([2., 0.]), array([0., 1.]))
    """
    n_examples = count_examples(check_tables(correct, reference_membership)[1][0])
    n_in, sums = np.zeros(n_examples, dtype=np.int64), np.zeros((powers, 2, n_examples))
    for row, inside in (paired_rows if rows is None else rows)(correct, reference_membership):
        n_in += inside
        for side, chosen in enumerate((inside, ~inside)):
            part = row * chosen
            sums[0, side] += part
            for power in range(1, powers):
                part = part * row
                sums[power, side] += part
    return n_in, sums


def check_tables(
    correct: Table, reference_membership: Table, *, name: str = "correct"
) -> tuple[list[ArrayLike], list[ArrayLike]]:
    """The rows of both tables, the values of a list's rows not yet looked at.

    Raises
    ------
    InputError
        If they have no rows or different numbers, or one is no table.

    Examples
    --------
    >>> check_tables([[1, 0]], [[True, False]])
    ([[1, 0]], [[True, False]])
    """
    rows, membership = _rows(name, correct), _rows("reference_membership", reference_membership)
    if len(rows) != len(membership) or not rows:
        raise InputError(
            f"{name} has {len(rows)} rows and reference_membership {len(membership)}: pass one row per reference "
            "model in both"
        )
    return rows, membership


def count_examples(row: ArrayLike) -> int:
    """How many examples a row is about.

    Examples
    --------
    >>> count_examples([True, False])
    2
    """
    return plain_array("a row", row).size


def _rows(name: str, table: Table) -> list[ArrayLike]:
    if isinstance(table, (list, tuple)):
        return list(table)
    array = real_array(name, table)
    if array.ndim != 2:
        raise InputError(f"{name} has shape {array.shape}: pass one row per reference model, one column per example")
    return list(array)


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
    inside = boolean_array("reference_membership", values, true="True where the example is IN")
    if inside.shape != (n_examples,):
        raise InputError(
            f"reference_membership has a row of shape {inside.shape}: pass {n_examples:,} booleans a row, True where "
            "the example is IN"
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
    row = real_array(name, values).astype(np.float64, copy=False)
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
