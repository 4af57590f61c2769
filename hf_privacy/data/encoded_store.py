"""Encoded rows on the disk, made once and mapped by every process that needs them.

An entry is a folder of NumPy files, named by what it was made from: the stored bytes of the rows, the processor with
its configuration and version, and the settings. It is written under another name and renamed when whole, by one
process at a time; who comes second waits for it. An entry whose files are not as they were written is made anew.

The folder is ``HF_PRIVACY_CACHE``, by default ``hf_privacy`` in ``HF_HOME`` (``~/.cache/huggingface``), readable by
its owner only: it holds training data. Beyond ``HF_PRIVACY_CACHE_LIMIT`` gigabytes (50 by default) the entries that
were used longest ago go, none that a living process has open. With a limit of 0 nothing is kept: rows are encoded into
a temporary folder that goes with the process. Nothing of it is ever pushed or reported.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from hf_privacy.arguments import check_number
from hf_privacy.atomic_file import disk_errors_named, flush_folder, write_through
from hf_privacy.errors import InputError

FOLDER_VARIABLE = "HF_PRIVACY_CACHE"
LIMIT_VARIABLE = "HF_PRIVACY_CACHE_LIMIT"
LIMIT = 50.0  # gigabytes
# What fewer rows take to encode is no more than what an entry takes to look for.
FEWEST_ROWS = 64
_FORMAT = 1
_FACTS = "entry.json"
_BLOCK = 2**20
_BLOCKS_CHECKED = 64  # of a file, spread evenly, each time it is opened: all of it up to 64 MB
_TEMPORARY, _IN_USE, _LOCKS = ".tmp", ".use", ".locks"
_BESIDE = "hf_privacy_rows_"  # in the folder for temporary files
_UNMARKED = 60  # seconds that such a folder may take to be marked

Make = Callable[[Mapping[str, Path]], None]

# One mark a process and entry, held until the process ends, so that no other deletes what this one has mapped.
_HELD: dict[tuple[int, Path], FileLock] = {}


@dataclass(frozen=True)
class EntryFacts:
    """What `entries` tells of an entry: what it holds, its size in bytes, and when it was last opened (Unix time)."""

    kind: str
    size: int
    used: float
    in_use: bool


class StoredArray:
    """An array of an entry, mapped and read-only; it travels to another process as its path."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.values: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)

    def __reduce__(self) -> tuple[type[StoredArray], tuple[str]]:
        return StoredArray, (self.path,)


def new_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A mapped array to fill, with its place on the disk taken: a disk that fills up later would kill who writes.

    Raises
    ------
    InputError
        When the disk has no room for it.
    OSError
        When it has, and the user has not: with the file's name and size.
    """
    size = np.dtype(dtype).itemsize * math.prod(shape)
    require_room(path.parent, size)
    with disk_errors_named(path, size):
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def save_array(path: Path, values: np.ndarray, dtype: Any = None) -> None:
    """Write an array as `new_array` does: what NumPy says of a full disk names neither file nor reason."""
    new_array(path, values.dtype if dtype is None else dtype, values.shape)[...] = values


def cache_folder() -> Path:
    """Where entries lie, see the module."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "hf_privacy"


def cache_limit() -> int:
    """Most bytes that all entries take together.

    Raises
    ------
    InputError
        For a limit that is no number from 0 up.
    """
    given = os.environ.get(LIMIT_VARIABLE, "")
    if not given.strip():
        return int(LIMIT * 1e9)
    try:
        value = float(given)
    except ValueError:
        raise InputError(f"{LIMIT_VARIABLE} is {given!r}: set it to gigabytes, such as 50, or to 0") from None
    return int(check_number(LIMIT_VARIABLE, value, 0.0) * 1e9)


