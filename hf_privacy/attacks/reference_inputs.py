"""What the attacks ask of the tables of reference models they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
