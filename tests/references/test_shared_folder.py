"""Whole files in a folder that machines share: on a file system, in memory, and in an object store's emulator."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hf_privacy.errors import InputError
from hf_privacy.references.shared_folder import SharedFolder, folder_of


@pytest.fixture(params=["folder", "file", "memory", "s3"])
def shared(request, tmp_path) -> SharedFolder:
    if request.param == "s3":
        return SharedFolder(f"{request.getfixturevalue('object_store')}/{tmp_path.name}")
    urls = {
        "folder": str(tmp_path / "store"),
        "file": f"file://{tmp_path}/store",
        "memory": f"memory://{tmp_path.name}",
    }
    return SharedFolder(urls[request.param])


def test_a_file_is_there_whole_or_not_at_all(shared, tmp_path):
    assert shared.read("a/b.json") is None
    assert shared.size("a/b.json") is None
    assert shared.names("a") == []
    assert shared.write("a/b.json", b"first")
    assert shared.write("a/b.json", b"second")
    assert shared.read("a/b.json") == b"second"
    assert shared.size("a/b.json") == 6
    (tmp_path / "local").write_bytes(bytes(range(256)) * 64)
    shared.upload(tmp_path / "local", "a/c/d.bin")
    shared.upload(tmp_path / "local", "a/c/d.bin")
    assert shared.names("a") == ["b.json", "c"]
    shared.download("a/c/d.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "local").read_bytes()
    shared.delete("a/b.json")
    shared.delete("a/b.json")
    assert shared.names("a") == ["c"]


def test_a_folder_is_written_without_a_lock(tmp_path, monkeypatch):
    """File systems of clusters may have none."""
    from hf_privacy import atomic_file

    monkeypatch.setattr(atomic_file, "FileLock", None)
    folder = SharedFolder(str(tmp_path / "store"))
    (tmp_path / "local").write_bytes(b"local")
    folder.write("a.json", b"a", once=True)
    folder.upload(tmp_path / "local", "b.bin")
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["a.json", "b.bin"]


def test_a_writer_that_is_killed_leaves_no_file_of_that_name(tmp_path, monkeypatch):
    from hf_privacy.references import shared_folder

    folder = SharedFolder(str(tmp_path / "store"))
    folder.write("a.json", b"first")

    def cut(path, content, **options):
        path.write_bytes(content[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(shared_folder, "write_through", cut)
    with pytest.raises(KeyboardInterrupt):
        folder.write("a.json", b"second")
    (tmp_path / "store" / ".a.json.0123.tmp").write_bytes(b"of a kill that nothing cleared up after")
    assert folder.read("a.json") == b"first"
    assert folder.names() == ["a.json"]


def test_the_first_of_two_writers_stays(shared):
    assert shared.write("marker.json", b"first", once=True)
    assert not shared.write("marker.json", b"second", once=True)
    assert shared.read("marker.json") == b"first"


def test_a_conditional_put_holds_where_both_writers_saw_nothing(object_store, tmp_path, monkeypatch):
    """What an object store decides by itself, and no look beforehand can."""
    first, second = (SharedFolder(f"{object_store}/{tmp_path.name}") for _ in range(2))
    for folder in (first, second):
        monkeypatch.setattr(folder._fs, "exists", lambda path: False)
    assert first.write("marker.json", b"first", once=True)
    assert not second.write("marker.json", b"second", once=True)
    assert first.read("marker.json") == b"first"


def test_another_machines_files_are_seen_at_once(object_store, tmp_path):
    """Listings of object stores are cached by fsspec."""
    here, there = (SharedFolder(f"{object_store}/{tmp_path.name}") for _ in range(2))
    here.write("a.json", b"a")
    assert here.names() == ["a.json"]
    there.write("b.json", b"bb")
    assert here.names() == ["a.json", "b.json"]
    assert here.size("b.json") == 2


def test_a_store_without_conditional_puts_takes_the_marker_all_the_same(monkeypatch, tmp_path):
    folder = SharedFolder(f"memory://{tmp_path.name}")
    plain = type(folder._fs).pipe_file

    def without_modes(self, path, value, mode="overwrite", **options):
        if mode == "create":
            raise NotImplementedError
        return plain(self, path, value, **options)

    monkeypatch.setattr(type(folder._fs), "pipe_file", without_modes)
    assert folder.write("marker.json", b"first", once=True)
    assert not folder.write("marker.json", b"second", once=True)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonesuch://key:secret@bucket/run", "the store nonesuch://…/run cannot be reached"),
        ("s3://no-such-bucket-here/run", "the store s3://…/run cannot be reached"),
    ],
)
def test_a_store_that_is_not_there_is_one_sentence_without_a_key(object_store, url, sentence):
    with pytest.raises(InputError) as refused:
        SharedFolder(url).write("a.json", b"a")
    assert str(refused.value).startswith(sentence)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("way", ["write", "upload"])
def test_a_store_whose_disk_is_full_is_one_sentence_and_stays_as_it_was(way, tmp_path, monkeypatch):
    folder = SharedFolder(str(tmp_path / "store"))
    folder.write("a.json", b"first")
    (tmp_path / "local").write_bytes(bytes(5000))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        sentence = r"the disk of the store store is full \(No space left on device, 5,000 bytes needed\): make room"
        with pytest.raises(InputError, match=sentence):
            folder.write("a.json", bytes(5000)) if way == "write" else folder.upload(tmp_path / "local", "a.json")
    assert folder.read("a.json") == b"first"
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["a.json"]
    folder.upload(tmp_path / "local", "a.json")
    assert folder.read("a.json") == bytes(5000)


def test_files_in_a_folder_are_for_their_owner_alone(tmp_path):
    """They tell who is a member."""
    folder = SharedFolder(str(tmp_path / "store"))
    (tmp_path / "local").write_bytes(b"local")
    (tmp_path / "local").chmod(0o644)
    folder.write("a.json", b"a")
    folder.upload(tmp_path / "local", "b/c.bin")
    files = [tmp_path / "store" / name for name in ("a.json", "b/c.bin")]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]


def test_a_folder_that_may_not_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the store store cannot be reached"):
        SharedFolder(str(tmp_path / "file" / "store")).write("a.json", b"a")


def test_a_library_that_is_missing_is_named(monkeypatch):
    import fsspec.core

    def missing(url):
        raise ImportError("Please install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(InputError, match=r"the store s3://…/run needs a library that is not installed: .*s3fs"):
        SharedFolder("s3://bucket/run")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://bucket/run/plan.json", ("s3://bucket/run", "plan.json")),
        ("runs/plan.json", ("runs", "plan.json")),
        ("plan.json", (".", "plan.json")),
        ("/plan.json", ("/", "plan.json")),
    ],
)
def test_the_folder_of_a_plan(url, parts):
    assert folder_of(url) == parts


def test_a_path_object_is_a_folder_too(tmp_path):
    folder = SharedFolder(Path(tmp_path))
    folder.write("a", b"a")
    assert (tmp_path / "a").read_bytes() == b"a"
