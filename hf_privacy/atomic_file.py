"""Files that appear whole or not at all, and work that one process claims, whatever kills it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

# What the system says where a disk, or a user's share of it, is full, and where it may not be written.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_TEMPORARY = re.compile(r"^(\.(.+)\.[0-9a-f]{32}\.tmp)(\.lock)?$")


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write under a temporary name beside `path`, flush to disk, then rename; ``mode`` is the file's permission."""
    with disk_errors_named(path, len(content)), temporary_beside(path) as temporary:
        _write_new(temporary, content, mode)
        os.replace(temporary, path)
    flush_folder(path.parent)


def write_through(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a new file and flush it to disk."""
    with disk_errors_named(path, len(content)):
        _write_new(path, content, mode)


@contextmanager
def disk_errors_named(path: Path, size: int | None = None) -> Iterator[None]:
    """Let an error of a full or read-only disk say which file was to be written, and how many bytes it takes.

    Of a temporary name the final one is said; a file that the error names already stays.

    Raises
    ------
    OSError
        Of the same number. Other errors pass as they are.

    Examples
    --------
    >>> with disk_errors_named(Path("runs/rows.npy"), 4096):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    ...
    OSError: [Errno 28] No space left on device, 4,096 bytes needed: 'runs/rows.npy'
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL | REFUSED:
            raise
        words = error.strerror or os.strerror(error.errno)
        if size is not None and error.errno in FULL:
            words += f", {size:,} bytes needed"
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else path
        if temporary := _TEMPORARY.match(named.name):
            named = named.with_name(temporary[2])
        raise OSError(error.errno, words, str(named)) from error


def _write_new(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(
        os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), mode), "wb"
    ) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """See to it that new names in `folder`, too, survive a power cut; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A name beside `path` that no other writer has; what bears it when the block ends is deleted.

    Its writer holds a lock while the block runs, so that another process can tell a file being written from one that
    a killed writer left. The lock is a file of its own: Windows renames no file that is locked.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    lock = FileLock(f"{temporary}.lock")
    try:
        with lock:
            try:
                yield temporary
            finally:
                temporary.unlink(missing_ok=True)
    finally:
        _unlink(Path(lock.lock_file))


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files in `folder` that no living writer holds; a read-only folder stays as it is."""
    found = {match[1] for path in folder.iterdir() if (match := _TEMPORARY.match(path.name))}
    for name in found:
        lock = FileLock(folder / f"{name}.lock")
        # Timeout is an OSError too: still being written.
        with contextlib.suppress(OSError):
            lock.acquire(blocking=False)
            (folder / name).unlink(missing_ok=True)
            lock.release()
            _unlink(Path(lock.lock_file))


@contextmanager
def claimed(lock: Path) -> Iterator[bool]:
    """Reserve what `lock` stands for: True for one process at a time, False for the others.

    The reservation ends with the ``with`` block. It is a lock of the operating system, which lets go by itself when
    its process is killed, so no stale reservation can remain; the empty file stays.
    """
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        held.release()


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until no other process holds `lock`, then hold it for the ``with`` block; the empty file stays."""
    with FileLock(lock):
        yield


def _unlink(path: Path) -> None:
    """Delete a lock's file; one that another process opened just now may stay, and is cleared with the leftovers."""
    with contextlib.suppress(OSError):
        path.unlink()
