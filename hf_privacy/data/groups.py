"""Rows that belong together: all of one author, user or document are members, or none of them is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from hf_privacy.arguments import LARGEST_SEED, check_seed, check_whole
from hf_privacy.data.columns import require_column
from hf_privacy.errors import InputError

# Two for each side: with fewer nothing is left to compare.
FEWEST_GROUPS = 4


def group_numbers(dataset: Dataset, group_column: str) -> np.ndarray:
    """The number of each row's group, from 0 in the order in which the groups first occur: int64[N].

    Parameters
    ----------
    dataset : Dataset
    group_column : str
        Of texts, whole numbers, truth values or dates: whose row it is.

    Raises
    ------
    InputError
        Unknown column, one of another type, missing values (blank texts and NaN too), or fewer than 4 groups.

    Examples
    --------
    >>> group_numbers(Dataset.from_dict({"author": ["b", "a", "b", "c", "d"]}), "author")
    array([0, 1, 0, 2, 3])
    """
    require_column(dataset, group_column, argument="group_column")
    column = dataset.with_format("arrow").select_columns([group_column])[:].column(0)
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise InputError(
            f"group_column {group_column!r} holds {kind} values: use a column with one name or number for each row"
        )
    n_missing = column.null_count
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        n_missing += pc.sum(pc.equal(pc.utf8_trim_whitespace(column), "")).as_py() or 0
    elif pa.types.is_floating(kind):
        n_missing += pc.sum(pc.is_nan(column)).as_py() or 0
    if n_missing:
        raise InputError(
            f"group_column {group_column!r} has {n_missing:,} missing values: name the group of every row, or drop "
            "those rows"
        )
    groups = column.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    n_groups = len(np.unique(groups))
    if n_groups < FEWEST_GROUPS:
        raise InputError(
            f"group_column {group_column!r} has {n_groups} different {'value' if n_groups == 1 else 'values'}: at "
            f"least {FEWEST_GROUPS} groups are needed, two for each side of the split"
        )
    return groups


def class_of_groups(groups: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
    """The class of each group, in the order of their numbers; None where a group has rows of several classes.

    Parameters
    ----------
    groups, classes : int64[N]

    Returns
    -------
    int64[G] or None

    Examples
    --------
    >>> class_of_groups(np.array([0, 0, 2]), np.array([1, 1, 0]))
    array([1, 0])
    >>> class_of_groups(np.array([0, 0, 2]), np.array([1, 0, 0])) is None
    True
    """
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    found = classes[first]
    return found if np.array_equal(found[place], classes) else None


def whole_groups(groups: np.ndarray, *, max_rows: int, classes: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Rows of randomly drawn whole groups, as many as ``max_rows`` hold: int64[≤ max_rows], sorted.

    Parameters
    ----------
    groups : int64[N]
    max_rows : int
    classes : int64[N], optional
        Where every group is of one class, classes keep their shares of the groups.
    seed : int

    Raises
    ------
    InputError
        Where so few rows hold fewer than 4 groups.

    Examples
    --------
    >>> whole_groups(np.repeat(np.arange(6), 2), max_rows=9).size
    8
    """
    max_rows = check_whole("max_rows", max_rows, at_least=1)
    generator = np.random.default_rng(check_seed(seed, at_most=LARGEST_SEED))
    names, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    of_group = None if classes is None else class_of_groups(groups, classes)
    strata = np.zeros(len(names), dtype=np.int64) if of_group is None else np.unique(of_group, return_inverse=True)[1]
    # Evenly spread within its stratum, and strata side by side: every beginning holds each in its share.
    at = generator.random(len(names))
    for stratum in range(strata.max() + 1):
        inside = np.flatnonzero(strata == stratum)
        at[generator.permutation(inside)] = (np.arange(len(inside)) + at[inside]) / len(inside)
    order = np.argsort(at, kind="stable")
    taken = order[np.cumsum(sizes[order]) <= max_rows]
    if len(taken) < FEWEST_GROUPS:
        raise InputError(
            f"max_examples is {max_rows:,}, which holds {len(taken)} whole groups of {len(names):,}: raise it, for at "
            f"least {FEWEST_GROUPS} are needed"
        )
    return np.flatnonzero(np.isin(place, taken))
