"""Members and non-members from two sources, as one dataset that says which row is which."""

from __future__ import annotations

import datasets
import numpy as np
from datasets import Dataset

from hf_privacy.data.loading import load_dataset_from
from hf_privacy.errors import InputError


def load_sides(
    members: str, nonmembers: str, *, split: str | None = None, name: str | None = None, revision: str | None = None
) -> tuple[Dataset, str]:
    """One dataset of two sources, members first, and the name of its column of true and false.

    Parameters
    ----------
    members, nonmembers : str
        Each as `load_dataset_from` takes it.
    split, name, revision : str, optional
        Of both, as there.

    Raises
    ------
    InputError
        As `load_dataset_from`; also for one source given twice, no rows, and columns that differ.
    """
    if members == nonmembers:
        raise InputError(f"members and nonmembers are both {members!r}: pass what the model saw, and what it did not")
    sides = [load_dataset_from(source, split=split, name=name, revision=revision) for source in (members, nonmembers)]
    for called, rows, other in (("members", *sides), ("nonmembers", *reversed(sides))):
        if not len(rows):
            raise InputError(f"{called} holds no rows: an audit compares both")
        alone = [column for column in rows.column_names if column not in other.column_names]
        if alone:
            raise InputError(
                f"{called} has the column {alone[0]!r} and the other side has not: pass two sources with the same "
                "columns"
            )
    first = sides[0]
    try:
        both = datasets.concatenate_datasets([first, sides[1].select_columns(first.column_names).cast(first.features)])
    except (ValueError, TypeError) as error:
        raise InputError(
            f"members and nonmembers have columns of different kinds ({str(error).splitlines()[0]}): bring them to one"
        ) from error
    column = "member"
    while column in both.column_names:
        column = f"is_{column}"
    return both.add_column(column, np.arange(len(both)) < len(first)), column
