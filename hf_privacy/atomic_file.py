"""Files that appear whole or not at all, and work that one process claims, whatever kills it."""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = re.compile(r"^\..+\.[0-9a-f]{32}\.tmp$")


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write under a temporary name beside `path`, flush to disk, then rename.

    The writer holds a lock on its temporary file, so that another process can tell a file being written from one
    that a killed writer left. ``mode`` is the permission of the file.
    """
    while True:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if temporary.exists():  # else it was cleared between its creation and the lock
            break
        os.close(descriptor)
    with os.fdopen(descriptor, "wb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name, too, survives a power cut
    finally:
        os.close(folder)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files in `folder` that no living writer holds."""
    for temporary in folder.iterdir():
        if not _TEMPORARY.match(temporary.name):
            continue
        try:
            descriptor = os.open(temporary, os.O_RDWR)
        except FileNotFoundError:  # its writer has just finished
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink(missing_ok=True)
        except BlockingIOError:  # still being written
            pass
        finally:
            os.close(descriptor)


@contextmanager
def claimed(lock: Path) -> Iterator[bool]:
    """Reserve what `lock` stands for: True for one process at a time, False for the others.

    The reservation ends with the ``with`` block. It is a lock of the operating system (``flock``), which lets go by
    itself when its process is killed, so no stale reservation can remain; the empty file stays.
    """
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)  # closing releases the lock
