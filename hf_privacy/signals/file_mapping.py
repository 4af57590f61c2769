"""A file's bytes in memory without a handle held open for them."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from functools import cache
from pathlib import Path

import numpy as np


def map_file(path: Path) -> np.ndarray:
    """A file's bytes, mapped read-only: only the pages that are used are read from disk.

    The mapping holds no file handle, where those of NumPy and of Python up to 3.12 hold one each, so that thousands of
    files can be mapped at once.

    Parameters
    ----------
    path : Path
        Not empty.

    Returns
    -------
    uint8[size]
        Read-only.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "x")
    >>> _ = path.write_bytes(b"ab")
    >>> map_file(path)
    array([97, 98], dtype=uint8)
    """
    if os.name == "nt":  # where handles are no scarce thing
        return np.asarray(np.memmap(path, mode="r"))
    size = path.stat().st_size
    descriptor = os.open(path, os.O_RDONLY)
    try:
        address = _libc().mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    finally:
        os.close(descriptor)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    buffer = (ctypes.c_uint8 * size).from_address(address)
    # Not at the interpreter's exit: what is still in use then goes with the process.
    weakref.finalize(buffer, _libc().munmap, address, size).atexit = False
    array = np.frombuffer(buffer, dtype=np.uint8)
    array.flags.writeable = False
    return array


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    number, size = ctypes.c_int, ctypes.c_size_t
    library.mmap.argtypes = [ctypes.c_void_p, size, number, number, number, ctypes.c_longlong]
    library.munmap.argtypes = [ctypes.c_void_p, size]
    return library
