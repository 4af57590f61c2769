"""Training dynamics: the right numbers for every example, a training that does not notice, a store that survives."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from killed import KillAt, KilledError
from safetensors.numpy import load_file
from torchrun import on_two_processes
from transformers import Trainer, TrainerCallback, TrainingArguments

import hf_privacy
from hf_privacy.data import collate_batch, random_flip
from hf_privacy.defenses import (
    CriticalWeightRewindCallback,
    DPConfig,
    DPTrainer,
    PrivacyTrainer,
    RelaxLossConfig,
    RelaxLossTrainer,
    TrainingDynamicsCallback,
    read_training_dynamics,
)
from hf_privacy.defenses.observers.dynamics_store import FOLDER, DynamicsStore
from hf_privacy.defenses.observers.epoch_collector import EpochCollector
from hf_privacy.errors import InputError
from hf_privacy.memorization.proxies import confidence, forgetting_events, mean_el2n
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.references import plan_references, recipe_hash, reference_trainer
from hf_privacy.signals import Curvature, compute_curvature, compute_signals

SIGNALS = ("loss", "probability", "correct", "el2n")


class KeepModels(TrainerCallback):
    """A copy of the model after every epoch."""

    def __init__(self):
        self.models = []

    def on_epoch_end(self, args, state, control, *, model, **kwargs):
        self.models.append(copy.deepcopy(model))


class Watch(TrainerCallback):
    """Gradients, weights and buffers as every step finds them."""

    def __init__(self):
        self.seen = []

    def on_pre_optimizer_step(self, args, state, control, *, model, **kwargs):
        gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        self.seen.append([*gradients, *(value.detach().clone() for value in model.state_dict().values())])


class DrawingCollector(EpochCollector):
    """Draws from every generator there is while it looks."""

    stream = "drawing"

    def __init__(self):
        super().__init__(None, every_n_epochs=1, batch_size=8)

    def values_of(self, model, dataset, state):
        random.random()
        np.random.random()
        return {"drawn": torch.rand(len(dataset)).double().numpy()}


def dropout_mlp():
    return TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], dropout=0.4, num_labels=3))


@pytest.fixture
def run(make_args, data_of, tmp_path):
    """``run("folder", *callbacks, **arguments)``: trains 12 examples in batches of 2, 6 steps an epoch."""

    def train(folder, *callbacks, resume=None, dataset=None, **arguments):
        torch.manual_seed(0)
        shared = {"num_train_epochs": 3, "per_device_train_batch_size": 2, "learning_rate": 0.05, **arguments}
        args = make_args(output_dir=str(tmp_path / folder), **shared)
        trainer = PrivacyTrainer(
            model_init=dropout_mlp,
            args=args,
            train_dataset=data_of("tabular", 12) if dataset is None else dataset,
            callbacks=list(callbacks),
        )
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return train


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert set(one) == set(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


# ---- what is kept ----


def test_values_are_those_of_the_model_after_each_epoch(run, data_of, tmp_path):
    kept = KeepModels()
    run("run", kept, TrainingDynamicsCallback(batch_size=5))
    dynamics = read_training_dynamics(tmp_path / "run")
    assert dynamics["epochs"].tolist() == [1, 2, 3]
    for row, model in enumerate(kept.models):
        signals = compute_signals(model, data_of("tabular", 12))
        for name in ("loss", "probability", "correct"):
            np.testing.assert_allclose(dynamics[name][row], signals[name][0], rtol=1e-6)
    assert dynamics["correct"].dtype == np.bool_
    assert not np.array_equal(dynamics["loss"][0], dynamics["loss"][2])


def test_el2n_is_the_distance_of_the_probabilities_from_the_label(run, data_of, tmp_path):
    trainer = run("run", TrainingDynamicsCallback())
    batch = data_of("tabular", 12).__getitems__(range(12))
    with torch.no_grad():
        p = torch.softmax(trainer.model.eval()(features=batch["features"]).logits.double(), dim=1)
    expected = [
        sum((float(p[i, j]) - (1.0 if j == batch["labels"][i] else 0.0)) ** 2 for j in range(3)) ** 0.5
        for i in range(12)
    ]
    np.testing.assert_allclose(read_training_dynamics(tmp_path / "run")["el2n"][-1], expected, rtol=1e-6)


def test_another_dataset_is_looked_at_in_its_own_order(run, data_of, tmp_path):
    other = data_of("tabular", 7, seed=9)
    trainer = run("run", TrainingDynamicsCallback(other.subset([6, 0, 3])))
    loss = compute_signals(trainer.model, other)["loss"][0]
    np.testing.assert_allclose(read_training_dynamics(tmp_path / "run")["loss"][-1], loss[[6, 0, 3]], rtol=1e-6)


def test_the_training_set_is_looked_at_without_its_augmentation(make_args, data_of, model_of, tmp_path):
    data = data_of("vit", 6)
    trainer = PrivacyTrainer(
        model_of("vit"),
        make_args(num_train_epochs=1),
        train_dataset=data.with_augmentation(random_flip),
        callbacks=[TrainingDynamicsCallback()],
    )
    trainer.train()
    loss = compute_signals(trainer.model, data)["loss"][0]
    np.testing.assert_allclose(read_training_dynamics(tmp_path / "run")["loss"][0], loss, rtol=1e-6)


def test_every_second_epoch_and_the_last(run, tmp_path):
    run("run", TrainingDynamicsCallback(every_n_epochs=2), num_train_epochs=5)
    assert read_training_dynamics(tmp_path / "run")["epochs"].tolist() == [2, 4, 5]


def test_a_training_that_ends_within_an_epoch_ends_with_a_look(run, tmp_path):
    run("run", TrainingDynamicsCallback(), max_steps=8)
    np.testing.assert_allclose(read_training_dynamics(tmp_path / "run")["epochs"], [1, 1 + 2 / 6])


def test_the_proxies_of_memorization_take_the_arrays_as_they_are(run, tmp_path):
    run("run", TrainingDynamicsCallback(), num_train_epochs=4)
    dynamics = read_training_dynamics(tmp_path / "run")
    np.testing.assert_allclose(confidence(dynamics["probability"]), dynamics["probability"].mean(axis=0))
    np.testing.assert_allclose(mean_el2n(dynamics["el2n"]), dynamics["el2n"].mean(axis=0))
    lost = (dynamics["correct"][:-1] & ~dynamics["correct"][1:]).sum(axis=0)
    np.testing.assert_array_equal(forgetting_events(dynamics["correct"])[0], lost)


def test_the_cost_is_in_the_log_and_in_the_metadata(run, tmp_path):
    trainer = run("run", TrainingDynamicsCallback())
    logged = [
        (entry["epoch"], entry["dynamics_seconds"])
        for entry in trainer.state.log_history
        if "dynamics_seconds" in entry
    ]
    assert [epoch for epoch, _ in logged] == [1, 2, 3]
    assert all(seconds > 0 for _, seconds in logged)
    signals = DynamicsStore(tmp_path / "run").metadata()["streams"]["signals"]
    assert 0 < signals["seconds"] == pytest.approx(sum(entry["seconds"] for entry in signals["entries"]))


@pytest.mark.parametrize("trainer_class", [DPTrainer, RelaxLossTrainer])
def test_the_defended_loss_is_not_what_is_kept(trainer_class, make_args, data_of, tmp_path):
    config = {
        DPTrainer: (DPConfig, {"noise_multiplier": 1.0, "target_delta": 0.01}),
        RelaxLossTrainer: (RelaxLossConfig, {"alpha": 2.0}),
    }[trainer_class]
    args = make_args(config[0], num_train_epochs=2, per_device_train_batch_size=4, **config[1])
    data = data_of("tabular", 12)
    model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))
    trainer = trainer_class(model, args, train_dataset=data, callbacks=[TrainingDynamicsCallback()])
    trainer.train()
    dynamics = read_training_dynamics(tmp_path / "run")
    assert dynamics["epochs"].tolist() == [1, 2]
    np.testing.assert_allclose(dynamics["loss"][-1], compute_signals(trainer.model, data)["loss"][0], rtol=1e-6)


def test_the_stock_trainer_is_watched_too(data_of, tmp_path):
    torch.manual_seed(0)
    args = TrainingArguments(
        str(tmp_path / "stock"),
        num_train_epochs=2,
        per_device_train_batch_size=5,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    data = data_of("tabular", 12)
    trainer = Trainer(dropout_mlp(), args, collate_batch, train_dataset=data, callbacks=[TrainingDynamicsCallback()])
    trainer.train()
    dynamics = read_training_dynamics(tmp_path / "stock")
    np.testing.assert_allclose(dynamics["loss"][-1], compute_signals(trainer.model, data)["loss"][0], rtol=1e-6)
    assert dynamics["epochs"].tolist() == [1, 2]


# ---- training does not notice ----


def test_gradients_weights_and_buffers_are_those_of_a_run_without(make_args, data_of, model_of, tmp_path):
    def train(folder, *callbacks):
        watch, model = Watch(), model_of("resnet")
        args = make_args(
            output_dir=str(tmp_path / folder), num_train_epochs=2, per_device_train_batch_size=4, learning_rate=0.05
        )
        data = data_of("resnet", 12).with_augmentation(random_flip)
        trainer = PrivacyTrainer(model, args, train_dataset=data, callbacks=[watch, *callbacks])
        trainer.train()
        return watch.seen, trainer.model.state_dict(), torch.get_rng_state()

    (seen, state, random_state) = train("without")
    (watched, watched_state, watched_random_state) = train("with", TrainingDynamicsCallback())
    assert any("running_mean" in name for name in state)
    assert len(seen) == len(watched) == 6
    for step, watched_step in zip(seen, watched, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(step, watched_step, strict=True))
    assert all(torch.equal(state[name], watched_state[name]) for name in state)
    assert torch.equal(random_state, watched_random_state)


class Modes(TrainerCallback):
    """Each module's mode at the end of an epoch, a part of the model being frozen."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, args, state, control, *, model, **kwargs):
        model.classifier.eval()
        self.seen.append({name: module.training for name, module in model.named_modules()})


