"""Trap 7 and 11: two real processes under torchrun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchrun import on_two_processes

from hf_privacy.defenses import PrivacyTrainer


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder two processes wrote."""
    folder = tmp_path_factory.mktemp("two_processes")
    on_two_processes(Path(__file__).with_name("two_processes.py"), folder)
    return folder


def found(folder, name):
    return [json.loads((folder / f"{name}-rank{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize(("name", "n", "batches"), [("plain", 17, 3), ("accumulated", 17, 3), ("joined", 9, 2)])
def test_trap_7_two_processes_draw_each_example_exactly_once_an_epoch(name, n, batches, two_processes):
    ranks = [rank["drawn"][: 2 * batches] for rank in found(two_processes, name)]  # what follows is the evaluation
    for epoch in (0, 1):
        drawn = [batch for rank in ranks for batch in rank[epoch * batches : (epoch + 1) * batches]]
        assert sorted(index for batch in drawn for index in batch) == list(range(n))


@pytest.mark.parametrize(("name", "accumulation"), [("plain", 1), ("accumulated", 2)])
def test_trap_7_two_processes_end_with_the_weights_of_one_with_twice_the_batch(
    name, accumulation, two_processes, make_args, model_of, data_of
):
    args = make_args(
        num_train_epochs=2,
        per_device_train_batch_size=6,
        gradient_accumulation_steps=accumulation,
        optim="sgd",
        learning_rate=0.1,
    )
    start = model_of("tabular").state_dict()
    trainer = PrivacyTrainer(model_of("tabular"), args, train_dataset=data_of("tabular", 17))
    trainer.train()
    together = load_file(two_processes / name / "model.safetensors")
    for key, alone in trainer.model.state_dict().items():
        assert not torch.equal(alone, start[key])
        torch.testing.assert_close(together[key], alone, rtol=1e-5, atol=1e-6)


def test_two_processes_do_not_share_their_augmentation(two_processes):
    first, second = (rank["mirrored"][-1] for rank in found(two_processes, "augmented"))
    assert len(first) == len(second) == 32
    assert first != second


def test_trap_5_no_process_leaves_the_pickled_arguments(two_processes):
    assert not list(two_processes.rglob("training_args.bin"))
