"""Trap 11: adversarial training on two real processes under torchrun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchrun import on_two_processes

from hf_privacy.defenses import AdversarialConfig, AdversarialTrainer


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder two processes wrote."""
    folder = tmp_path_factory.mktemp("two_processes")
    on_two_processes(Path(__file__).with_name("two_processes_adversarial.py"), folder)
    return folder


@pytest.fixture
def ranks(two_processes):
    return [json.loads((two_processes / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_two_processes_take_the_steps_of_one_awp_included(two_processes, make_args, model_of, data_of):
    # As in two_processes_adversarial.py, with the batch of both processes on one; 15 examples are shared as 8 and 7.
    args = make_args(
        AdversarialConfig,
        objective="mart",
        awp_gamma=0.1,
        random_start=False,
        epsilon=0.05,
        num_train_epochs=3,
        per_device_train_batch_size=16,
        optim="sgd",
        momentum=0.0,
        learning_rate=0.5,
    )
    trainer = AdversarialTrainer(model_of("tabular"), args, train_dataset=data_of("tabular", 15))
    start = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    trainer.train()
    together = load_file(two_processes / "exact" / "model.safetensors")
    for name, alone in trainer.model.state_dict().items():
        assert (alone - start[name]).norm() > 1e-2
        torch.testing.assert_close(together[name], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet", "bert"])
def test_two_forward_passes_before_a_backward_pass_leave_both_processes_with_the_same_weights(name, ranks):
    first, second = (rank[name] for rank in ranks)
    assert first["finite"]
    assert first["weights"] == second["weights"]


@pytest.mark.parametrize("name", ["resnet", "bert"])
def test_the_loss_variance_is_the_mean_over_both_processes(name, ranks):
    first, second = (rank[name]["loss_variance"] for rank in ranks)
    assert len(first) == 1
    assert first == second
    assert first[0] > 0