def test_every_module_has_its_own_mode_back_after_a_look(run):
    before, after = Modes(), Modes()
    run("run", before, TrainingDynamicsCallback(), after)
    assert before.seen == after.seen
    assert set(after.seen[0].values()) == {True, False}


def test_what_a_look_draws_leaves_every_random_state_alone(run):
    states = []
    for name, callbacks in (("without", []), ("with", [DrawingCollector()])):
        random.seed(1)
        np.random.seed(1)
        weights = [value.clone() for value in run(name, *callbacks).model.state_dict().values()]
        states.append((torch.cat([w.flatten() for w in weights]), torch.rand(3), random.random(), np.random.random()))
    (weights, drawn, python, numpy), (watched_weights, watched_drawn, watched_python, watched_numpy) = states
    assert torch.equal(weights, watched_weights)
    assert torch.equal(drawn, watched_drawn)
    assert (python, numpy) == (watched_python, watched_numpy)


# ---- killed and resumed ----

SAVES = {"save_strategy": "steps", "save_steps": 3}  # in the middle of each epoch and at its end


@pytest.mark.parametrize(
    "kill",
    [{"step": 5}, {"step": 6}, {"epoch_end": 6}, {"step": 13}, {"epoch_end": 18}],
    ids=["before the first look", "after it", "between its checkpoint and it", "later", "between the last two"],
)
def test_a_killed_run_resumes_to_the_arrays_of_one_that_was_not(kill, run, tmp_path):
    run("whole", TrainingDynamicsCallback(), **SAVES)
    with pytest.raises(KilledError):
        run("killed", KillAt(**kill), TrainingDynamicsCallback(), **SAVES)
    run("killed", TrainingDynamicsCallback(), resume=True, **SAVES)
    assert_same(read_training_dynamics(tmp_path / "killed"), read_training_dynamics(tmp_path / "whole"))