def entry_name(kind: str, facts: Mapping[str, Any]) -> str:
    """The name of the entry of that kind that is made from these facts.

    Examples
    --------
    >>> entry_name("images", {"rows": "a"}) == entry_name("images", {"rows": "b"})
    False
    """
    text = json.dumps({"format": _FORMAT, **facts}, sort_keys=True, default=repr)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def stored(names: Sequence[str], make: Make, *, along: Sequence[str] = ()) -> dict[str, Path]:
    """The folders of these entries; those that are missing are made first, together.

    Parameters
    ----------
    names : sequence of str
        Of `entry_name`.
    make : callable
        Takes a mapping from the names that are missing to new folders, which it fills with ``.npy`` and ``.json``
        files. Whatever it raises leaves nothing behind.
    along : sequence of str
        Entries that are made too where they are missing, if one of `names` is.

    Returns
    -------
    dict of str to path, of `names`
        For `StoredArray`. They stay while this process lives, whatever the limit.

    Raises
    ------
    InputError
        When the disk has no room, as `require_room` says.
    OSError
        When it fills up meanwhile: with the name of a file or of the cache's folder.
    """
    if cache_limit() == 0:
        return _made_beside([*names, *along], make)
    root = cache_folder()
    try:
        _make_root(root)
    except (OSError, NotImplementedError):  # nothing can be written there, or locked: each process encodes for itself
        return _made_beside([*names, *along], make)
    with ExitStack() as locks:
        for name in sorted({*names, *along}):  # in one order, so that no two processes wait for each other
            locks.enter_context(FileLock(root / _LOCKS / f"{name}.lock"))
        missing = [name for name in dict.fromkeys(names) if not _is_whole(root / name)]
        if missing:
            missing += [name for name in dict.fromkeys(along) if name not in missing and not _is_whole(root / name)]
            _make_missing(root, missing, make)
        for name in names:
            _hold(root / name)
    if missing:
        shrink(root, cache_limit())
    return {name: root / name for name in names}


def require_room(folder: Path, size: int) -> None:
    """Refuse to write that many bytes where the disk has not so many left.

    Raises
    ------
    InputError
    """
    free = shutil.disk_usage(folder).free
    if size > free and cache_limit():
        shrink(cache_folder(), max(0, cache_limit() - (size - free)))
        free = shutil.disk_usage(folder).free
    if size > free:
        root, variable = cache_folder(), FOLDER_VARIABLE
        if not folder.is_relative_to(root):
            root, variable = Path(tempfile.gettempdir()), "TMPDIR"
        raise InputError(
            f"the encoded rows take {_said(size)} and the disk of {str(root)!r} has {_said(free)} left: make room "
            f"(hf-privacy env --cache --clear), set {variable} to a folder on another disk, or use fewer rows or a "
            "smaller size"
        )


def _said(size: int) -> str:
    """A size in words.

    Examples
    --------
    >>> _said(2_400_000_000), _said(2_400_000), _said(128)
    ('2.4 GB', '2.4 MB', '128 bytes')
    """
    for unit, of_unit in (("GB", 1e9), ("MB", 1e6)):
        if size >= of_unit / 10:
            return f"{size / of_unit:,.1f} {unit}"
    return f"{size:,} bytes"


def entries(root: Path | None = None) -> list[EntryFacts]:
    """All entries, the one used longest ago first."""
    root = cache_folder() if root is None else root
    found = []
    for folder in _folders(root):
        with contextlib.suppress(OSError):  # another process deletes it
            used = (folder / _FACTS).stat().st_mtime
            found.append(EntryFacts(folder.name.partition("-")[0], _size(folder), used, _in_use(folder)))
    return sorted(found, key=lambda entry: entry.used)


def shrink(root: Path, limit: int) -> int:
    """Delete entries, those used longest ago first, until all take at most `limit` bytes; how many were deleted.

    What a living process uses stays, as does what one is making.
    """
    _remove_abandoned(root)
    ages = []
    for folder in _folders(root):
        with contextlib.suppress(OSError):
            ages.append(((folder / _FACTS).stat().st_mtime, _size(folder), folder))
    total, deleted = sum(size for _, size, _ in ages), 0
    for _, size, folder in sorted(ages, key=lambda age: age[0]):
        if total <= limit:
            break
        if _delete(root, folder):
            total -= size
            deleted += 1
    return deleted


