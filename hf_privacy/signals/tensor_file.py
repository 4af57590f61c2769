"""A safetensors file whose header is checked against its length before anything is read from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_DTYPES = {"F64": np.dtype("<f8"), "U8": np.dtype("u1")}


class TensorFile:
    """The parsed header of a whole safetensors file; tensors are mapped into memory, not read.

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
        if not isinstance(header, dict) or set(header) - {"__metadata__"} != set(tensors):
            return None
        for name, (dtype, shape) in tensors.items():
            entry = header[name]
            if not isinstance(entry, dict) or (entry.get("dtype"), entry.get("shape")) != (dtype, list(shape)):
                return None
            first, last = entry["data_offsets"]
            if last - first != math.prod(shape) * _DTYPES[dtype].itemsize:
                return None
        if data_start + max(header[name]["data_offsets"][1] for name in tensors) != size:
            return None
        return cls(path, header, data_start)

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
