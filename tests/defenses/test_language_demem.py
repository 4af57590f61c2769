"""DeMem on a language model: the variance of its rows' losses, or of what they fell by, joins their mean."""

from __future__ import annotations

import pytest
import torch
from tiny_language import language_model, token_rows
from torch.nn import functional as F

from hf_privacy.defenses import DeMemConfig, DeMemTrainer, PrivacyTrainer
from hf_privacy.errors import InputError


@pytest.fixture
def make_trainer(make_args):
    """Give a function: ``make_trainer(lora=True, variance_weight=0.4)``."""

    def make(*, lora=False, data=None, config_class=DeMemConfig, **arguments):
        model = language_model("llama", lora=lora, spread=0.1).double()
        kind = DeMemTrainer if config_class is DeMemConfig else PrivacyTrainer
        args = make_args(config_class, **{"per_device_train_batch_size": 8, **arguments})
        return kind(model, args, train_dataset=token_rows() if data is None else data)

    return make


def row_losses(model, dataset):
    """Of each row by itself, without padding: its mean over its own scored tokens."""
    losses = []
    for row in range(len(dataset)):
        batch = dataset[row]
        length = int(batch["attention_mask"].sum())
        logits = model(input_ids=batch["input_ids"][None, :length]).logits[0, :-1]
        targets = batch["labels"][1:length]
        losses.append(F.cross_entropy(logits[targets >= 0], targets[targets >= 0]))
    return torch.stack(losses)


def naive(losses, before, weight):
    falls = [loss - base for loss, base in zip(losses, before, strict=True)]
    mean = sum(falls) / len(falls)
    return sum(losses) / len(losses) + weight * sum((fall - mean) ** 2 for fall in falls) / (len(falls) - 1)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("weight", [0.0, 0.2, 0.6, -0.4])
def test_the_loss_is_the_mean_plus_lambda_times_the_variance_of_the_rows_losses(weight, lora, make_trainer):
    trainer = make_trainer(
        lora=lora, variance_weight=weight, control="negative_variance" if weight < 0 else None, max_steps=1
    )
    weights = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    wanted = naive(row_losses(trainer.model, token_rows()), [0.0] * 8, weight)
    loss, _ = trainer.training_loss(trainer.model, token_rows().__getitems__(range(8)))
    torch.testing.assert_close(loss, wanted)
    for ours, theirs in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(wanted, weights), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_less_the_base_it_is_the_variance_of_how_far_the_losses_fell(lora, make_trainer):
    trainer = make_trainer(lora=lora, variance_weight=0.6, minus_base=True, max_steps=2, learning_rate=0.05)
    with torch.no_grad():
        if lora:
            with trainer.model.disable_adapter():
                before = row_losses(trainer.model, token_rows())
        else:
            before = row_losses(trainer.model, token_rows())
    assert (trainer._starting_model._copy is None) == lora  # an adapter needs no second copy
    trainer.train()
    weights = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    losses = row_losses(trainer.model.train(), token_rows())
    assert (losses - before).abs().max() > 0.1
    wanted = naive(losses, before, 0.6)
    loss, _ = trainer.training_loss(trainer.model, token_rows().__getitems__(range(8)))
    assert trainer.model.training
    torch.testing.assert_close(loss, wanted)
    for ours, theirs in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(wanted, weights), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_base_of_a_resumed_run_is_what_it_began_from(make_trainer, tmp_path):
    settings = {"variance_weight": 0.6, "minus_base": True, "learning_rate": 0.05, "output_dir": str(tmp_path / "run")}
    whole = make_trainer(max_steps=4, save_strategy="steps", save_steps=2, **settings)
    whole.train()
    resumed = make_trainer(max_steps=4, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_with_lambda_zero_it_is_training_without_a_defence(make_trainer):
    from hf_privacy.defenses import PrivacyConfig

    plain = make_trainer(config_class=PrivacyConfig, loss_average="example", max_steps=3)
    trained = [make_trainer(variance_weight=0.0, max_steps=3), plain]
    for trainer in trained:
        trainer.train()
    for ours, theirs in zip(*(trainer.model.parameters() for trainer in trained), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_variance_is_of_each_accumulated_batch_by_itself(make_trainer):
    rows = token_rows([9, 4, 12, 2, 7, 5, 11, 3] * 2, seed=3)
    sgd = {"optim": "sgd", "momentum": 0.0, "learning_rate": 1.0, "max_grad_norm": 0.0}
    trainer = make_trainer(data=rows, variance_weight=0.6, max_steps=1, gradient_accumulation_steps=2, **sgd)
    start = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    parts = [rows.__getitems__(part) for part in list(trainer.get_train_dataloader().batch_sampler)]
    loss = sum(trainer.training_loss(trainer.model, part)[0] for part in parts) / 2
    gradients = torch.autograd.grad(loss, list(trainer.model.parameters()))
    trainer.train()
    for parameter, before, gradient in zip(trainer.model.parameters(), start, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), before - gradient)


def test_its_rows_are_coupled_and_its_report_speaks_of_no_attack(make_trainer):
    assert DeMemTrainer.couples_rows
    trainer = make_trainer(variance_weight=0.4)
    described = trainer.describe_defense()
    assert described["parameters"] == {"variance_weight": 0.4, "control": None, "minus_base": False}
    assert trainer.paper_defaults == {"variance_weight": 0.2}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epsilon": 0.1}, "epsilon is 0.1 and the model for causal-lm, which DeMem trains without an attack"),
        ({"objective": "trades"}, "objective is 'trades' and the model for causal-lm"),
        ({"control": "class_variance"}, "control is 'class_variance' and the model for causal-lm, whose rows have no"),
        ({"per_device_train_batch_size": 7}, "per_device_train_batch_size is 7: .* fewer than 8 rows says little"),
    ],
    ids=str,
)
def test_what_a_language_model_does_not_have_is_refused_in_one_sentence(given, message, make_trainer):
    with pytest.raises(InputError, match=message) as refused:
        make_trainer(**given)
    assert "\n" not in str(refused.value)


def test_a_classifier_has_no_loss_before_training(make_args, model_of, data_of):
    with pytest.raises(InputError, match="minus_base is True and the model for tabular-classification"):
        DeMemTrainer(model_of("tabular"), make_args(DeMemConfig, minus_base=True), train_dataset=data_of("tabular"))
