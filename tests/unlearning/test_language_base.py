"""What unlearners of language models inherit: the model before, with its adapter, and rows that count as one each."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_language import language_model, token_rows
from torchrun import on_two_processes

from hf_privacy.defenses import PrivacyConfig
from hf_privacy.errors import InputError
from hf_privacy.models import base_of
from hf_privacy.signals import compute_signals
from hf_privacy.unlearning import (
    GradDiffConfig,
    GradDiffTrainer,
    NPOConfig,
    NPOTrainer,
    SCRUBConfig,
    SCRUBTrainer,
    mean_loss,
    relearning_steps,
)

ROWS = token_rows((9, 4, 12, 6, 7, 5, 11, 10, 8, 7) * 4)
SETS = {
    "forget_dataset": ROWS.subset(range(8)),
    "retain_dataset": ROWS.subset(range(8, 30)),
    "heldout_dataset": ROWS.subset(range(30, 40)),
}


@pytest.fixture
def trainer_of(make_args):
    """Give a function: ``trainer_of(NPOTrainer, NPOConfig, model, beta=0.2)``."""

    def make(kind, config, model, *, sets=SETS, **arguments):
        settings = {"learning_rate": 0.05, "check_evidence": False, "per_device_train_batch_size": 4}
        args = make_args(config, **{**settings, "num_train_epochs": 2, "optim": "adamw_torch", **arguments})
        return kind(model, args, **sets)

    return make


@pytest.fixture
def trainer(trainer_of):
    return trainer_of(GradDiffTrainer, GradDiffConfig, language_model("llama", lora=True), retain_loss="kl")


def batch_of(rows):
    return ROWS.__getitems__(rows)


def log_probs(model, rows) -> torch.Tensor:
    """Log p of each row's scored tokens, summed in a loop, each row by itself and without padding."""
    found = []
    with torch.no_grad():
        for row in rows:
            batch = batch_of([row])
            log_p = model(input_ids=batch["input_ids"]).logits[0].double().log_softmax(-1)
            labels = batch["labels"][0]
            places = [place for place in range(1, len(labels)) if labels[place] != -100]
            found.append(sum(log_p[place - 1, labels[place]] for place in places))
    return torch.stack(found)


def test_the_model_before_has_its_adapter_on_and_dropout_off(trainer_of):
    model = language_model("llama", lora=True)
    for layer in model.modules():
        if hasattr(layer, "lora_dropout"):
            layer.lora_dropout["default"] = torch.nn.Dropout(0.5)
    expected = log_probs(model.eval(), range(6))
    with base_of(model) as base:
        without = log_probs(base, range(6))
    trainer = trainer_of(NPOTrainer, NPOConfig, model)
    trainer.model.train()  # with dropout, as in the midst of training
    trainer.prepare()
    found = trainer.of_reference(trainer.sequence_log_prob, batch_of(range(6)))
    assert not any(module.training for module in trainer.reference.modules())
    assert trainer.model.training
    assert not found.requires_grad
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    assert (found - without).abs().min() > 0.01  # the base alone is another model, which never saw the rows


@pytest.mark.parametrize("is_lora", [False, True])
def test_the_model_before_stays_and_an_adapters_base_is_in_memory_once(trainer_of, is_lora):
    model = language_model("llama", lora=is_lora)
    frozen = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    start = copy.deepcopy(model)
    trainer = trainer_of(GradDiffTrainer, GradDiffConfig, model, retain_loss="kl")
    trainer.unlearn()
    before = trainer.reference
    for (name, now), then, kept in zip(
        trainer.model.named_parameters(), start.parameters(), before.parameters(), strict=True
    ):
        assert torch.equal(then, kept)
        if name in frozen:
            assert now is kept  # one weight in memory
            assert torch.equal(now, frozen[name])  # to the bit
        else:
            assert not torch.equal(now, kept), name
            assert now.requires_grad
            assert not kept.requires_grad
    assert bool(frozen) == is_lora
    assert not [name for name in trainer.original_state if name in frozen]


def test_log_probabilities_are_sums_over_scored_tokens_and_losses_come_row_after_row(trainer):
    batch = batch_of(range(6))
    expected = log_probs(trainer.model, range(6))
    torch.testing.assert_close(
        trainer.sequence_log_prob(trainer.model, batch).double(), expected, rtol=1e-4, atol=1e-4
    )
    losses = trainer.token_losses(trainer.model, batch)
    counts = (batch["labels"][:, 1:] != -100).sum(dim=1)
    summed = torch.stack([part.sum() for part in losses.split(counts.tolist())])
    torch.testing.assert_close(-summed.double(), expected, rtol=1e-4, atol=1e-4)
    own_means = -expected / counts
    assert trainer.mean_loss(trainer.model, batch).item() == pytest.approx(float(own_means.mean()), rel=1e-4)


