"""A safetensors file whose header is checked before anything is read from it, and whose tensors stay on disk."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from hf_privacy.signals.file_mapping import map_file

_DTYPES = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "U8": np.dtype("u1")}
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
    described = {name: value for name, value in metadata.items() if name != DIGEST}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return {**described, DIGEST: digest.hexdigest()}


class TensorFile:
    """A whole safetensors file; tensors are mapped into memory, not read.

    Nothing keeps the file open: a mapping made with :meth:`mapped` outlives its handle, so that thousands of files
    can be mapped at once.

    Examples
    --------
    >>> import tempfile
    >>> from safetensors.numpy import save_file
    >>> path = Path(tempfile.mkdtemp(), "x.safetensors")
    >>> save_file({"phi": np.array([[1.0, 2.0]])}, path)
    >>> TensorFile.open(path, {"phi": ("F64", (1, 2))}).mapped()["phi"][0, 1]
    np.float64(2.0)
    >>> TensorFile.open(path, {"phi": ("F64", (1, 3))}) is None
    True
    """

    def __init__(self, path: Path, metadata: Mapping[str, str]) -> None:
        self.path = path
        self.metadata = metadata

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
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                found = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
        except (FileNotFoundError, SafetensorError):
            return None
        return cls(path, metadata) if found == dict(tensors) else None

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
                digest = sealed(self.mapped(), self.metadata)[DIGEST]
                _DIGESTS[self.path] = (stamp, digest)
        except FileNotFoundError:
            return False
        return digest == self.metadata.get(DIGEST)

    def mapped(self) -> dict[str, np.ndarray]:
        """Every tensor, read-only, by one mapping that holds no file open: only the pages used are read from disk.

        `safe_open` copies what it gives as NumPy arrays, so the places are read from the header (huggingface/
        safetensors, "Format"): eight bytes with its length, a JSON header with dtype, shape and byte range of each
        tensor, then the bytes.
        """
        whole = map_file(self.path)
        start = 8 + int.from_bytes(whole[:8].tobytes(), "little")
        header = json.loads(whole[8:start].tobytes())
        data = whole[start:]
        return {
            name: data[slice(*entry["data_offsets"])].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in header.items()
            if name != "__metadata__"
        }
