"""Who is a member, in a table of scores: two tables, a column, or a saved split."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hf_privacy.auditing.score_table.read import required, truths
from hf_privacy.data import MembershipSplit
from hf_privacy.errors import InputError
from hf_privacy.recipe.sections import DataSection

MEMBER = "member"  # the column's name where none is given
FEWEST = 10  # on a side: fewer show nothing of a leak


def split_of(
    table: pa.Table, is_member: np.ndarray | None, data: DataSection, *, fingerprint: str, id_column: str
) -> MembershipSplit:
    """The split of the table's rows.

    Parameters
    ----------
    table : pyarrow.Table
    is_member : bool array of shape [N], optional
        Where two tables say it.
    data : DataSection
        Its ``member_column``, ``split_file`` and ``group_column``.
    fingerprint : str
        Of the table.
    id_column : str
        With a split file, says which row of the split's dataset each is; without that column they are in its order.

    Raises
    ------
    InputError
        For nothing that says who is a member, or several things that do, a split of another number of rows, and fewer
        than 10 members or non-members.
    """
    told = [name for name in ("member_column", "split_file") if getattr(data, name) is not None]
    if is_member is not None and told:
        raise InputError(f"data.{told[0]} is set, and two tables say who is a member: leave one out")
    if is_member is not None:
        parts = (np.flatnonzero(is_member), np.flatnonzero(~is_member), np.empty(0, dtype=np.int64))
    elif data.split_file is not None:
        parts = _by_split(table, MembershipSplit.load(data.split_file), id_column)
    else:
        if data.member_column is None and MEMBER not in table.column_names:
            raise InputError(
                "nothing says which records the model was trained on: name a column of true and false with "
                "--member-column (by default member), pass --data.split_file, or two tables with --members and "
                f"--nonmembers; the table has the columns {', '.join(table.column_names[:20])}"
            )
        column = data.member_column or MEMBER
        held = truths(table, column, argument="data.member_column")
        parts = (np.flatnonzero(held), np.flatnonzero(~held), np.empty(0, dtype=np.int64))
    for side, name in ((parts[0], "members"), (parts[1], "non-members")):
        if len(side) < FEWEST:
            raise InputError(
                f"the table has {len(side) or 'no'} {name}: at least {FEWEST} a side are needed to tell them apart, "
                "and hundreds for the rates that matter"
            )
    groups = None
    if data.group_column is not None:
        values = required(table, data.group_column, argument="data.group_column")
        if values.null_count:
            raise InputError(
                f"data.group_column is {data.group_column!r}, which is empty in {values.null_count:,} rows"
            )
        groups = np.unique(values.to_numpy(), return_inverse=True)[1].astype(np.int64)
    return MembershipSplit(
        *parts, n_examples=table.num_rows, dataset_fingerprint=fingerprint, groups=groups, unit=data.group_column
    )


def _by_split(table: pa.Table, split: MembershipSplit, id_column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if id_column in table.column_names:
        if not pa.types.is_integer(table[id_column].type):
            raise InputError(
                f"column {id_column!r} holds {table[id_column].type} and a split file goes by row numbers: number the "
                "rows, or leave the column out where they are in the split's order"
            )
        rows = table[id_column].to_numpy()
        outside = int(((rows < 0) | (rows >= split.n_examples)).sum())
        if outside:
            raise InputError(
                f"column {id_column!r} holds {outside:,} row numbers outside the split's dataset of "
                f"{split.n_examples:,} rows: pass the split of these records"
            )
    elif table.num_rows != split.n_examples:
        raise InputError(
            f"the split is of {split.n_examples:,} rows and the table has {table.num_rows:,}: pass the split of these "
            f"records, or say in a column {id_column!r} which row each is"
        )
    else:
        rows = np.arange(table.num_rows)
    members, others, population = (
        np.flatnonzero(np.isin(rows, part)) for part in (split.members, split.non_members, split.population)
    )
    return members, others, population
