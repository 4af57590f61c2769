"""A safetensors file whose header is checked against its length before anything is read from it."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hf_privacy.signals.file_mapping import map_file

_DTYPES = {"F64": np.dtype("<f8"), "U8": np.dtype("u1")}
_CHUNK_BYTES = 1 << 22
_RACY_NANOSECONDS = 2 * 10**9
DIGEST = "sha256"
# Of each file that was read through: what told it from other versions of itself then, and its digest.
_DIGESTS: dict[Path, tuple[tuple[int, int, int], str]] = {}


def sealed(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> dict[str, str]:
    """``metadata`` with a SHA-256 of itself and of the tensors, for the header of a file that can tell it is whole.

    Examples
    --------
    >>> sorted(sealed({"phi": np.zeros(2)}, {"model": "0"}))
    ['model', 'sha256']
    """
    digest = _started(metadata)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return {**metadata, DIGEST: digest.hexdigest()}


def _started(metadata: Mapping[str, str]) -> Any:
    described = {name: value for name, value in metadata.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode())


class TensorFile:
    """The parsed header of a whole safetensors file; tensors are mapped into memory, not read.

    Nothing keeps the file open: a mapping made with :meth:`mapped` outlives its handle, so that thousands of files
    can be mapped at once.

    The format (huggingface/safetensors, "Format"): eight bytes with the header's length, a JSON header that gives
    dtype, shape and byte range of each tensor, then the bytes.

    Examples
    --------
    >>> import tempfile
    >>> from safetensors.numpy import save_file
    >>> path = Path(tempfile.mkdtemp(), "x.safetensors")
    >>> save_file({"phi": np.array([[1.0, 2.0]])}, path)
    >>> TensorFile.open(path, {"phi": ("F64", (1, 2))}).tensor("phi")[0, 1]
    np.float64(2.0)
    >>> TensorFile.open(path, {"phi": ("F64", (1, 3))}) is None
    True
    """

    def __init__(self, path: Path, header: Mapping[str, dict], data_start: int) -> None:
        self.path = path
        self.metadata: dict[str, str] = header.get("__metadata__", {})
        self._header = header
        self._data_start = data_start

    @classmethod
    def open(cls, path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> TensorFile | None:
        """The file at `path`, or None if it is absent, cut short, damaged or holds other tensors.

        Parameters
        ----------
        path : Path
        tensors : mapping of str to (dtype, shape)
            The tensors it must hold, dtype as safetensors names it (``"F64"``, ``"U8"``).
        """
        try:
            with path.open("rb") as file:
                header_length = int.from_bytes(file.read(8), "little")
                size = path.stat().st_size
                if not 0 < header_length <= size - 8:
                    return None
                header = json.loads(file.read(header_length))
        except (FileNotFoundError, ValueError):  # ValueError: not JSON, not UTF-8
            return None
        data_start = 8 + header_length
        try:
            return cls(path, header, data_start) if _fits(header, tensors, size - data_start) else None
        except (AttributeError, KeyError, TypeError, ValueError):  # JSON of another shape: bytes were changed
            return None

    def is_sealed(self) -> bool:
        """Whether the file's digest is that of its header's text and its tensors, as `sealed` made it.

        A file is read through once; while its size and time stay the same it is not read for this again.
        """
        try:
            stat = self.path.stat()
            stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            # A file that was written just now can be written again without its time showing it.
            settled = abs(time.time_ns() - stat.st_mtime_ns) > _RACY_NANOSECONDS
            known, digest = _DIGESTS.get(self.path, (None, ""))
            if known != stamp or not settled:
                digest = self._digest()
                _DIGESTS[self.path] = (stamp, digest)
        except FileNotFoundError:
            return False
        return digest == self.metadata.get(DIGEST)

    def _digest(self) -> str:
        digest = _started(self.metadata)
        with self.path.open("rb") as stream:
            for name in sorted(set(self._header) - {"__metadata__"}):
                first, last = self._header[name]["data_offsets"]
                digest.update(name.encode())
                stream.seek(self._data_start + first)
                left = last - first
                while piece := stream.read(min(left, _CHUNK_BYTES)):
                    digest.update(piece)
                    left -= len(piece)
        return digest.hexdigest()

    def mapped(self) -> dict[str, np.ndarray]:
        """Every tensor, mapped read-only by one mapping that holds no file open."""
        whole = map_file(self.path)
        found = {}
        for name, entry in self._header.items():
            if name != "__metadata__":
                first, last = (self._data_start + offset for offset in entry["data_offsets"])
                found[name] = whole[first:last].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        return found

    def tensor(self, name: str) -> np.ndarray:
        """The tensor `name`, mapped read-only: only the pages that are used are read from disk."""
        entry = self._header[name]
        return np.memmap(
            self.path,
            dtype=_DTYPES[entry["dtype"]],
            mode="r",
            offset=self._data_start + entry["data_offsets"][0],
            shape=tuple(entry["shape"]),
        )


def _fits(header: dict[str, Any], tensors: Mapping[str, tuple[str, tuple[int, ...]]], n_bytes: int) -> bool:
    """Whether a header is of these tensors, laid out within so many bytes of data."""
    if set(header) - {"__metadata__"} != set(tensors):
        return False
    if not all(isinstance(text, str) for text in header.get("__metadata__", {}).values()):
        return False
    ends = []
    for name, (dtype, shape) in tensors.items():
        entry = header[name]
        first, last = entry["data_offsets"]
        if (entry["dtype"], entry["shape"]) != (dtype, list(shape)) or first < 0:
            return False
        if last - first != math.prod(shape) * _DTYPES[dtype].itemsize:
            return False
        ends.append(last)
    return max(ends) == n_bytes