@pytest.mark.parametrize("settings", [{}, {"stop_rule": "heldout_loss", "stop_every_n_steps": 1}])
def test_two_halves_make_the_step_of_the_whole(trainer_of, settings):
    start = language_model("llama", lora=True)

    def after(**arguments):
        model = copy.deepcopy(start)
        size = {"max_steps": 1, "learning_rate": 0.1, "optim": "sgd", "max_grad_norm": 0.0}
        trainer = trainer_of(NPOTrainer, NPOConfig, model, **size, **settings, **arguments)
        trainer.unlearn()
        return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])

    whole = after(per_device_train_batch_size=8)
    halves = after(per_device_train_batch_size=2, gradient_accumulation_steps=4)
    torch.testing.assert_close(whole, halves, rtol=1e-4, atol=1e-5)
    assert (whole - torch.cat([p.detach().flatten() for p in start.parameters()])).abs().max() > 1e-3


def test_a_model_that_never_saw_the_forget_rows_is_refused(trainer_of):
    model = language_model("llama")
    losses = compute_signals(model, ROWS)["loss"][0]
    order = np.argsort(losses)
    worse, better = order[-8:], order[:8]

    def sets(forget, heldout):
        return {
            "forget_dataset": ROWS.subset(forget),
            "retain_dataset": ROWS.subset(order[8:-8]),
            "heldout_dataset": ROWS.subset(heldout),
        }

    arguments = {"check_evidence": True, "num_train_epochs": 1}
    with pytest.raises(InputError, match="no better on the forget set"):
        trainer_of(
            GradDiffTrainer, GradDiffConfig, copy.deepcopy(model), sets=sets(worse, better), **arguments
        ).unlearn()
    trainer_of(GradDiffTrainer, GradDiffConfig, model, sets=sets(better, worse), **arguments).unlearn()


def test_the_stop_rule_looks_at_rows_of_tokens(trainer_of):
    trainer = trainer_of(
        GradDiffTrainer, GradDiffConfig, language_model("llama"), stop_rule="heldout_loss", num_train_epochs=40
    )
    trainer.unlearn()
    looks = [entry for entry in trainer.state.log_history if "forget_loss" in entry]
    assert trainer.state.global_step == len(looks) < 80
    assert looks[-1]["forget_loss"] >= looks[-1]["heldout_loss"]


def test_what_needs_classes_is_refused_of_a_language_model(make_args):
    with pytest.raises(InputError, match=r"SCRUBTrainer is for .* and the model for causal-lm"):
        SCRUBTrainer(language_model("llama"), make_args(SCRUBConfig), **SETS)


def test_a_resumed_run_is_held_to_the_model_before_and_not_to_its_checkpoint(trainer_of, tmp_path):
    start, saving = language_model("llama", lora=True), {"save_strategy": "steps", "save_steps": 1}
    saving["output_dir"] = str(tmp_path / "run")
    start.peft_config["default"].base_model_name_or_path = "tiny"
    trainer_of(NPOTrainer, NPOConfig, copy.deepcopy(start), max_steps=2, **saving).unlearn()
    again = trainer_of(NPOTrainer, NPOConfig, copy.deepcopy(start), max_steps=3, **saving)
    again.unlearn(resume_from_checkpoint=True)
    assert again.state.global_step == 3
    for (name, kept), then in zip(again.reference.named_parameters(), start.parameters(), strict=True):
        assert torch.equal(kept, then), name


def test_relearning_brings_rows_of_tokens_back(trainer_of, make_args):
    model = language_model("llama", lora=True)
    before = mean_loss(model, SETS["forget_dataset"])
    trainer = trainer_of(GradDiffTrainer, GradDiffConfig, model, max_steps=2)
    trainer.unlearn()
    weights = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    after = mean_loss(trainer.model, SETS["forget_dataset"])
    assert after > before
    args = make_args(PrivacyConfig, learning_rate=0.02, optim="adamw_torch", per_device_train_batch_size=8)
    halfway = (before + after) / 2
    found = relearning_steps(trainer.model, SETS["forget_dataset"], args=args, target_loss=halfway, max_steps=200)
    assert found.regained
    assert 0 < found.steps < 200
    assert all(torch.equal(parameter, weights[name]) for name, parameter in trainer.model.named_parameters())


def test_two_processes_forget_as_one_does(tmp_path):
    script = Path(__file__).parent / "two_processes_npo.py"
    on_two_processes(script, tmp_path / "two.pt")
    here = runpy.run_path(str(script))["npo_run"](tmp_path / "one", batch_size=4)
    there = torch.load(tmp_path / "two.pt", weights_only=True)
    moved = 0
    for name, start in language_model("llama", lora=True).named_parameters():
        torch.testing.assert_close(there[name], here[name], rtol=1e-4, atol=1e-5)
        moved += not torch.equal(here[name], start)
    assert moved


def test_the_model_before_speaks_in_the_precision_of_training(trainer_of):
    """Else a model that has not moved yet has a ratio to itself, of what bfloat16 rounds away."""
    trainer = trainer_of(NPOTrainer, NPOConfig, language_model("llama"), bf16=True, max_steps=1)
    ratio, seen = trainer.log_ratio, []

    def watched(model, batch):
        seen.append(ratio(model, batch))
        return seen[-1]

    trainer.log_ratio = watched
    trainer.unlearn()
    assert seen[0].abs().max() < 1e-5
