"""Rows are encoded once, found again by what they are, and deleted only where nobody uses them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock

from hf_privacy.cli.endings import disk_sentence
from hf_privacy.data import encoded_store
from hf_privacy.data.encoded_store import StoredArray, cache_folder, entries, entry_name, save_array, shrink, stored
from hf_privacy.errors import InputError

PROCESS = """
import sys, time
import numpy as np
from pathlib import Path
from hf_privacy.data.encoded_store import stored

def make(folders):
    for folder in folders.values():
        with open(sys.argv[1], "a") as file:
            file.write("made\\n")
        time.sleep(float(sys.argv[2]))
        np.save(folder / "values.npy", np.arange(1000))

stored(["x-1"], make)
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_PRIVACY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def maker(made: list[str], size: int = 1000):
    def make(folders):
        for name, folder in folders.items():
            made.append(name)
            np.save(folder / "values.npy", np.arange(size))

    return make


def started(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-c", PROCESS, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_an_entry_is_made_once_and_mapped_by_its_path():
    made: list[str] = []
    folder = stored(["x-1"], maker(made))["x-1"]
    assert stored(["x-1"], maker(made)) == {"x-1": folder}
    assert made == ["x-1"]
    array = StoredArray(folder / "values.npy")
    assert isinstance(array.values, np.memmap)
    kind, (path,) = array.__reduce__()
    assert np.array_equal(kind(path).values, np.arange(1000))
    assert os.stat(cache_folder()).st_mode & 0o077 == 0


def test_what_belongs_together_is_made_together_and_only_then():
    made: list[str] = []
    stored(["x-1"], maker(made), along=["y-1"])
    assert made == ["x-1", "y-1"]
    stored(["x-1"], maker(made), along=["z-1"])
    assert made == ["x-1", "y-1"]


def test_the_name_is_of_the_facts_whatever_their_order():
    assert entry_name("x", {"a": 1, "b": 2}) == entry_name("x", {"b": 2, "a": 1})
    assert len({entry_name("x", {"a": 1}), entry_name("y", {"a": 1}), entry_name("x", {"a": 2})}) == 3


@pytest.mark.parametrize("damage", ["cut", "changed", "deleted", "facts"])
def test_a_damaged_entry_is_made_anew(damage):
    made: list[str] = []
    folder = stored(["x-1"], maker(made))["x-1"]
    file = folder / "values.npy"
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-8])
    elif damage == "changed":
        file.write_bytes(content[:-8] + b"changed!")
    elif damage == "deleted":
        file.unlink()
    else:
        (folder / "entry.json").write_text("{")
    stored(["x-1"], maker(made))
    assert made == ["x-1", "x-1"]
    assert file.read_bytes() == content


def test_nothing_is_left_of_what_failed():
    def make(folders):
        np.save(folders["x-1"] / "values.npy", np.arange(3))
        raise InputError("bad rows")

    with pytest.raises(InputError, match="bad rows"):
        stored(["x-1"], make)
    assert [path.name for path in cache_folder().iterdir()] == [".locks"]


