"""Writing a set of files so that a failure leaves the earlier set whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from hf_privacy.atomic_file import alone, flush_folder, remove_leftovers, temporary_beside, write_through
from hf_privacy.errors import InputError

LOCK = ".files.lock"


def write_together(folder: str | Path, contents: Mapping[str, bytes]) -> Path:
    """Write files into a folder, all under temporary names first, then renamed in the order given.

    Put the file that readers trust last. Should a rename fail midway, the files renamed before it get their
    earlier contents back. Of several processes that write into one folder, one renames at a time: the files that lie
    there afterwards are of one of them.

    Parameters
    ----------
    folder : path
        Made when it does not exist.
    contents : mapping of file name to bytes

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        When `folder` is a file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_together(folder, {"a.txt": b"1", "b.txt": b"2"})
    ...     sorted(path.name for path in written.glob("*.txt"))
    ['a.txt', 'b.txt']
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"folder is {folder.name!r}, which is a file: pass a folder")
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    with ExitStack() as stack:
        temporary = {name: stack.enter_context(temporary_beside(folder / name)) for name in contents}
        for name, content in contents.items():
            write_through(temporary[name], content)
        # A single file needs no lock: its rename is all there is.
        if len(contents) > 1:
            stack.enter_context(alone(folder / LOCK))
        _rename(folder, temporary)
    flush_folder(folder)
    return folder


def _rename(folder: Path, temporary: Mapping[str, Path]) -> None:
    earlier: dict[Path, bytes | None] = {}
    try:
        for name, path in temporary.items():
            target = folder / name
            before = target.read_bytes() if target.exists() else None
            os.replace(path, target)
            earlier[target] = before
    except BaseException:
        for target, before in earlier.items():
            if before is None:
                target.unlink(missing_ok=True)
            else:
                target.write_bytes(before)
        raise
