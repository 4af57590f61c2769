"""What the attacks ask of the tables of reference models they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite, real_array
from hf_privacy.attacks.reference_rows import References, as_table, membership_rows
from hf_privacy.errors import InputError


def check_reference_rows(
    name: str, n_examples: int, reference_name: str, references: References, reference_membership: References
) -> tuple[list[NDArray[Any]], list[NDArray[np.bool_]]]:
    """The K rows of a table [K, N] (their values are checked when read) and those of its membership.

    Raises
    ------
    InputError
        If the shapes disagree with each other or with the ``n_examples`` of the argument ``name``, or membership is
        not boolean.

    Examples
    --------
    >>> rows, membership = check_reference_rows("loss", 2, "reference_losses", [[0.5, 1.0]], [[True, False]])
    >>> rows, membership
    ([array([0.5, 1. ])], [array([ True, False])])
    """
    table = as_table(reference_name, references)
    if len(table.shape) != 2 or table.shape[1] != n_examples or table.shape[0] == 0:
        raise InputError(
            f"{reference_name} has shape {table.shape} and {name} {n_examples:,} examples: "
            "pass one row per reference model and one column per example"
        )
    return table.rows, membership_rows("reference_membership", reference_membership, (table.shape[0], n_examples))


def check_query_rows(
    name: str, signal: ArrayLike, reference_name: str, references: References, reference_membership: References
) -> tuple[NDArray[np.float64], list[list[NDArray[Any]]], list[NDArray[np.bool_]]]:
    """A signal as [Q, N], its references as Q lists of K rows (not yet read), and membership as K rows.

    Raises
    ------
    InputError
        If the shapes are neither [N] with [K, N] nor [Q, N] with [Q, K, N], there is no example or fewer than two
        reference models, the signal is not finite, or membership is not boolean.

    Examples
    --------
    >>> signals, rows, membership = check_query_rows(
    ...     "signal", [0.5], "reference_signals", [[1.0], [2.0]], [[True], [False]])
    >>> signals.shape, len(rows), len(rows[0])
    ((1, 1), 1, 2)
    """
    signals, table = real_array(name, signal), as_table(reference_name, references)
    if signals.ndim not in (1, 2) or len(table.shape) != signals.ndim + 1:
        raise InputError(
            f"{name} has shape {signals.shape} and {reference_name} {table.shape}: "
            "pass [N] with [K, N], or [Q, N] with [Q, K, N]"
        )
    signals = np.atleast_2d(signals)
    n_queries, n_references, n_examples = (1, *table.shape)[-3:]
    if signals.shape != (n_queries, n_examples):
        raise InputError(
            f"{name} has {signals.shape[1]:,} examples of {signals.shape[0]} queries and {reference_name} "
            f"{n_examples:,} of {n_queries}: pass the same examples and queries in both"
        )
    if signals.size == 0:
        raise InputError(f"{name} is empty: pass at least one example")
    if n_references < 2:
        raise InputError(f"{reference_name} hold {n_references} reference models: pass at least 2")
    membership = membership_rows("reference_membership", reference_membership, (n_references, n_examples))
    rows = [table.rows[first : first + n_references] for first in range(0, len(table.rows), n_references)]
    return finite(name, signals), rows, membership


def refuse_always_in(n_in: NDArray[np.int64], n_references: int) -> None:
    """Refuse examples that every reference model was trained on.

    Raises
    ------
    InputError
        If there are any: how many.

    Examples
    --------
    >>> refuse_always_in(np.array([0, 1]), 2)
    """
    always_in = int(np.sum(n_in == n_references))
    if always_in:
        raise InputError(
            f"reference_membership has {always_in:,} of {len(n_in):,} examples IN for all {n_references} reference "
            "models: leave them out, or train reference models without them"
        )


def refuse_never_in(n_in: NDArray[np.int64], n_references: int, way_out: str) -> None:
    """Refuse examples that no reference model was trained on.

    Raises
    ------
    InputError
        If there are any: how many, and the ``way_out``.

    Examples
    --------
    >>> refuse_never_in(np.array([1, 2]), 2, "leave them out")
    """
    never_in = int(np.sum(n_in == 0))
    if never_in:
        raise InputError(
            f"reference_membership has {never_in:,} of {len(n_in):,} examples OUT for all {n_references} reference "
            f"models: {way_out}"
        )