def test_two_processes_make_an_entry_once(tmp_path):
    log = tmp_path / "log"
    both = [started(str(log), "0.5") for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.communicate("\n")
        assert process.returncode == 0
    assert log.read_text() == "made\n"


def test_what_a_killed_process_began_is_cleared_and_made(tmp_path):
    log = tmp_path / "log"
    process = started(str(log), "60")
    deadline = time.monotonic() + 60
    while not log.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert list(cache_folder().glob("*.tmp"))
    made: list[str] = []
    stored(["x-1"], maker(made))
    assert made == ["x-1"]
    assert not list(cache_folder().glob("*.tmp"))


def test_the_entry_used_longest_ago_goes_and_one_in_use_never(tmp_path):
    log = tmp_path / "log"
    process = started(str(log), "0")
    assert process.stdout is not None
    process.stdout.readline()  # it holds x-1, which is the oldest
    names = ["x-2", "x-3", "x-4"]
    for age, name in enumerate(names):
        stored([name], maker([]))
        os.utime(cache_folder() / name / "entry.json", (100 - age, 100 - age))
        encoded_store._release(cache_folder() / name)
    os.utime(cache_folder() / "x-1" / "entry.json", (1, 1))
    size = sum(entry.size for entry in entries())
    assert [entry.in_use for entry in entries()] == [True, False, False, False]
    assert shrink(cache_folder(), size - 1) == 1
    assert not (cache_folder() / "x-4").exists()
    assert shrink(cache_folder(), 0) == 2
    assert [entry.kind for entry in entries()] == ["x"]
    process.communicate("\n")
    assert shrink(cache_folder(), 0) == 1


def test_an_entry_that_is_being_made_stays():
    folder = stored(["x-1"], maker([]))["x-1"]
    encoded_store._release(folder)
    with FileLock(cache_folder() / ".locks" / "x-1.lock"):
        assert shrink(cache_folder(), 0) == 0
    assert folder.is_dir()


def test_a_new_entry_over_the_limit_pushes_out_old_ones(monkeypatch):
    folder = stored(["x-1"], maker([], 100_000))["x-1"]
    encoded_store._release(folder)
    monkeypatch.setenv("HF_PRIVACY_CACHE_LIMIT", "0.001")
    made = stored(["x-2"], maker([], 100_000))["x-2"]
    assert made.is_dir()
    assert not folder.exists()


def test_a_limit_of_nothing_keeps_nothing(monkeypatch):
    monkeypatch.setenv("HF_PRIVACY_CACHE_LIMIT", "0")
    folder = stored(["x-1"], maker([]))["x-1"]
    assert np.array_equal(StoredArray(folder / "values.npy").values, np.arange(1000))
    assert not cache_folder().exists()


def test_a_limit_that_is_none_and_a_full_disk_are_refused(monkeypatch):
    with pytest.raises(InputError, match=r"take 1,000,000,000.0 GB and the disk of '.*cache' has .* left: make room"):
        stored(["x-1"], lambda folders: encoded_store.require_room(folders["x-1"], 10**18))
    monkeypatch.setenv("HF_PRIVACY_CACHE_LIMIT", "many")
    with pytest.raises(InputError, match="HF_PRIVACY_CACHE_LIMIT is 'many'"):
        stored(["x-1"], maker([]))


@pytest.mark.parametrize("keeps", [True, False], ids=["cache", "temporary folder"])
def test_a_disk_that_has_no_room_for_a_small_array_is_told_with_folder_and_size(keeps, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if not keeps:
        monkeypatch.setenv("HF_PRIVACY_CACHE_LIMIT", "0")
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
        where, way_out = (cache_folder(), "HF_PRIVACY_CACHE") if keeps else (tmp_path, "TMPDIR")
        sentence = rf"take 8,000 bytes and the disk of '{where}' has 1,000 bytes left: .*{way_out}"
        with pytest.raises(InputError, match=sentence):
            stored(["x-1"], lambda folders: save_array(folders["x-1"] / "values.npy", np.arange(1000)))
    assert not list(tmp_path.rglob("*values*"))
    stored(["x-1"], lambda folders: save_array(folders["x-1"] / "values.npy", np.arange(1000)))


@pytest.mark.parametrize("step", ["place", "facts", "stream"])
def test_a_share_of_a_disk_that_fills_up_leaves_nothing_and_the_next_run_makes_it(step, monkeypatch):
    """A quota, which no look at the disk shows."""

    def refuse(*arguments):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    def make(folders):
        if step == "stream" and full:  # a library that writes by itself
            refuse()
        save_array(folders["x-1"] / "values.npy", np.arange(1000))

    full = True
    with monkeypatch.context() as patch:
        if step == "place":
            patch.setattr(os, "posix_fallocate", refuse, raising=False)
        elif step == "facts":
            patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Disk quota exceeded") as seen:
            stored(["x-1"], make)
    sentence = disk_sentence(seen.value)
    assert str(cache_folder()) in sentence
    assert ("8,000 bytes needed" in sentence) == (step == "place")
    assert [path.name for path in cache_folder().iterdir()] == [".locks"]
    full = False
    assert np.array_equal(StoredArray(stored(["x-1"], make)["x-1"] / "values.npy").values, np.arange(1000))


def test_an_array_of_nothing_is_an_array():
    folder = stored(["x-1"], lambda folders: save_array(folders["x-1"] / "values.npy", np.zeros((0, 3), np.int32)))
    values = StoredArray(folder["x-1"] / "values.npy").values
    assert (values.shape, values.dtype) == ((0, 3), np.int32)


def test_the_command_tells_and_clears(capsys):
    from hf_privacy.cli import main

    assert main(["env", "--cache"]) == 0
    assert "entries: 0, 0 in use" in capsys.readouterr().out
    for name in ("pixels-1", "looks-1"):
        stored([name], maker([], 200_000))
    encoded_store._release(cache_folder() / "looks-1")
    assert main(["env", "--cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"folder: {cache_folder()} (HF_PRIVACY_CACHE)"
    assert lines[1:4] == [
        "size: 0.003 GB",
        "limit: 50 GB (HF_PRIVACY_CACHE_LIMIT)",
        "entries: 2 (1 looks, 1 pixels), 1 in use",
    ]
    assert main(["env", "--cache", "--clear"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "deleted: 1 entry"
    assert main(["env", "--clear"]) == 2


def test_what_another_process_clears_is_no_entry_that_is_being_sealed(monkeypatch):
    seal = encoded_store._seal
    clear = "from hf_privacy.data.encoded_store import cache_folder, shrink; shrink(cache_folder(), 0)"

    def sealed_meanwhile(folder):
        subprocess.run([sys.executable, "-c", clear], check=True)
        seal(folder)

    monkeypatch.setattr(encoded_store, "_seal", sealed_meanwhile)
    folder = stored(["x-1"], maker([]))["x-1"]
    assert np.array_equal(StoredArray(folder / "values.npy").values, np.arange(1000))


def test_a_deletion_that_is_killed_is_finished_by_the_next(monkeypatch):
    folder = stored(["x-1"], maker([]))["x-1"]
    encoded_store._release(folder)
    with monkeypatch.context() as killed:
        killed.setattr(encoded_store, "_remove", lambda folder: (folder / "entry.json").unlink())
        shrink(cache_folder(), 0)
    assert list(cache_folder().glob("x-1*"))
    shrink(cache_folder(), 0)
    assert not list(cache_folder().glob("x-1*"))


def test_what_a_killed_process_kept_for_itself_goes_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_PRIVACY_CACHE_LIMIT", "0")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = stored(["x-1"], maker([]))["x-1"].parent
    left = tmp_path / f"{encoded_store._BESIDE}left"
    (left / "x-1").mkdir(parents=True)
    for folder in (kept, left):
        os.utime(folder, (1, 1))
    assert shrink(cache_folder(), 0) == 0
    assert kept.is_dir()
    assert not left.exists()
