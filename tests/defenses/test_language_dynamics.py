"""Loss and curvature of rows of tokens over a training: those of each epoch's model, and training does not notice."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small_training import QUIET
from tiny_language import language_model, token_rows
from transformers import Trainer, TrainerCallback, TrainingArguments

from hf_privacy.data import collate_batch
from hf_privacy.defenses import (
    CurvatureCallback,
    PrivacyConfig,
    PrivacyTrainer,
    TrainingDynamicsCallback,
    read_training_dynamics,
)
from hf_privacy.errors import InputError
from hf_privacy.memorization import dynamics_proxies
from hf_privacy.signals import Curvature, compute_curvature, token_signals

TWO = Curvature(n_vectors=2, seed=4)
EPOCHS = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-3}


class KeepModels(TrainerCallback):
    def __init__(self):
        self.models = []

    def on_epoch_end(self, args, state, control, *, model, **kwargs):
        self.models.append(copy.deepcopy(model))


def train(folder, *callbacks, lora=False, rows=None):
    trainer = PrivacyTrainer(
        language_model("llama", lora=lora, spread=0.1).train(),
        PrivacyConfig(str(folder), **{**QUIET, **EPOCHS}),
        train_dataset=token_rows() if rows is None else rows,
        callbacks=list(callbacks),
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize("lora", [False, True])
def test_values_are_those_of_the_model_after_each_epoch(lora, tmp_path):
    kept, rows = KeepModels(), token_rows(seed=5)
    callbacks = [TrainingDynamicsCallback(rows), CurvatureCallback(rows, curvature=TWO), kept]
    train(tmp_path, *callbacks, lora=lora)
    found = read_training_dynamics(tmp_path)
    assert found["epochs"].tolist() == found["curvature_epochs"].tolist() == [1.0, 2.0]
    for epoch, model in enumerate(kept.models):
        expected = token_signals(model, rows).examples()
        np.testing.assert_allclose(found["loss"][epoch], expected["loss"], rtol=1e-5)
        np.testing.assert_allclose(found["probability"][epoch], np.exp(-expected["loss"]), rtol=1e-5)
        np.testing.assert_allclose(found["token_accuracy"][epoch], expected["correct"])
        curvature = compute_curvature(model, rows, curvature=TWO)
        for name, values in curvature.items():
            seen = found[f"curvature_{name}"][epoch]
            np.testing.assert_allclose(seen, values, rtol=1e-4, atol=1e-5 * np.abs(values).max())
    assert set(found) & {"correct", "el2n"} == set()


@pytest.mark.parametrize("lora", [False, True])
def test_training_does_not_notice(lora, tmp_path):
    watched = train(tmp_path / "a", TrainingDynamicsCallback(), CurvatureCallback(curvature=TWO), lora=lora)
    alone = train(tmp_path / "b", lora=lora)
    for name, weight in alone.model.state_dict().items():
        assert torch.equal(watched.model.state_dict()[name], weight), name


def test_by_default_the_members_are_watched_in_their_order_whatever_the_batches(tmp_path):
    train(tmp_path / "a", TrainingDynamicsCallback(batch_size=1))
    train(tmp_path / "b", TrainingDynamicsCallback(batch_size=8))
    one, all_at_once = (read_training_dynamics(tmp_path / name)["loss"] for name in "ab")
    assert one.shape == (2, len(token_rows()))
    np.testing.assert_allclose(one, all_at_once, rtol=1e-5)


def test_the_proxies_of_memorization_take_the_arrays_as_they_are(tmp_path):
    train(tmp_path, TrainingDynamicsCallback(), CurvatureCallback(curvature=TWO))
    dynamics = read_training_dynamics(tmp_path)
    found = dynamics_proxies(dynamics)
    np.testing.assert_allclose(found["mean_loss"], dynamics["loss"].mean(axis=0))
    np.testing.assert_allclose(found["unconfidence"], 1 - dynamics["probability"].mean(axis=0))
    np.testing.assert_allclose(found["final_curvature"], dynamics["curvature_squared_norm"][-1])
    assert "forgetting" not in found
    assert "mean_el2n" not in found


def test_the_stock_trainer_is_watched_too(tmp_path):
    rows = token_rows()
    args = TrainingArguments(str(tmp_path), **{**QUIET, **EPOCHS}, remove_unused_columns=False)
    trainer = Trainer(
        language_model("gpt2"), args, train_dataset=rows, data_collator=collate_batch,
        callbacks=[TrainingDynamicsCallback()],
    )  # fmt: skip
    trainer.train()
    found = read_training_dynamics(tmp_path)["loss"]
    np.testing.assert_allclose(found[-1], token_signals(trainer.model, rows).examples()["loss"], rtol=1e-5)


def test_rows_without_a_scored_token_are_refused_before_a_step(tmp_path):
    rows = token_rows()
    silent = type(rows)(
        {**{name: rows.column(name) for name in rows.column_names}, "labels": torch.full((8, 12), -100)}
    )
    with pytest.raises(InputError, match="rows have no scored token"):
        train(tmp_path, TrainingDynamicsCallback(silent))
