"""Files that appear whole or not at all, on any platform, whoever else writes beside them."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hf_privacy.atomic_file import (
    alone,
    claimed,
    disk_errors_named,
    remove_leftovers,
    temporary_beside,
    write_atomically,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_mode_and_nothing_beside_it(tmp_path):
    write_atomically(tmp_path / "a", b"first")
    write_atomically(tmp_path / "a", b"second", mode=0o600)
    assert (tmp_path / "a").read_bytes() == b"second"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch, error):
    write_atomically(tmp_path / "a", b"first")

    def fails(descriptor):
        raise error

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(type(error)) as seen:
        write_atomically(tmp_path / "a", b"second")
    if isinstance(error, OSError):  # the file that is missing, and not its temporary name
        assert str(seen.value) == f"[Errno 28] No space left on device, 6 bytes needed: '{tmp_path / 'a'}'"
    assert (tmp_path / "a").read_bytes() == b"first"
    assert names(tmp_path) == ["a"]


def test_a_temporary_name_is_said_as_the_final_one_and_other_errors_pass(tmp_path):
    with temporary_beside(tmp_path / "a") as temporary:
        final = re.escape(f"[Errno 13] No: '{tmp_path / 'a'}'")
        with pytest.raises(PermissionError, match=final), disk_errors_named(tmp_path, 3):
            raise OSError(errno.EACCES, "No", f"{temporary}.lock")
        with pytest.raises(FileNotFoundError, match=temporary.name), disk_errors_named(tmp_path, 3):
            raise OSError(errno.ENOENT, "No", str(temporary))


def test_many_writers_of_one_file_leave_one_of_their_versions(tmp_path):
    versions = [bytes([number]) * 10_000 for number in range(8)]

    def write(content: bytes) -> None:
        for _ in range(20):
            write_atomically(tmp_path / "a", content)
            remove_leftovers(tmp_path)

    threads = [threading.Thread(target=write, args=(content,)) for content in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() in versions
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a"]


def test_leftovers_go_and_what_is_being_written_stays(tmp_path):
    (tmp_path / f".b.{'0' * 32}.tmp").write_bytes(b"half")
    (tmp_path / f".c.{'1' * 32}.tmp.lock").touch()  # killed before the file itself was there
    (tmp_path / ".mine.tmp").write_bytes(b"somebody else's")
    with temporary_beside(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        remove_leftovers(tmp_path)
        assert temporary.exists()
    assert names(tmp_path) == [".mine.tmp"]


def test_a_claim_is_one_holders_at_a_time_and_alone_waits_for_it(tmp_path):
    order = []
    with claimed(tmp_path / "lock") as first, claimed(tmp_path / "lock") as second:
        assert (first, second) == (True, False)

        def wait() -> None:
            with alone(tmp_path / "lock"):
                order.append("waited")

        thread = threading.Thread(target=wait)
        thread.start()
        order.append("released")
    thread.join()
    assert order == ["released", "waited"]


WITHOUT_FCNTL = """
import sys
from pathlib import Path
import filelock  # it knows what a platform has
sys.modules["fcntl"] = None
from hf_privacy.atomic_file import claimed, remove_leftovers, write_atomically
write_atomically(Path(sys.argv[1]) / "a", b"1")
remove_leftovers(Path(sys.argv[1]))
with claimed(Path(sys.argv[1]) / "lock") as mine:
    assert mine
"""


def test_nothing_needs_fcntl_which_windows_lacks(tmp_path):
    root = Path(__file__).resolve().parents[1]
    subprocess.run(
        [sys.executable, "-c", WITHOUT_FCNTL, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(root)}, check=True
    )
    sources = (root / "hf_privacy").rglob("*.py")
    assert [path.name for path in sources if "import fcntl" in path.read_text(encoding="utf-8")] == []


def test_a_folder_that_cannot_be_written_is_said_by_the_system(tmp_path, monkeypatch):
    (tmp_path / f".b.{'0' * 32}.tmp").write_bytes(b"half")

    def refuses(path, flags, *rest, **named):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, *rest, **named)

    real = os.open
    monkeypatch.setattr(os, "open", refuses)
    remove_leftovers(tmp_path)  # reading a store needs no writing
    assert names(tmp_path) == [f".b.{'0' * 32}.tmp"]
    with pytest.raises(OSError, match="Read-only"):
        write_atomically(tmp_path / "a", b"1")
