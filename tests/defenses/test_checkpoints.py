"""A checkpoint is resumed when it was saved to its end and nothing in it has changed, and not otherwise."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base.checkpoints import (
    MANIFEST,
    damage_of,
    last_whole_checkpoint,
    remove_old_checkpoints,
    seal_checkpoint,
)
from hf_privacy.errors import InputError


class WriteOnSave(TrainerCallback):
    """Adds a file to each checkpoint, as callbacks do: after the Trainer's own."""

    def on_save(self, args, state, control, **kwargs):
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / "mine.txt").write_text("mine")


@pytest.fixture
def trainer(make_args, model_of, data_of):
    """``trainer(save_total_limit=1)``: 4 steps, a checkpoint each."""

    def make(callbacks=(), **arguments):
        settings = {"max_steps": 4, "save_strategy": "steps", "save_steps": 1, "learning_rate": 0.05, **arguments}
        return PrivacyTrainer(
            model_of("tabular"), make_args(**settings), train_dataset=data_of("tabular"), callbacks=list(callbacks)
        )

    return make


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint-7"
    (folder / "inner").mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "inner/mask.safetensors"):
        (folder / name).write_bytes(name.encode() * 50)
    seal_checkpoint(folder)
    return folder


def test_no_folder_and_no_checkpoint_is_no_checkpoint(tmp_path):
    assert last_whole_checkpoint(tmp_path / "absent") is None
    (tmp_path / "checkpoint-best").mkdir()
    assert last_whole_checkpoint(tmp_path) is None


def test_any_change_to_a_checkpoint_is_named(checkpoint):
    assert damage_of(checkpoint) is None
    (checkpoint / ".DS_Store").touch()
    assert damage_of(checkpoint) is None
    for file in sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name[0] != "."):
        content = file.read_bytes()
        for place in range(0, len(content), 97):
            if content[place : place + 1].isspace():  # the manifest's own layout says nothing
                continue
            file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
            assert damage_of(checkpoint), (file, place)
        file.write_bytes(content[:-2])
        assert damage_of(checkpoint) is not None
        file.unlink()
        assert damage_of(checkpoint) is not None
        file.write_bytes(content)
        assert damage_of(checkpoint) is None
    (checkpoint / "pytorch_model.bin").write_bytes(b"another's")
    assert damage_of(checkpoint) == "has a file more than was saved, pytorch_model.bin"


@pytest.mark.parametrize("manifest", ["", "[]", "null", "{", '{"model.safetensors": 3}', '{"a": {"bytes": "x"}}'])
def test_a_manifest_that_is_none_is_said(checkpoint, manifest):
    (checkpoint / MANIFEST).write_text(manifest)
    assert damage_of(checkpoint) == f"has a {MANIFEST} that cannot be read"


def test_every_checkpoint_of_a_training_is_whole_with_what_callbacks_added(trainer, tmp_path):
    trainer([WriteOnSave()]).train()
    for step in range(1, 5):
        checkpoint = tmp_path / "run" / f"checkpoint-{step}"
        assert damage_of(checkpoint) is None
        assert '"mine.txt"' in (checkpoint / MANIFEST).read_text()


def test_an_earlier_whole_checkpoint_is_taken_and_ends_in_the_same_weights(trainer, tmp_path):
    whole = trainer()
    whole.train()
    expected = {name: tensor.clone() for name, tensor in whole.model.state_dict().items()}
    folder = tmp_path / "run"
    (folder / "checkpoint-4" / MANIFEST).unlink()
    optimizer = folder / "checkpoint-3" / "optimizer.pt"
    content = optimizer.read_bytes()
    optimizer.write_bytes(content[:-200] + bytes([content[-200] ^ 1]) + content[-199:])
    assert last_whole_checkpoint(folder) == str(folder / "checkpoint-2")
    with pytest.raises(InputError, match=r"checkpoint-3 has a changed optimizer\.pt: resume from an earlier one"):
        trainer().train(resume_from_checkpoint=str(folder / "checkpoint-3"))
    again = trainer()
    again.train(resume_from_checkpoint=True)
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, expected[name])
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    with pytest.raises(InputError, match="run has no whole checkpoint: leave it out"):
        trainer().train(resume_from_checkpoint=True)


def test_older_checkpoints_go_only_when_the_new_one_is_whole(trainer, tmp_path, monkeypatch):
    at_sealing = []

    def sealed(checkpoint):
        at_sealing.append(sorted(path.name for path in checkpoint.parent.glob("checkpoint-*")))
        seal_checkpoint(checkpoint)

    monkeypatch.setattr("hf_privacy.defenses.base.saving.seal_checkpoint", sealed)
    trainer(save_total_limit=1).train()
    assert at_sealing[1:] == [[f"checkpoint-{step - 1}", f"checkpoint-{step}"] for step in (2, 3, 4)]
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-4"]


def test_the_best_and_the_latest_checkpoint_always_stay(tmp_path):
    for step in (9, 1, 2, 3):  # 9 is the oldest: of a run before
        (tmp_path / f"checkpoint-{step}").mkdir()
    latest, best = tmp_path / "checkpoint-3", str(tmp_path / "checkpoint-1")
    remove_old_checkpoints(tmp_path, limit=None, latest=latest, best=best)
    assert len(list(tmp_path.iterdir())) == 4
    remove_old_checkpoints(tmp_path, limit=1, latest=latest, best=best)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-3"]


def test_a_full_disk_leaves_no_half_checkpoint(trainer, tmp_path, monkeypatch):
    made = trainer()

    def full(output_dir):
        if output_dir.endswith("-3"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(made, "_save_rng_state", full)
    with pytest.raises(OSError, match="No space left"):
        made.train()
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    assert last_whole_checkpoint(tmp_path / "run") == str(tmp_path / "run" / "checkpoint-2")


def test_a_disk_that_is_full_for_what_a_callback_adds_leaves_no_half_checkpoint_either(trainer, tmp_path):
    class Full(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        trainer([Full()]).train()
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
