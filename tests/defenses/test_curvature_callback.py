"""Input curvature over a training: that of each epoch's model, beside the dynamics, unnoticed by training."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from killed import KillAt, KilledError
from transformers import TrainerCallback

import hf_privacy
from hf_privacy.defenses import CurvatureCallback, PrivacyTrainer, TrainingDynamicsCallback, read_training_dynamics
from hf_privacy.defenses.observers.dynamics_store import DynamicsStore
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.signals import Curvature, compute_curvature, compute_signals

THREE = Curvature(n_vectors=3, seed=4)


class KeepModels(TrainerCallback):
    def __init__(self):
        self.models = []

    def on_epoch_end(self, args, state, control, *, model, **kwargs):
        self.models.append(copy.deepcopy(model))


class Watch(TrainerCallback):
    """Gradients, weights and buffers as every step finds them, and whether an epoch leaves gradients behind."""

    def __init__(self):
        self.seen = []

    def on_pre_optimizer_step(self, args, state, control, *, model, **kwargs):
        gradients = [parameter.grad.clone() for parameter in model.parameters()]
        self.seen.append([*gradients, *(value.detach().clone() for value in model.state_dict().values())])

    def on_epoch_begin(self, args, state, control, *, model, **kwargs):
        self.seen.append([torch.tensor([parameter.grad is None for parameter in model.parameters()])])
        self.seen[-1].append(torch.tensor([parameter.requires_grad for parameter in model.parameters()]))


def smooth_mlp():
    config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3, activation="tanh", dropout=0.4)
    return TabularMLPForClassification(config)


@pytest.fixture
def run(make_args, data_of, tmp_path):
    """``run("folder", *callbacks, **arguments)``: trains 12 examples in batches of 2, 6 steps an epoch."""

    def train(folder, *callbacks, resume=None, **arguments):
        shared = {"num_train_epochs": 2, "per_device_train_batch_size": 2, "learning_rate": 0.05, **arguments}
        trainer = PrivacyTrainer(
            model_init=smooth_mlp,
            args=make_args(output_dir=str(tmp_path / folder), **shared),
            train_dataset=data_of("tabular", 12),
            callbacks=list(callbacks),
        )
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return train


def test_values_are_the_curvature_of_the_model_after_each_epoch(run, data_of, tmp_path):
    kept, data = KeepModels(), data_of("tabular", 9, seed=7)
    run("run", kept, CurvatureCallback(data, curvature=THREE, batch_size=4))
    found = read_training_dynamics(tmp_path / "run")
    assert found["curvature_epochs"].tolist() == [1, 2]
    for row, model in enumerate(kept.models):
        for name, values in compute_curvature(model, data, curvature=THREE, batch_size=9).items():
            np.testing.assert_allclose(found[f"curvature_{name}"][row], values, rtol=1e-4, atol=1e-9)
    assert not np.array_equal(found["curvature_norm"][0], found["curvature_norm"][1])


def test_dynamics_and_curvature_stand_in_one_store_each_with_its_own_epochs(run, data_of, tmp_path):
    data = data_of("tabular", 5)
    callbacks = [TrainingDynamicsCallback(data), CurvatureCallback(data, curvature=THREE, every_n_epochs=2)]
    trainer = run("run", *callbacks, num_train_epochs=3)
    found = read_training_dynamics(tmp_path / "run")
    assert (found["epochs"].tolist(), found["curvature_epochs"].tolist()) == ([1, 2, 3], [2, 3])
    assert (found["loss"].shape, found["curvature_trace"].shape) == ((3, 5), (2, 5))
    np.testing.assert_allclose(found["loss"][-1], compute_signals(trainer.model, data)["loss"][0], rtol=1e-6)
    assert len([entry for entry in trainer.state.log_history if "curvature_seconds" in entry]) == 2
    assert DynamicsStore(tmp_path / "run").metadata()["streams"]["curvature"]["settings"]["n_vectors"] == 3


def test_the_two_callbacks_are_of_one_dataset(run, data_of):
    with pytest.raises(InputError, match="pass every callback the same dataset"):
        run("run", TrainingDynamicsCallback(), CurvatureCallback(data_of("tabular", 5), curvature=THREE))


def test_the_zero_order_estimate_is_kept_under_its_name(run, tmp_path):
    run("run", CurvatureCallback(curvature=Curvature(method="zero_order", n_vectors=2, h=1e-2)))
    names = {"curvature_zero_order", "curvature_squared_norm", "curvature_epochs"}
    assert set(read_training_dynamics(tmp_path / "run")) == names


def test_gradients_weights_and_buffers_are_those_of_a_run_without(make_args, data_of, model_of, tmp_path):
    def train(folder, *callbacks):
        watch, model = Watch(), model_of("resnet")
        args = make_args(
            output_dir=str(tmp_path / folder), num_train_epochs=2, per_device_train_batch_size=6, learning_rate=0.05
        )
        trainer = PrivacyTrainer(model, args, train_dataset=data_of("resnet", 12), callbacks=[watch, *callbacks])
        trainer.train()
        assert all(parameter.requires_grad for parameter in model.parameters())
        return [*watch.seen, list(model.state_dict().values()), [torch.get_rng_state()]]

    without, watched = train("without"), train("with", CurvatureCallback(curvature=THREE))
    assert len(without) == len(watched) == 8
    for step, watched_step in zip(without, watched, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(step, watched_step, strict=True))


def test_a_killed_run_resumes_to_the_arrays_of_one_that_was_not(run, tmp_path):
    saves = {"save_strategy": "steps", "save_steps": 4}
    run("whole", CurvatureCallback(curvature=THREE), **saves)
    with pytest.raises(KilledError):
        run("killed", KillAt(7), CurvatureCallback(curvature=THREE), **saves)
    run("killed", CurvatureCallback(curvature=THREE), resume=True, **saves)
    whole, killed = read_training_dynamics(tmp_path / "whole"), read_training_dynamics(tmp_path / "killed")
    for name, values in whole.items():
        np.testing.assert_array_equal(killed[name], values)


def test_a_run_is_not_resumed_with_another_estimator(run):
    saves = {"save_strategy": "epoch"}
    with pytest.raises(KilledError):
        run("run", KillAt(7), CurvatureCallback(curvature=THREE), **saves)
    with pytest.raises(InputError, match=r"collected with other settings \(n_vectors\): resume with theirs"):
        run("run", CurvatureCallback(curvature=Curvature(n_vectors=2, seed=4)), resume=True, **saves)


def test_text_is_looked_at_through_its_embeddings(make_args, data_of, model_of, tmp_path):
    trainer = PrivacyTrainer(
        model_of("bert"),
        make_args(num_train_epochs=1),
        train_dataset=data_of("bert", 6),
        callbacks=[CurvatureCallback(curvature=Curvature(n_vectors=1))],
    )
    trainer.train()
    found = read_training_dynamics(tmp_path / "run")["curvature_squared_norm"]
    assert found.shape == (1, 6)
    assert np.isfinite(found).all()


def test_bad_settings_are_refused_at_once():
    with pytest.raises(InputError, match="curvature is 10: pass"):
        CurvatureCallback(curvature=10)
    with pytest.raises(InputError, match="every_n_epochs is 0"):
        CurvatureCallback(every_n_epochs=0)


def test_a_copy_is_as_before_training_and_shares_the_rows(data_of):
    data = data_of("tabular", 4)
    copied = copy.deepcopy(CurvatureCallback(data, curvature=THREE, every_n_epochs=3, batch_size=2))
    assert copied.dataset is data
    assert (copied.curvature, copied.every_n_epochs, copied.batch_size) == (THREE, 3, 2)


def test_the_package_names_it():
    assert hf_privacy.CurvatureCallback is CurvatureCallback
