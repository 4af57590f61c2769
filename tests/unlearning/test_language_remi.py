"""ReMI on language models: features against the attacks' own, the loss by hand, both approximators, refusals."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tiny_language import language_model, token_rows
from torch.nn import functional as F

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.models import base_of
from hf_privacy.signals import SignalStore, signals_and_tokens, token_signals
from hf_privacy.tasks import task_of
from hf_privacy.unlearning import ReMIConfig, ReMITrainer, shadow_features_of_models, shadow_features_of_store
from hf_privacy.unlearning.remi.approximator import gaussian_kl
from hf_privacy.unlearning.remi.token_features import (
    TOKEN_FEATURES,
    base_losses,
    dataset_token_features,
    token_features,
)

LENGTHS = (9, 4, 12, 6, 7, 5, 11, 10, 8, 2)


@pytest.fixture(scope="module")
def rows():
    return token_rows(LENGTHS * 6)


@pytest.fixture(scope="module")
def sets(rows):
    parts = {"forget": range(8), "retain": range(8, 30), "heldout": range(30, 60)}
    return {f"{name}_dataset": rows.subset(numbers) for name, numbers in parts.items()}


@pytest.fixture(scope="module")
def adapted():
    return language_model("llama", lora=True)


@pytest.fixture
def remi(adapted, sets, make_args):
    """``remi(alpha=0.5)``: a trainer on a copy of the adapted model."""

    def make(model=None, *, shadow_features=None, **arguments):
        settings = {"check_evidence": False, "approximator_epochs": 2, "num_train_epochs": 1, "guard": False}
        args = make_args(ReMIConfig, **{**settings, **arguments})
        model = copy.deepcopy(adapted if model is None else model)
        return ReMITrainer(model, args, **sets, shadow_features=shadow_features)

    return make


def test_the_features_are_what_the_attacks_read(adapted, rows):
    tokens = token_signals(adapted, rows)
    with base_of(adapted) as base:
        of_base = token_signals(base, rows).examples()["loss"]
    loss = -attacks.min_k(tokens.log_prob, tokens.offsets, k=1.0)  # of all: the mean
    expected = {
        "loss": loss,
        "min_k": attacks.min_k(tokens.log_prob, tokens.offsets),
        "min_k_plus_plus": attacks.min_k_plus_plus(tokens.log_prob, tokens.mean, tokens.variance, tokens.offsets),
        "mean_entropy": -np.add.reduceat(tokens.mean.astype(float), tokens.offsets[:-1]) / np.diff(tokens.offsets),
        "base_difference": loss - of_base,
    }
    found = dataset_token_features(adapted, rows, features=TOKEN_FEATURES, base_loss=base_losses(adapted, rows))
    for column, name in enumerate(TOKEN_FEATURES):
        np.testing.assert_allclose(found[:, column], expected[name], rtol=2e-4, atol=2e-4, err_msg=name)
    # A row's own, whatever lies beside it.
    alone = dataset_token_features(adapted, rows.subset([3]), features=TOKEN_FEATURES[:4])
    torch.testing.assert_close(alone[0], found[3, :4], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TOKEN_FEATURES)
def test_each_has_the_gradient_of_its_own_differences(name, adapted, rows):
    model, task = copy.deepcopy(adapted).double(), task_of(adapted)
    batch = rows.__getitems__(range(4))
    weight = next(p for key, p in model.named_parameters() if "lora_B" in key)

    def value():
        scored = task.forward(model, batch)
        return token_features(scored, features=[name], base_loss=torch.ones(4).double()).double().sum()

    weight.requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(), weight)
    step = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        # The features are float32 at the end: the difference is taken over a step that this does not drown.
        ends = []
        for sign in (1, -1):
            weight += sign * 1e-3 * step
            ends.append(value())
            weight -= sign * 1e-3 * step
    expected = (ends[0] - ends[1]) / 2e-3
    assert float((gradient * step).sum()) == pytest.approx(float(expected), rel=0.05, abs=0.02)


def test_the_loss_is_of_its_three_parts(remi, adapted, sets):
    trainer = remi(alpha=0.7, beta=0.3, seed=1)
    trainer.prepare()
    forget, retain = (
        trainer._prepare_inputs(sets[f"{part}_dataset"].__getitems__(range(4))) for part in ("forget", "retain")
    )
    found = trainer.unlearning_loss(trainer.model.eval(), forget, retain)

    def judged(batch):
        with base_of(adapted) as base, torch.no_grad():
            of_base = task_of(base).example_losses(task_of(base).forward(base, batch), batch)
        scored = task_of(adapted).forward(adapted, batch)
        return trainer.membership_approximator(token_features(scored, features=TOKEN_FEATURES, base_loss=of_base))

    unseen = judged(trainer._heldout_batch(4))
    kept = task_of(adapted).example_losses(task_of(adapted).forward(adapted, retain), retain).mean()
    member = F.softplus(judged(forget)).mean()
    expected = kept + 0.7 * member + 0.3 * gaussian_kl(judged(forget), unseen)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    # A is fixed, and gradients go through it into the adapter alone.
    found.backward()
    moved = {name for name, weight in trainer.model.named_parameters() if weight.grad is not None}
    assert moved == set(trainer.trainable())
    assert not any(weight.requires_grad for weight in trainer.membership_approximator.parameters())


def test_the_guard_stops_where_forgotten_rows_look_no_more_like_members(remi):
    trainer = remi(guard=True, num_train_epochs=3)
    trainer.unlearn()
    seen = [entry for entry in trainer.state.log_history if "forget_member" in entry]
    assert seen
    over = [entry["forget_member"] <= entry["heldout_member"] for entry in seen]
    assert not any(over[:-1])
    assert over[-1] or trainer.state.global_step == trainer.state.max_steps


def test_an_adapter_has_a_base_to_compare_with_and_a_whole_model_has_none(remi):
    assert remi().args.features == list(TOKEN_FEATURES)
    whole = language_model("llama")
    trainer = remi(whole)
    assert trainer.args.features == list(TOKEN_FEATURES[:4])
    trainer.unlearn()
    with pytest.raises(InputError, match="'base_difference' and the model has no adapter to switch off"):
        remi(whole, features=["loss", "base_difference"])


@pytest.mark.parametrize("name", ["posteriors", "label", "activations", "phi"])
def test_what_is_about_classes_is_refused(name, remi):
    with pytest.raises(InputError, match=f"features hold '{name}': of a language model pass any of loss, min_k"):
        remi(features=[name])
    with pytest.raises(InputError, match="neuron_selection is 't' without activations"):
        remi(neuron_selection="t")


def test_the_references_of_an_audit_give_the_features_of_their_models(adapted, rows, remi, tmp_path):
    shadows = [(language_model("llama", lora=True, seed=seed), np.arange(60) % 2 == seed) for seed in (0, 1)]
    metadata = {
        "recipe_hash": "r", "dataset_fingerprint": "d", "split_hash": "s", "example_ids_digest": "e", "n_models": 2,
        "n_examples": 60, "queries": ["identity"], "signals": list(task_of(adapted).signal_names),
        "n_tokens": int(token_signals(adapted, rows).offsets[-1]),
    }  # fmt: skip
    store = SignalStore.create(tmp_path / "store", metadata)
    for number, (model, inside) in enumerate(shadows):
        signals, tokens = signals_and_tokens(model, rows)
        store.write(number, signals, inside, tokens=tokens, info={"training_seconds": 2.0})
    base = base_losses(adapted, rows).numpy()
    labels = rows.column("labels").numpy()
    found = shadow_features_of_store(store, labels, n_classes=0, features=TOKEN_FEATURES, base_loss=base)
    assert found.seconds == 4.0
    own = torch.cat([dataset_token_features(model, rows, features=TOKEN_FEATURES[:4]) for model, _ in shadows])
    torch.testing.assert_close(found.features[:, :4], own, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        found.features[:, 4], (own[:, 0].double() - torch.from_numpy(base).repeat(2)).float(), rtol=1e-3, atol=1e-3
    )
    of_models = shadow_features_of_models(shadows, rows, features=TOKEN_FEATURES[:4])
    torch.testing.assert_close(of_models.features, own)
    args = ReMIConfig(str(tmp_path / "args"), approximator="inference", report_to="none")
    made = ReMITrainer.arguments_of_references(args, store, labels, n_classes=0, dataset=rows, model=adapted)
    assert made["shadow_features"].names == TOKEN_FEATURES
    trainer = remi(approximator="inference", **made)
    trainer.unlearn()
    assert trainer.timing["shadows"] == 4.0