def _make_root(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    (root / _LOCKS).mkdir(exist_ok=True, mode=0o700)
    with FileLock(root / _LOCKS / "any.lock"):
        pass


def _make_missing(root: Path, missing: Sequence[str], make: Make) -> None:
    _remove_abandoned(root, ours=missing)
    folders = {name: root / f"{name}.{uuid.uuid4().hex}{_TEMPORARY}" for name in missing}
    try:
        with disk_errors_named(root):
            for folder in folders.values():
                folder.mkdir(mode=0o700)
                _hold(folder)
            make(folders)
            for name, folder in folders.items():
                _release(folder)
                _seal(folder)
                _put_away(root / name)  # a damaged one
                os.replace(folder, root / name)
        flush_folder(root)
    finally:
        for folder in folders.values():
            _release(folder)
            _remove(folder)


def _made_beside(names: Sequence[str], make: Make) -> dict[str, Path]:
    """Entries of this process alone, which go with it; where it is killed, with the next that looks."""
    _remove_left_beside()
    folder = Path(tempfile.mkdtemp(prefix=_BESIDE))
    _hold(folder)
    atexit.register(_remove_own, folder, os.getpid())
    folders = {name: folder / name for name in names}
    try:
        with disk_errors_named(folder.parent):
            for one in folders.values():
                one.mkdir()
            make(folders)
    except BaseException:
        _release(folder)
        _remove(folder)
        raise
    return folders


def _remove_own(folder: Path, process: int) -> None:
    if os.getpid() == process:  # and not a fork of it
        _remove(folder)


def _seal(folder: Path) -> None:
    """Flush an entry to the disk and write down what its files are."""
    files = {}
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        files[file.name] = {"bytes": file.stat().st_size, "checks": _checks(file)}
    facts = {"format": _FORMAT, "files": files}
    write_through(folder / _FACTS, json.dumps(facts).encode(), mode=0o600)


def _is_whole(folder: Path) -> bool:
    """Whether an entry is there, and its files are as they were written."""
    try:
        facts = json.loads((folder / _FACTS).read_bytes())
        if facts["format"] != _FORMAT:
            return False
        return all(
            (folder / name).stat().st_size == file["bytes"] and _checks(folder / name) == file["checks"]
            for name, file in facts["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _checks(file: Path) -> list[int]:
    """Check sums of blocks spread evenly over a file, its first and its last among them."""
    size = file.stat().st_size
    blocks = np.unique(np.linspace(0, max(0, size - 1) // _BLOCK, _BLOCKS_CHECKED).astype(np.int64))
    sums = []
    with file.open("rb") as opened:
        for block in blocks.tolist():
            opened.seek(block * _BLOCK)
            sums.append(zlib.crc32(opened.read(_BLOCK)))
    return sums


def _hold(folder: Path) -> None:
    """Mark an entry as used, now and by this process until it ends."""
    key = (os.getpid(), folder)
    if key not in _HELD:
        mark = FileLock(folder / f"{os.getpid()}-{uuid.uuid4().hex}{_IN_USE}")
        with contextlib.suppress(OSError):  # of a cache that can only be read, nothing is deleted either
            mark.acquire()
            _HELD[key] = mark
    with contextlib.suppress(OSError):
        os.utime(folder / _FACTS, (time.time(), time.time()))


def _release(folder: Path) -> None:
    mark = _HELD.pop((os.getpid(), folder), None)
    if mark is not None:
        mark.release()
        Path(mark.lock_file).unlink(missing_ok=True)


def _in_use(folder: Path) -> bool:
    """Whether a living process has marked the folder; marks of dead ones are deleted."""
    if (os.getpid(), folder) in _HELD:
        return True
    used = False
    for mark in folder.glob(f"*{_IN_USE}"):
        lock = FileLock(mark)
        try:
            lock.acquire(blocking=False)
        except (Timeout, OSError):
            used = True
            continue
        lock.release()
        mark.unlink(missing_ok=True)
    return used


def _folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (folder for folder in root.iterdir() if (folder / _FACTS).is_file() and folder.suffix != _TEMPORARY)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _delete(root: Path, folder: Path) -> bool:
    """Delete an entry that nobody uses, makes or opens."""
    with _free(root / _LOCKS / f"{folder.name}.lock") as free:
        return free and not _in_use(folder) and _put_away(folder)


def _put_away(folder: Path) -> bool:
    """Delete an entry, if it is there; a process that is killed at it leaves what the next one clears."""
    gone = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}{_TEMPORARY}")
    try:
        os.replace(folder, gone)
    except OSError:  # of a cache that can only be read, nothing is deleted
        return False
    _remove(gone)
    return True


@contextmanager
def _free(path: Path) -> Iterator[bool]:
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _remove_abandoned(root: Path, ours: Sequence[str] = ()) -> None:
    """Delete what a killed process had begun to write; `ours` are entries whose locks this process holds."""
    _remove_left_beside()
    for folder in root.glob(f"*{_TEMPORARY}"):
        name = folder.name.partition(".")[0]
        # Who makes an entry holds its lock throughout, and marks its folder only while it fills it.
        with nullcontext(True) if name in ours else _free(root / _LOCKS / f"{name}.lock") as free:
            if free and not _in_use(folder):
                _remove(folder)


def _remove_left_beside() -> None:
    """Delete what `_made_beside` left where its process was killed; a new folder is not marked yet."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_BESIDE}*"):
        with contextlib.suppress(OSError):  # another user's, or just gone
            if time.time() - folder.stat().st_mtime > _UNMARKED and not _in_use(folder):
                _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
