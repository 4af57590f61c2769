"""A folder that several machines share, on a file system or behind any fsspec URL: whole files, no locks."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hf_privacy.atomic_file import FULL, disk_errors_named, flush_folder, write_through
from hf_privacy.errors import InputError, NetworkError, one_line
from hf_privacy.network import network_reason


class SharedFolder:
    """Files by name in a folder, each there whole or not at all, whoever writes it and whatever kills the writer.

    On a file system a file is written under another name and renamed, readable by its owner alone; an object store
    shows an object when it is whole. Nothing is locked, since no object store has locks: who shares work here shares
    it by numbers.

    Parameters
    ----------
    url : str
        A folder's path, or a URL that fsspec knows: ``s3://bucket/run``, ``hf://buckets/me/run``, ``memory://run``.
        Keys come from where its library looks for them; a URL is no place for one.

    Raises
    ------
    InputError
        For a URL of a kind that is not known, or whose library is not installed.

    Examples
    --------
    >>> shared = SharedFolder("memory://an_example")
    >>> shared.write("a/b.txt", b"first", once=True), shared.write("a/b.txt", b"second", once=True)
    (True, False)
    >>> shared.read("a/b.txt"), shared.read("none"), shared.names("a")
    (b'first', None, ['b.txt'])
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.url = str(url)
        with self._access():
            self._fs, root = url_to_fs(self.url)
        self._root = root.rstrip("/")
        protocol = self._fs.protocol if isinstance(self._fs.protocol, str) else self._fs.protocol[0]
        self._local = Path(root) if protocol in ("file", "local") else None

    @property
    def name(self) -> str:
        """What messages call it: its kind and its last part; neither a path nor a key is printed."""
        return _shown(self.url)

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None where there is none."""
        with self._access():
            try:
                return self._fs.cat_file(self._path(name))
            except FileNotFoundError:
                return None

    def size(self, name: str) -> int | None:
        """The number of bytes of a file, or None where there is none."""
        with self._access():
            try:
                return int(self._fs.info(self._path(name), **self._fresh())["size"])
            except FileNotFoundError:
                return None

    def names(self, folder: str = "") -> list[str]:
        """The names of the files and folders in a folder; of one that is not there, none."""
        with self._access():
            self._fs.invalidate_cache()
            try:
                entries = self._fs.ls(self._path(folder), detail=False)
            except FileNotFoundError:
                return []
        return sorted(entry.rstrip("/").rpartition("/")[2] for entry in entries if not entry.endswith(".tmp"))

    def write(self, name: str, content: bytes, *, once: bool = False) -> bool:
        """Write a file; whether it was written.

        Parameters
        ----------
        name : str
        content : bytes
        once : bool
            Leave a file of this name as it is: by a conditional put where the store has one; elsewhere the last of
            two writers at the same moment wins, and both are whole.
        """
        with self._access():
            if once and self._fs.exists(self._path(name)):
                return False
            if self._local is not None:
                with _renamed(self._local / name) as temporary:
                    write_through(temporary, content, mode=0o600)
                return True
            if once:
                try:
                    self._fs.pipe_file(self._path(name), content, mode="create")
                    return True
                except FileExistsError:
                    return False
                except (TypeError, ValueError, NotImplementedError):
                    pass  # a store without conditional puts
            self._fs.pipe_file(self._path(name), content)
            return True

    def upload(self, path: Path, name: str) -> None:
        """Copy a local file there; it is not read into memory as a whole."""
        with self._access():
            if self._local is None:
                self._fs.put_file(str(path), self._path(name))
                return
            size = path.stat().st_size
            with _renamed(self._local / name) as temporary, disk_errors_named(temporary, size):
                os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                shutil.copyfile(path, temporary)
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())

    def download(self, name: str, path: Path) -> None:
        """Copy a file from there to a local path that nobody else writes."""
        with self._access():
            self._fs.get_file(self._path(name), str(path))

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        with self._access(), suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _fresh(self) -> dict[str, Any]:
        self._fs.invalidate_cache()
        return {}

    @contextmanager
    def _access(self) -> Iterator[None]:
        """Say in one sentence that the store cannot be reached, whichever library says so."""
        try:
            yield
        except InputError:
            raise
        except ImportError as error:
            raise InputError(
                f"the store {self.name} needs a library that is not installed: {one_line(error)}"
            ) from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise InputError(
                    f"the disk of the store {self.name} is full ({error.strerror}): make room there, then run the "
                    "same command again; what was half-written is gone"
                ) from error
            raise (InputError if network_reason(error) is None else NetworkError)(
                f"the store {self.name} cannot be reached ({type(error).__name__}: {self._said(error)}): "
                "check its name, and that this machine may read and write there"
            ) from error

    def _said(self, error: Exception) -> str:
        return one_line(error, longest=None).replace(self.url, self.name)[:200]


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """A name beside ``path`` that no other writer has, renamed when the block ends.

    Without the lock of `hf_privacy.atomic_file`, which file systems of clusters may refuse.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)


def folder_of(url: str) -> tuple[str, str]:
    """The folder that a file lies in, and the file's name there.

    Examples
    --------
    >>> folder_of("s3://bucket/run/plan.json"), folder_of("plan.json")
    (('s3://bucket/run', 'plan.json'), ('.', 'plan.json'))
    """
    folder, slash, name = str(url).rpartition("/")
    return (folder or slash or "."), name


def _shown(url: str) -> str:
    """Kind and last part of a URL or path.

    Examples
    --------
    >>> _shown("s3://key:secret@bucket/a/run"), _shown("/home/somebody/run/")
    ('s3://…/run', 'run')
    """
    protocol, separator, rest = url.rpartition("://")
    last = rest.rstrip("/").rpartition("/")[2].rpartition("@")[2].partition("?")[0]
    return f"{protocol}://…/{last}" if separator else last or url
