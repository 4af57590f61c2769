"""A table of scores, from a file; nothing of a row is ever said but how many there are."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet
from pyarrow import json as json_lines

from hf_privacy.errors import InputError, one_line


def read_table(source: str | Path, *, argument: str) -> pa.Table:
    """The rows of a Parquet, CSV, TSV, JSON or JSON lines file, numbers as exact as they stand there.

    Parameters
    ----------
    source : path
    argument : str
        What messages call it.

    Raises
    ------
    InputError
        For no such file, one that cannot be read, two columns of one name, and a table without rows.
    """
    path = Path(source).expanduser()
    if path.suffix not in _READERS:
        raise InputError(f"{argument} is {path.name!r}: pass a file that ends in {', '.join(_READERS)}")
    if not path.is_file():
        raise InputError(f"{argument} is {path.name!r}: there is no such file")
    try:
        table = _READERS[path.suffix](path)
    except (pa.ArrowException, ValueError, TypeError, UnicodeDecodeError) as error:
        raise InputError(f"{argument} is {path.name!r}, which cannot be read: {one_line(error)}") from error
    twice = [name for name in table.column_names if table.column_names.count(name) > 1]
    if twice:
        raise InputError(f"{argument} has two columns called {twice[0]!r}: give each a name of its own")
    if not table.num_rows:
        raise InputError(f"{argument} is {path.name!r}, which has no rows")
    return table


def read_sides(members: str | Path, nonmembers: str | Path) -> tuple[pa.Table, np.ndarray]:
    """Two tables of one form, one below the other, and which rows are of the first: bool [N].

    Raises
    ------
    InputError
        As `read_table`; also where one has a column that the other lacks, or of another kind.
    """
    tables = [read_table(members, argument="members"), read_table(nonmembers, argument="nonmembers")]
    names = [table.column_names for table in tables]
    for one, other, whose in zip(names, reversed(names), ("members", "nonmembers"), strict=True):
        alone = [name for name in one if name not in other]
        if alone:
            raise InputError(f"{whose} has the column {alone[0]!r} and the other table has not: pass two of one form")
    try:
        both = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(f"members and nonmembers do not go together: {one_line(error)}") from error
    return both, np.arange(both.num_rows) < tables[0].num_rows


def required(table: pa.Table, column: str, *, argument: str) -> pa.ChunkedArray:
    """A column by its name.

    Raises
    ------
    InputError
        Where there is none: names the nearest, and all there are.

    Examples
    --------
    >>> required(pa.table({"label": [0]}), "lable", argument="label")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: label is 'lable' and the table has the columns label; did you mean 'label'?
    """
    if column not in table.column_names:
        close = difflib.get_close_matches(column, table.column_names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        shown = ", ".join(table.column_names[:20]) + (", …" if len(table.column_names) > 20 else "")
        raise InputError(f"{argument} is {column!r} and the table has the columns {shown}{hint}")
    return table[column]


def truths(table: pa.Table, column: str, *, argument: str) -> np.ndarray:
    """A column of true and false, or of 1 and 0: bool [N].

    Raises
    ------
    InputError
        For a column that is missing, or holds anything else.

    Examples
    --------
    >>> truths(pa.table({"member": [1, 0]}), "member", argument="member_column")
    array([ True, False])
    """
    values = required(table, column, argument=argument)
    if values.null_count:
        raise InputError(f"{argument} is {column!r}, which is empty in {values.null_count:,} rows: say it of each row")
    kind = values.type
    if pa.types.is_boolean(kind):
        return values.to_numpy()
    numbers = values.to_numpy() if pa.types.is_integer(kind) or pa.types.is_floating(kind) else np.full(1, np.nan)
    if not np.isin(numbers, (0, 1)).all():
        raise InputError(f"{argument} is {column!r}: its values are to be true and false, or 1 and 0")
    return numbers == 1


def check_ids(table: pa.Table, column: str) -> None:
    """Refuse ids that are missing, or that two rows share.

    Raises
    ------
    InputError
    """
    if column not in table.column_names:
        return
    values = table[column]
    if values.null_count:
        raise InputError(
            f"column {column!r} is empty in {values.null_count:,} rows: give each row its own, or drop it"
        )
    repeated = table.num_rows - pc.count_distinct(values).as_py()
    if repeated:
        raise InputError(
            f"column {column!r} repeats an id in {repeated:,} rows: the table holds one row a record, so average or "
            "drop the others"
        )


def fingerprint(columns: Sequence[np.ndarray]) -> str:
    """SHA-256 (64 hexadecimal digits) over arrays and their shapes.

    Examples
    --------
    >>> len(fingerprint([np.zeros(3)]))
    64
    """
    digest = hashlib.sha256(b"hf_privacy score table 1\n")
    for values in columns:
        digest.update(f"{values.dtype.str} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _of_json(path: Path) -> pa.Table:
    """One JSON value: a list of records, or lists by column."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(found, list) and all(isinstance(record, dict) for record in found):
        return pa.Table.from_pylist(found)
    if isinstance(found, dict) and all(isinstance(values, list) for values in found.values()):
        return pa.table(found)
    raise ValueError("it is neither a list of records nor a list for each column")


_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".parquet": lambda path: parquet.ParquetFile(path).read(),
    ".csv": lambda path: csv.read_csv(path),
    ".tsv": lambda path: csv.read_csv(path, parse_options=csv.ParseOptions(delimiter="\t")),
    ".json": _of_json,
    ".jsonl": lambda path: json_lines.read_json(path),
}
