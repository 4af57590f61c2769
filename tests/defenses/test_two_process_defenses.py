"""Trap 11: the defences that look beyond one example, on two real processes under torchrun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_language import language_model, token_rows
from torchrun import on_two_processes

from hf_privacy.defenses import PrivacyTrainer, RelaxLossConfig, RelaxLossTrainer

# As in two_process_defenses.py, with the batch of both processes on one.
RELAX = {"alpha": 1.12, "num_train_epochs": 4, "per_device_train_batch_size": 16, "optim": "sgd", "learning_rate": 0.1}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder two processes wrote."""
    folder = tmp_path_factory.mktemp("two_processes")
    on_two_processes(Path(__file__).with_name("two_process_defenses.py"), folder)
    return folder


def test_relax_loss_judges_the_mean_over_both_processes(two_processes, make_args, model_of, data_of):
    first, second = (json.loads((two_processes / f"relax-rank{rank}.json").read_text()) for rank in (0, 1))
    sides = [(a - 1.12) * (b - 1.12) < 0 for a, b in zip(first, second, strict=True)]
    assert any(sides)  # each process alone would have gone another way
    start = model_of("tabular").state_dict()
    trainer = RelaxLossTrainer(
        model_of("tabular"), make_args(RelaxLossConfig, **RELAX), train_dataset=data_of("tabular", 16)
    )
    trainer.train()
    together = load_file(two_processes / "relax" / "model.safetensors")
    for key, alone in trainer.model.state_dict().items():
        assert not torch.equal(alone, start[key])
        torch.testing.assert_close(together[key], alone, rtol=1e-5, atol=1e-6)


def test_early_stopping_stops_both_processes_at_the_same_loss(two_processes):
    first, second = (json.loads((two_processes / f"stop-rank{rank}.json").read_text()) for rank in (0, 1))
    losses = [[entry["validation_loss"] for entry in log if "validation_loss" in entry] for log in (first, second)]
    assert losses[0] == losses[1]
    assert 1 < len(losses[0]) < 40
    assert losses[0][-1] >= min(losses[0][:-1])


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_two_processes_train_a_language_model_as_one_does_on_the_mean_over_all_their_tokens(
    lora, two_processes, make_args
):
    args = make_args(num_train_epochs=2, per_device_train_batch_size=8, optim="sgd", learning_rate=0.1)
    model = language_model("llama", lora=lora, spread=0.05)
    start = {key: weight.detach().clone() for key, weight in model.named_parameters()}
    trainer = PrivacyTrainer(model, args, train_dataset=token_rows(), eval_dataset=token_rows(seed=1).subset(range(5)))
    trainer.train()
    name = "lora" if lora else "full"
    together = load_file(two_processes / f"{name}.safetensors")
    for key, alone in model.named_parameters():
        if alone.requires_grad:
            assert not torch.equal(alone, start[key])
            torch.testing.assert_close(together[key], alone.detach(), rtol=1e-4, atol=1e-5)
    wanted = trainer.evaluate()["eval_loss"]
    for rank in (0, 1):
        found = json.loads((two_processes / f"{name}-rank{rank}.json").read_text())
        assert found["eval_loss"] == pytest.approx(wanted, rel=1e-4)
