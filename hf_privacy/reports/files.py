"""Writing a set of files so that a failure leaves the earlier set whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hf_privacy.errors import InputError


def write_together(folder: str | Path, contents: Mapping[str, bytes]) -> Path:
    """Write files into a folder, all under temporary names first, then renamed in the order given.

    Put the file that readers trust last. Should a rename fail midway, the files renamed before it get their
    earlier contents back. The temporary names are fixed, so what a killed process left is overwritten by the next.

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
    ...     sorted(path.name for path in write_together(folder, {"a.txt": b"1", "b.txt": b"2"}).iterdir())
    ['a.txt', 'b.txt']
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"folder is {folder.name!r}, which is a file: pass a folder")
    folder.mkdir(parents=True, exist_ok=True)
    temporary = {name: folder / f".{name}.tmp" for name in contents}
    earlier: dict[Path, bytes | None] = {}
    try:
        for name, content in contents.items():
            with open(temporary[name], "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name in contents:
            target = folder / name
            before = target.read_bytes() if target.exists() else None
            os.replace(temporary[name], target)
            earlier[target] = before
    except BaseException:
        for target, before in earlier.items():
            if before is None:
                target.unlink(missing_ok=True)
            else:
                target.write_bytes(before)
        for path in temporary.values():
            path.unlink(missing_ok=True)
        raise
    return folder