def test_epochs_after_the_checkpoint_are_overwritten_and_never_doubled(run, tmp_path):
    run("run", TrainingDynamicsCallback(), **SAVES)
    before = read_training_dynamics(tmp_path / "run")
    run("run", TrainingDynamicsCallback(), resume=str(tmp_path / "run" / "checkpoint-9"), **SAVES)
    assert_same(read_training_dynamics(tmp_path / "run"), before)
    assert len(list((tmp_path / "run" / FOLDER).glob("signals-*.safetensors"))) == 3


def test_after_the_checkpoint_nothing_of_the_other_future_stays(run, tmp_path):
    run("run", TrainingDynamicsCallback(), **SAVES)
    run("run", TrainingDynamicsCallback(), resume=str(tmp_path / "run" / "checkpoint-9"), max_steps=10, **SAVES)
    np.testing.assert_allclose(read_training_dynamics(tmp_path / "run")["epochs"], [1, 10 / 6])


def test_a_run_that_is_made_longer_has_no_look_of_its_former_end(run, tmp_path):
    run("run", TrainingDynamicsCallback(every_n_epochs=2), **SAVES)
    assert read_training_dynamics(tmp_path / "run")["epochs"].tolist() == [2, 3]
    run("run", TrainingDynamicsCallback(every_n_epochs=2), resume=True, num_train_epochs=5, **SAVES)
    assert read_training_dynamics(tmp_path / "run")["epochs"].tolist() == [2, 4, 5]


