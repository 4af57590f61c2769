"""Bytes that a value has whatever holds it, and the rows of a dataset as they are stored.

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Image
from datasets.utils.file_utils import is_local_path
from PIL import Image as PillowImage

from hf_privacy.data.columns import require_column, require_rows
from hf_privacy.errors import InputError, one_line

_BATCH = 1000
_EXACT_INTEGER = 2**53  # float64 holds every integer up to here
_MOST_STORED = 64
_STORED: dict[tuple[str, tuple[str, ...]], str] = {}  # what `stored_fingerprint` has found in this process


def stored_fingerprint(dataset: Dataset, columns: Sequence[str]) -> str:
    """SHA-256 (64 hexadecimal digits) of the rows as they are stored: of an image its file's bytes, nothing decoded.

    Rows with one fingerprint are equal; rows that are equal may have two, such as a picture as PNG and as BMP. What is
    derived from rows is kept under it, see `hf_privacy.data.encoded_store`.

    Raises
    ------
    InputError
        As `content_hashes`, and for an image file that cannot be read.

    Examples
    --------
    >>> rows = Dataset.from_dict({"x": [1, 2]})
    >>> stored_fingerprint(rows, ["x"]) == stored_fingerprint(rows.select([1, 0]), ["x"])
    False
    """
    names = content_columns(dataset, columns)
    key = (str(dataset._fingerprint), tuple(names))  # of `datasets`: within a process it names the rows
    if key not in _STORED:
        image_column = image_column_of(dataset, names)
        rows = RowBytes(dataset, names, given=image_column)
        # The same file is another picture where the column asks for another mode.
        mode = None if image_column is None else dataset.features[image_column].mode
        digest = hashlib.sha256(f"{len(dataset)} {mode}".encode())
        for start in range(0, len(dataset), _BATCH):
            stop = min(start + _BATCH, len(dataset))
            files = None if image_column is None else _file_bytes(dataset, image_column, start, stop)
            for row in rows.between(start, stop, files):
                digest.update(hashlib.blake2b(row, digest_size=16).digest())
        if len(_STORED) >= _MOST_STORED:
            _STORED.clear()
        _STORED[key] = digest.hexdigest()
    return _STORED[key]


def content_columns(dataset: Dataset, columns: Sequence[str] | None) -> list[str]:
    """The columns that make up the content, sorted; all by default."""
    require_rows(dataset)
    given = dataset.column_names if columns is None else columns
    names = [given] if isinstance(given, str) else list(given)
    for name in names:
        require_column(dataset, name, argument="columns")
    if not names or len(set(names)) != len(names):
        raise InputError(f"columns is {names}: name each column once and at least one")
    return sorted(names)


def image_column_of(dataset: Dataset, columns: Sequence[str]) -> str | None:
    """The one among these columns that holds decoded images; None where there is none, or more than one."""
    found = [name for name in columns if isinstance(dataset.features[name], Image) and dataset.features[name].decode]
    return found[0] if len(found) == 1 else None


def _file_bytes(dataset: Dataset, column: str, start: int, stop: int) -> list[bytes]:
    """The bytes of each image's file."""
    values = dataset.with_format("arrow").select_columns([column])[start:stop].column(0).to_pylist()
    found = []
    for value in values:
        if value is None or (value["bytes"] is None and value["path"] is None):
            found.append(b"n")
        elif value["bytes"] is not None:
            found.append(_framed(b"e", value["bytes"]))
        elif is_local_path(value["path"]):
            try:
                found.append(_framed(b"e", Path(value["path"]).read_bytes()))
            except OSError as error:
                raise InputError(
                    f"column {column!r} names an image file that cannot be read: {one_line(error)}"
                ) from error
        else:
            found.append(_framed(b"u", value["path"].encode()))
    return found


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


class RowBytes:
    """Canonical bytes of a dataset's rows, from one row number to another; number lists go from Arrow to NumPy.

    Parameters
    ----------
    dataset : datasets.Dataset
    names : sequence of str
        Sorted.
    given : str, optional
        A column whose bytes the caller gives.
    """

    def __init__(self, dataset: Dataset, names: Sequence[str], *, given: str | None = None) -> None:
        dataset = dataset.with_format(None).select_columns(list(names))
        read = [name for name in names if name != given]
        lists = [name for name in read if _is_number_list(dataset.features.arrow_schema.field(name).type)]
        self._names, self._given, self._lists = list(names), given, lists
        self._others = [name for name in read if name not in lists]
        self._decoded = dataset.select_columns(self._others) if self._others else None
        self._arrow = dataset.select_columns(lists).with_format("arrow") if lists else None

    def between(self, start: int, stop: int, given: list[bytes] | None = None) -> list[bytes]:
        """Of the rows from `start` to `stop`."""
        encoded: dict[str, list[bytes]] = {}
        if self._given is not None:
            assert given is not None
            encoded[self._given] = given
        if self._arrow is not None:
            table = self._arrow[start:stop]
            encoded.update({name: _number_lists(table.column(name)) for name in self._lists})
        if self._decoded is not None:
            batch = self._decoded[start:stop]
            encoded.update({name: _column_bytes(name, batch[name]) for name in self._others})
        headers = [_framed(b"c", name.encode()) for name in self._names]
        columns = [encoded[name] for name in self._names]
        return [b"".join(map(bytes.__add__, headers, row)) for row in zip(*columns, strict=True)]


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
