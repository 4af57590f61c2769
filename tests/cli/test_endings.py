"""Commands that a full disk, a read-only folder or Ctrl-C stops: one true sentence, and nothing half-written."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_privacy.cli import main, train
from hf_privacy.cli.arguments import Options
from hf_privacy.cli.endings import disk_sentence, kept_sentence

LARGE = {"kwargs": {"hidden_sizes": [20_000]}}  # about 0.7 MB of weights


@pytest.fixture
def mounted(tmp_path) -> Iterator[Path]:
    """A file system of 300 kB, which fills up as a disk does."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 100 kB: writing fails midway, as on a full disk, without root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def assert_nothing_half_written(folder: Path) -> None:
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not [name for name in left if name.endswith((".safetensors", ".tmp", ".pt"))], left
    assert "training.json" not in left


@pytest.mark.parametrize("settings", [{}, {"save_strategy": "epoch"}], ids=["weights", "checkpoints"])
@pytest.mark.usefixtures("small_files")
def test_a_file_that_cannot_be_written_to_its_end_is_said_and_gone(settings, write_recipe, cli, tmp_path):
    recipe = write_recipe(tmp_path, model=LARGE, training={"num_train_epochs": 1, **settings})
    code, _, err = cli("train", "--config", recipe)
    assert code == 2, err
    assert "hf-privacy: the disk is full (" in err
    assert "Traceback" not in err
    assert_nothing_half_written(tmp_path / "run")


def test_a_full_disk_is_said_and_the_same_command_goes_on_when_there_is_room(mounted, write_recipe, cli, tmp_path):
    settings = {"model": LARGE, "output_dir": str(mounted / "run"), "training": {"num_train_epochs": 1}}
    recipe = write_recipe(tmp_path, **settings)
    code, _, err = cli("train", "--config", recipe)
    assert code == 2, err
    assert "hf-privacy: the disk is full (" in err
    assert_nothing_half_written(mounted)
    subprocess.run(["mount", "-o", "remount,size=8m", str(mounted)], check=True)
    assert cli("train", "--config", recipe)[0] == 0


def test_a_read_only_folder_is_said_and_left_as_it_is(mounted, trained, write_recipe, cli, tmp_path):
    shutil.copytree(trained, mounted / "run")
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    before = sorted(path.name for path in mounted.rglob("*"))
    code, _, err = cli("audit", "--folder", str(mounted / "run"), "--audit.depth", "quick")
    assert (code, err.count("\n")) == (2, 1), err
    recipe = write_recipe(tmp_path, output_dir=str(mounted / "other"))
    code, _, err = cli("train", "--config", recipe)
    assert (code, err.count("\n")) == (2, 1), err
    assert sorted(path.name for path in mounted.rglob("*")) == before


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "x"),
        RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file data/0"),
        ValueError("Error while serializing: I/O error: No space left on device (os error 28)"),
        ValueError("Error while serializing: IoError(Os { code: 28, message: No space left on device })"),
        OSError("1000 requested and 0 written"),  # NumPy's, which has no number
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_librarys_way_to_say_that_a_disk_is_full_is_understood(error):
    assert disk_sentence(error).startswith("the disk is full")
    wrapped = RuntimeError("while saving")
    wrapped.__cause__ = error
    assert disk_sentence(wrapped).startswith("the disk is full")


def test_a_refused_write_is_no_full_disk():
    error = PermissionError(errno.EACCES, "Permission denied", "runs/x")
    assert disk_sentence(error) == (
        "the system refuses access (Permission denied: runs/x): give it, or choose another output_dir"
    )


@pytest.mark.parametrize("error", [KeyError("x"), FileNotFoundError(errno.ENOENT, "No such file", "x"), OSError("x")])
def test_other_errors_keep_their_traceback(error, monkeypatch, write_recipe, tmp_path):
    assert disk_sentence(error) is None

    def fails(options):
        raise error

    monkeypatch.setattr(train, "train", fails)
    with pytest.raises(type(error)):
        main(["train", "--config", write_recipe(tmp_path)])


# ---- Ctrl-C ----


def options(recipe: str, **flags) -> Options:
    return Options(config=recipe, flags=flags)


def test_a_training_says_whether_a_checkpoint_is_kept(write_recipe, tmp_path, monkeypatch, cli):
    recipe = write_recipe(tmp_path)
    said = "interrupted; the same command starts again, as no checkpoint is kept: training.save_strategy epoch keeps"
    assert kept_sentence("train", options(recipe)).startswith(said)
    for step in (9, 10):
        (tmp_path / "run" / f"checkpoint-{step}").mkdir(parents=True)
    (tmp_path / "run" / "checkpoint-9" / "manifest.json").touch()
    assert kept_sentence("train", options(recipe)) == "interrupted; the same command goes on from checkpoint-9"

    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted)
    code, _, err = cli("train", "--config", recipe)
    assert (code, err) == (130, "hf-privacy: interrupted; the same command goes on from checkpoint-9\n")


def test_an_audit_counts_the_references_that_are_kept(write_recipe, tmp_path):
    recipe = write_recipe(tmp_path)
    (tmp_path / "run" / "private" / "references").mkdir(parents=True)
    (tmp_path / "run" / "private" / "references" / "reference_0002.safetensors").touch()
    assert "1 of 4 reference models are finished and kept" in kept_sentence("audit", options(recipe))
    quick = Options(config=recipe, overrides={"audit.depth": "quick"})
    assert kept_sentence("audit", quick) == "interrupted; the same command starts again"


def test_an_unlearning_says_what_is_served(write_recipe, tmp_path):
    recipe = write_recipe(tmp_path)
    assert "unlearning.training.save_strategy epoch" in kept_sentence("unlearn", options(recipe, queue=None))
    checkpoint = tmp_path / "run" / "unlearned" / ".scrub.partial" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "manifest.json").touch()
    assert kept_sentence("unlearn", options(recipe, queue=None)).endswith("goes on from checkpoint-3")
    assert "requests in the log are served" in kept_sentence("unlearn", options(recipe, queue="q.jsonl"))


@pytest.mark.parametrize("command", ["compare", "demo", "push", "metrics", "report", "env", "", "train"])
def test_every_command_has_a_sentence_whatever_it_was_given(command):
    assert kept_sentence(command, Options(config="no/such/file.yaml")).startswith("interrupted; ")
