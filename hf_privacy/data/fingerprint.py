"""Names for rows and datasets that depend on their content alone.

`datasets` has a fingerprint of its own, but that one follows the path and the history of transforms: the same rows
read from another folder get another one. Here a row is hashed by what it holds, after decoding.

Canonical bytes of a value (each with a type letter and a length, so that no two contents share their bytes):
an image by mode, size and decoded pixels (palettes resolved); a string by its UTF-8; a number by its float64, so that
1, 1.0 and uint8(1) agree, or by its decimal digits where float64 cannot hold it; a list of numbers by shape and
float64 values; other lists and dictionaries by their parts; bytes and None as they are; dates by ISO 8601.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from PIL import Image as PillowImage

from hf_privacy.data.columns import require_column, require_rows
from hf_privacy.errors import InputError
from hf_privacy.progress import progress

_BATCH = 1000
_EXACT_INTEGER = 2**53  # float64 holds every integer up to here


def content_hashes(dataset: Dataset, *, columns: Sequence[str] | None = None) -> np.ndarray:
    """BLAKE2b-128 of the content of each row, as 32 hexadecimal digits.

    The same row gives the same hash in every process, on every machine, from every file format that keeps its values
    and in every place of the dataset. The order of the columns does not matter, their names do.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns that make up the content; all by default.

    Returns
    -------
    str[N]

    Raises
    ------
    InputError
        Unknown or repeated column, or a value that has no canonical bytes.

    Examples
    --------
    >>> rows = Dataset.from_dict({"text": ["a", "b", "a"]})
    >>> hashes = content_hashes(rows)
    >>> bool(hashes[0] == hashes[2] != hashes[1]), len(hashes[0])
    (True, 32)
    """
    names = _content_columns(dataset, columns)
    hashes: list[str] = []
    for rows in _encoded_batches(dataset, names):
        hashes.extend(hashlib.blake2b(row, digest_size=16).hexdigest() for row in rows)
    return np.array(hashes, dtype="<U32")


def example_ids(dataset: Dataset, *, columns: Sequence[str] | None = None) -> np.ndarray:
    """A unique, stable name for each row: its content hash, with "-1", "-2", … on the second, third, … equal row.

    The set of names does not change when the rows change places. Names come from content, so a name can be matched
    against a suspected row: keep them local, as the rows themselves.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns that make up the content; all by default.

    Returns
    -------
    str[N]

    Raises
    ------
    InputError
        As `content_hashes`.

    Examples
    --------
    >>> names = example_ids(Dataset.from_dict({"text": ["a", "b", "a"]}))
    >>> str(names[2]) == str(names[0]) + "-1"
    True
    """
    seen: dict[str, int] = {}
    names = []
    for name in content_hashes(dataset, columns=columns).tolist():
        count = seen.get(name, 0)
        seen[name] = count + 1
        names.append(f"{name}-{count}" if count else name)
    return np.array(names, dtype=str)


def dataset_fingerprint(dataset: Dataset, *, columns: Sequence[str] | None = None) -> str:
    """SHA-256 (64 hexadecimal digits) of the rows' contents in their order.

    Row i of two datasets with the same fingerprint holds the same values, wherever they were read from.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns that make up the content; all by default.

    Raises
    ------
    InputError
        As `content_hashes`.

    Examples
    --------
    >>> one, other = Dataset.from_dict({"x": [1, 2]}), Dataset.from_dict({"x": [2, 1]})
    >>> dataset_fingerprint(one) == dataset_fingerprint(other)
    False
    """
    hashes = content_hashes(dataset, columns=columns)
    return hashlib.sha256("\n".join([str(len(hashes)), *hashes.tolist()]).encode()).hexdigest()


def canonical_bytes(value: Any) -> bytes:
    """Canonical bytes of one value, as the module describes them.

    Raises
    ------
    TypeError
        For a type that has none.
    """
    if value is None:
        return b"n"
    if isinstance(value, str):
        return _framed(b"s", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, (bool, int, float, np.number, np.bool_)):
        return _number(value)
    if isinstance(value, PillowImage.Image):
        return _image(value)
    if isinstance(value, bytes):
        return _framed(b"y", value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return _list(value)
    if isinstance(value, dict):
        parts = (canonical_bytes(str(key)) + canonical_bytes(value[key]) for key in sorted(value, key=str))
        return _framed(b"d", b"".join(parts))
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
        text = str(value.total_seconds()) if isinstance(value, datetime.timedelta) else value.isoformat()
        return _framed(b"t", text.encode())
    raise TypeError(type(value).__name__)


def _framed(letter: bytes, content: bytes) -> bytes:
    return letter + struct.pack("<Q", len(content)) + content


def _number(value: Any) -> bytes:
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, int) and abs(number) > _EXACT_INTEGER:
        return _framed(b"i", str(number).encode())
    return b"f" + _float_bytes(np.array([number], dtype=np.float64))


def _float_bytes(values: np.ndarray) -> bytes:
    values = values + 0.0  # −0.0 becomes 0.0
    values[np.isnan(values)] = np.nan  # one NaN, whatever its payload
    return values.astype("<f8").tobytes()


def _vector(values: np.ndarray) -> bytes:
    shape = struct.pack(f"<{values.ndim + 1}Q", values.ndim, *values.shape)
    return _framed(b"v", shape + _float_bytes(values.astype(np.float64)))


def _list(value: Any) -> bytes:
    if len(value) and isinstance(value[0], (bool, int, float, np.generic, list, tuple, np.ndarray)):
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError):  # lists of different lengths, integers beyond 64 bits
            array = np.empty(0, dtype=object)
        if array.size and (array.dtype.kind in "bf" or (array.dtype.kind in "iu" and _float64_holds(array))):
            return _vector(array)
    return _framed(b"l", b"".join(canonical_bytes(part) for part in value))


def _float64_holds(values: np.ndarray) -> bool:
    return bool(values.max(initial=0) <= _EXACT_INTEGER and values.min(initial=0) >= -_EXACT_INTEGER)


def _image(image: PillowImage.Image) -> bytes:
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # the same indices under another palette are another picture
    return _framed(b"p", f"{image.mode} {image.width} {image.height} ".encode() + image.tobytes())


def _content_columns(dataset: Dataset, columns: Sequence[str] | None) -> list[str]:
    require_rows(dataset)
    given = dataset.column_names if columns is None else columns
    names = [given] if isinstance(given, str) else list(given)
    for name in names:
        require_column(dataset, name, argument="columns")
    if not names or len(set(names)) != len(names):
        raise InputError(f"columns is {names}: name each column once and at least one")
    return sorted(names)


def _encoded_batches(dataset: Dataset, names: list[str]) -> Iterator[list[bytes]]:
    """Canonical bytes of the rows, batch by batch; number lists go straight from Arrow to NumPy."""
    dataset = dataset.with_format(None).select_columns(names)
    lists = [name for name in names if _is_number_list(dataset.features.arrow_schema.field(name).type)]
    others = [name for name in names if name not in lists]
    decoded = dataset.select_columns(others) if others else None
    arrow = dataset.select_columns(lists).with_format("arrow") if lists else None
    starts = range(0, len(dataset), _BATCH)
    for start in progress(starts, description=f"hashing rows, {_BATCH} at a time"):
        stop = min(start + _BATCH, len(dataset))
        encoded: dict[str, list[bytes]] = {}
        if arrow is not None:
            table = arrow[start:stop]
            encoded.update({name: _number_lists(table.column(name)) for name in lists})
        if decoded is not None:
            batch = decoded[start:stop]
            encoded.update({name: _column_bytes(name, batch[name]) for name in others})
        headers = [_framed(b"c", name.encode()) for name in names]
        columns = [encoded[name] for name in names]
        yield [b"".join(map(bytes.__add__, headers, row)) for row in zip(*columns, strict=True)]


def _column_bytes(name: str, values: Sequence[Any]) -> list[bytes]:
    try:
        return [canonical_bytes(value) for value in values]
    except TypeError as error:
        raise InputError(
            f"column {name!r} holds {error} values, which have no canonical bytes: leave it out with columns=[...]"
        ) from error


def _is_number_list(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    return pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)


def _number_lists(column: pa.ChunkedArray) -> list[bytes]:
    encoded: list[bytes] = []
    for chunk in column.chunks:
        offsets = chunk.offsets.to_numpy()
        values = chunk.values
        numbers = None if chunk.null_count or values.null_count else values.to_numpy(zero_copy_only=False)
        if numbers is None or (numbers.dtype.kind in "iu" and not _float64_holds(numbers)):
            encoded.extend(canonical_bytes(value) for value in chunk.to_pylist())
            continue
        spans = itertools.pairwise(offsets.tolist())
        encoded.extend(_vector(numbers[a:b]) if b > a else canonical_bytes([]) for a, b in spans)
    return encoded