def test_a_finished_run_resumed_within_its_last_epoch_changes_nothing(run, tmp_path):
    settings = {"max_steps": 9, **SAVES}
    run("run", TrainingDynamicsCallback(), **settings)
    before = read_training_dynamics(tmp_path / "run")
    run("run", TrainingDynamicsCallback(), resume=True, **settings)
    assert_same(read_training_dynamics(tmp_path / "run"), before)


def test_a_run_started_anew_replaces_what_was_there(run, tmp_path):
    run("run", TrainingDynamicsCallback())
    run("run", TrainingDynamicsCallback(), num_train_epochs=1)
    assert read_training_dynamics(tmp_path / "run")["epochs"].tolist() == [1]


def test_epochs_that_nobody_watched_are_named_on_resuming(run, tmp_path):
    with pytest.raises(KilledError):
        run("run", KillAt(step=13), **SAVES)
    with pytest.warns(UserWarning, match=r"the signals of 1 epochs before the checkpoint \(1\) were not collected"):
        run("run", TrainingDynamicsCallback(), resume=True, **SAVES)
    assert read_training_dynamics(tmp_path / "run")["epochs"].tolist() == [2, 3]


def test_what_a_killed_writer_left_is_cleared(run, tmp_path):
    run("run", TrainingDynamicsCallback())
    left = tmp_path / "run" / FOLDER / f".metadata.json.{'0' * 32}.tmp"
    left.write_bytes(b"{")
    (tmp_path / "run" / FOLDER / "signals-00000099.safetensors").write_bytes(b"cut off")
    run("run", TrainingDynamicsCallback())
    assert not left.exists()
    assert read_training_dynamics(tmp_path / "run")["epochs"].tolist() == [1, 2, 3]


# ---- with critical weight rewinding, and in reference models ----


