"""DP-SGD on two real processes: one batch shared out, one noise, one ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file
from tiny_language import grouped_rows, language_model
from torchrun import on_two_processes

from hf_privacy.defenses import DPConfig, DPTrainer
from hf_privacy.defenses.dp.accounting import epsilon_of

pytest.importorskip("opacus")


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder two processes wrote."""
    folder = tmp_path_factory.mktemp("two_processes")
    on_two_processes(Path(__file__).with_name("two_processes_dp.py"), folder)
    return folder


@pytest.fixture
def noisy(two_processes):
    return [json.loads((two_processes / f"noisy-rank{rank}.json").read_text()) for rank in (0, 1)]


def test_without_noise_two_processes_take_the_steps_of_one(two_processes, make_args, model_of, data_of):
    settings = {"per_device_train_batch_size": 16, "noise_multiplier": 0.0, "max_grad_norm": 0.3, "max_steps": 3}
    args = make_args(DPConfig, optim="sgd", momentum=0.0, learning_rate=0.1, accountant="rdp", **settings)
    trainer = DPTrainer(model_of("tabular"), args, train_dataset=data_of("tabular", 16))
    trainer.train()
    together = load_file(two_processes / "exact" / "model.safetensors")
    for name, alone in trainer.model.state_dict().items():
        torch.testing.assert_close(together[name], alone)


def test_without_noise_the_groups_of_two_processes_are_those_of_one(two_processes, make_args):
    settings = {"per_device_train_batch_size": 6, "noise_multiplier": 0.0, "max_grad_norm": 0.3, "max_steps": 3}
    settings |= {"optim": "sgd", "momentum": 0.0, "learning_rate": 0.1, "accountant": "rdp", "privacy_unit": "group"}
    model = language_model("llama", lora=True, spread=0.05)
    trainer = DPTrainer(model, make_args(DPConfig, **settings), train_dataset=grouped_rows())
    trainer.train()
    together = load_file(two_processes / "groups" / "adapter_model.safetensors")
    alone = get_peft_model_state_dict(trainer.model)
    assert together.keys() == alone.keys()
    for name, weights in alone.items():
        torch.testing.assert_close(together[name], weights, rtol=1e-4, atol=1e-6)


def test_both_processes_end_with_the_same_noisy_weights(noisy):
    assert noisy[0]["weights"] == noisy[1]["weights"]


def test_the_processes_share_each_batch_without_a_repeat(noisy):
    steps = list(zip(noisy[0]["drawn"], noisy[1]["drawn"], strict=True))
    assert len(steps) == 15  # 40 examples, 8 a step on average, 3 epochs
    assert all(not set(first) & set(second) for first, second in steps)
    assert any(steps[0] != other for other in steps[1:])


def test_epsilon_is_that_of_the_global_batch_on_both(noisy):
    expected = epsilon_of("rdp", noise_multiplier=1.0, sample_rate=0.2, n_steps=15, delta=0.1 / 40)
    assert [rank["epsilon"] for rank in noisy] == [pytest.approx(expected)] * 2
    assert [rank["steps"] for rank in noisy] == [15, 15]