def test_both_phases_of_critical_weight_rewinding_are_watched_and_none_notices(run, tmp_path):
    def callbacks():
        return [CriticalWeightRewindCallback(score="random", fraction=0.2), TrainingDynamicsCallback()]

    alone = run("alone", callbacks()[0], num_train_epochs=2)
    whole = run("whole", *callbacks(), num_train_epochs=2, **SAVES)
    assert read_training_dynamics(tmp_path / "whole")["epochs"].tolist() == [1, 2, 3, 4]
    for name, value in alone.model.state_dict().items():
        assert torch.equal(value, whole.model.state_dict()[name])
    with pytest.raises(KilledError):
        run("killed", KillAt(step=20), *callbacks(), num_train_epochs=2, **SAVES)
    run("killed", *callbacks(), num_train_epochs=2, resume=True, **SAVES)
    assert_same(read_training_dynamics(tmp_path / "killed"), read_training_dynamics(tmp_path / "whole"))


def test_references_are_not_watched_and_are_those_of_a_target_that_is_not(run, data_of, tmp_path):
    watched, unwatched = run("watched", TrainingDynamicsCallback()), run("unwatched")
    plan = plan_references(np.arange(12) % 3, n_models=2)
    hashes = [recipe_hash(t, plan, dataset_fingerprint="f", pool_hash="p") for t in (watched, unwatched)]
    assert hashes[0] == hashes[1]
    before = read_training_dynamics(tmp_path / "watched")
    clone = reference_trainer(watched, data_of("tabular", 6), seed=1, output_dir=tmp_path / "reference")
    clone.train()
    assert not (tmp_path / "reference" / "private").exists()
    assert_same(read_training_dynamics(tmp_path / "watched"), before)


def test_a_copy_is_as_before_training_and_shares_the_rows(run, data_of):
    data = data_of("tabular", 12)
    callback = TrainingDynamicsCallback(data, every_n_epochs=2, batch_size=3)
    run("run", callback)
    copied = copy.deepcopy(callback)
    assert copied.dataset is data
    assert (copied.every_n_epochs, copied.batch_size, copied._recorded) == (2, 3, set())


# ---- nothing private leaves ----


def test_a_push_leaves_the_dynamics_behind(run, tmp_path):
    trainer = run("run", TrainingDynamicsCallback())
    trainer.args.allow_unaudited = True
    trainer.args.hub_model_id = "ann/model"
    plan = trainer.push_to_hub(dry_run=True, license="mit")
    assert (tmp_path / "run" / FOLDER / "metadata.json").is_file()
    assert "private/" in plan.left_out
    assert not [name for name, _ in plan.files if "private" in name or "signals" in name or "metadata" in name]


def test_a_push_of_the_stock_trainer_which_uploads_its_whole_folder_is_refused(data_of, tmp_path):
    quiet = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "max_steps": 1}
    args = TrainingArguments(str(tmp_path / "stock"), remove_unused_columns=False, **quiet)
    trainer = Trainer(
        dropout_mlp(),
        args,
        collate_batch,
        train_dataset=data_of("tabular", 12),
        callbacks=[TrainingDynamicsCallback()],
    )
    args.push_to_hub = True
    with pytest.raises(InputError, match="the stock Trainer pushes its whole folder"):
        trainer.train()
    args.push_to_hub = False
    trainer.train()
    with pytest.raises(InputError, match="the stock Trainer pushes its whole folder"):
        trainer.push_to_hub()


# ---- refusals ----


def test_a_store_of_another_dataset_is_refused_before_training(run, data_of, tmp_path):
    run("run", TrainingDynamicsCallback())
    before = read_training_dynamics(tmp_path / "run")
    with pytest.raises(
        InputError, match=r"the training dynamics of another dataset \(12 examples, sha256 .*yours: 11"
    ):
        run("run", TrainingDynamicsCallback(data_of("tabular", 11)))
    with pytest.raises(InputError, match="another dataset"):  # the same rows in another order
        run("run", TrainingDynamicsCallback(data_of("tabular", 12).subset(range(11, -1, -1))))
    assert_same(read_training_dynamics(tmp_path / "run"), before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs is 0"),
        ({"every_n_epochs": 1.5}, "every_n_epochs is 1.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"dataset": [1, 2]}, "dataset is list: pass a TensorDataset"),
    ],
    ids=lambda value: str(value),
)
def test_settings_out_of_range_are_refused_at_once(arguments, said):
    with pytest.raises(InputError, match=said):
        TrainingDynamicsCallback(**arguments)


def test_data_that_cannot_be_looked_at_are_refused_before_a_step(run, data_of, make_args):
    data = data_of("tabular", 12)
    unlabelled = type(data)({"features": data.column("features")})
    with pytest.raises(InputError, match=r"dataset has the columns \['features'\]: pass one with labels"):
        run("run", TrainingDynamicsCallback(unlabelled))
    with pytest.raises(InputError, match="dataset is empty"):
        TrainingDynamicsCallback(data.subset([]))
    args = make_args(max_steps=1)
    listed = PrivacyTrainer(
        dropout_mlp(), args, train_dataset=[data[0], data[1]], callbacks=[TrainingDynamicsCallback()]
    )
    with pytest.raises(InputError, match="the training set is list: pass dataset="):
        listed.train()
    assert listed.state.global_step == 0


def test_a_diverged_model_is_named_and_nothing_is_written(run, data_of, tmp_path):
    data = data_of("tabular", 12)
    broken = type(data)({"features": torch.full((12, 4), torch.nan), "labels": data.column("labels")})
    with pytest.raises(InputError, match="logits has NaN"):
        run("run", TrainingDynamicsCallback(broken))
    assert not DynamicsStore(tmp_path / "run").exists


def test_a_folder_without_dynamics_and_a_damaged_one_are_named(run, tmp_path):
    with pytest.raises(InputError, match="there are no training dynamics"):
        read_training_dynamics(tmp_path)
    run("run", TrainingDynamicsCallback())
    file, other = sorted((tmp_path / "run" / FOLDER).glob("signals-*.safetensors"))[:2]
    content = file.read_bytes()
    for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), other.read_bytes()):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="is missing or damaged"):
            read_training_dynamics(tmp_path / "run")


def test_the_package_names_it():
    assert hf_privacy.TrainingDynamicsCallback is TrainingDynamicsCallback


# ---- several processes ----


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder two processes wrote."""
    folder = tmp_path_factory.mktemp("two_processes_dynamics")
    on_two_processes(Path(__file__).with_name("two_processes_dynamics.py"), folder)
    return folder


def test_two_processes_look_at_each_example_once_and_one_writes(two_processes, data_of):
    dynamics = read_training_dynamics(two_processes / "run")
    assert dynamics["epochs"].tolist() == [1, 2]
    drawn = [json.loads((two_processes / f"looked-at-{rank}.json").read_text()) for rank in (0, 1)]
    assert sorted(row for rank in drawn for batch in rank for row in batch) == list(range(13))
    assert all(rank for rank in drawn)
    weights = load_file(two_processes / "end.safetensors")
    model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    loss = compute_signals(model, data_of("tabular", 13))["loss"][0]
    np.testing.assert_allclose(dynamics["loss"][-1], loss, rtol=1e-6)
    curvature = compute_curvature(model, data_of("tabular", 13), curvature=Curvature(n_vectors=2))
    np.testing.assert_allclose(dynamics["curvature_norm"][-1], curvature["norm"], rtol=1e-4, atol=1e-9)


def test_two_processes_train_as_they_do_unwatched(two_processes):
    watched, unwatched = (load_file(two_processes / f"{name}.safetensors") for name in ("end", "unwatched"))
    for name, values in watched.items():
        np.testing.assert_array_equal(values, unwatched[name])


def test_a_refusal_is_raised_in_both_processes(two_processes):
    for rank in (0, 1):
        assert "another dataset" in (two_processes / f"refused-{rank}.txt").read_text()
