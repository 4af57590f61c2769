"""References by the lean loop are those of the Trainer's own, also where one goes on with what the other began."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import Mock

import killed_reference
import numpy as np
import pytest
import torch
from killed_reference import CountSteps, make_run
from small_training import RESNET
from transformers import TrainerCallback

from hf_privacy import said_once
from hf_privacy.data import TensorDataset, collate_batch, random_flip
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer, trainer_class
from hf_privacy.defenses.base import cpu_linear, lean_loop
from hf_privacy.defenses.base.lean_loop import why_not_lean
from hf_privacy.defenses.base.static_steps import WARM_UP, StaticSteps, by_hand, why_not_recordable
from hf_privacy.defenses.base.weight_motion import WeightMotionError
from hf_privacy.defenses.critical_weights.callback import CriticalWeightRewindCallback
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification, load_model
from hf_privacy.references import reference_trainer, training

# Signals in float32 from float32 weights; log odds of a few units.
TOLERANCE = 1e-4


def mlp_with_dropout():
    return TabularMLPForClassification(TabularMLPConfig(input_size=6, hidden_sizes=[8], num_labels=3, dropout=0.2))


@pytest.fixture
def by_the_trainers_own(monkeypatch):
    """Give a function that makes references be trained by the Trainer's own loop from here on."""

    def switch() -> None:
        monkeypatch.setattr(training, "why_not_lean", lambda trainer: "a test says so")
        monkeypatch.setattr(said_once, "_SAID", set())

    return switch


def signals_of(run) -> dict[str, np.ndarray]:
    return {name: run.store.read(name) for name in run.store.signals}


def assert_alike(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=TOLERANCE)


# ---- the same references ----


def test_signals_are_those_of_the_trainers_own_loop_which_is_named_once(tmp_path, by_the_trainers_own):
    lean = make_run(tmp_path / "lean")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lean.train()
    by_the_trainers_own()
    stock = make_run(tmp_path / "stock")
    with pytest.warns(UserWarning, match="the Trainer's own loop, which is slower, since a test says so") as said:
        stock.train()
    assert len([warning for warning in said if "which is slower" in str(warning.message)]) == 1
    assert_alike(signals_of(lean), signals_of(stock))
    assert np.ptp(lean.store.read("phi")) > 0.1


def test_a_store_that_the_trainer_began_is_gone_on_with(tmp_path, monkeypatch, by_the_trainers_own):
    whole = make_run(tmp_path / "whole")
    whole.train()
    began = make_run(tmp_path / "began")
    with monkeypatch.context(), began.store.claim(1), began.store.claim(2):
        by_the_trainers_own()
        began.train_missing()
    monkeypatch.undo()
    assert began.store.completed() == [0]
    again = make_run(tmp_path / "began")
    again.train()
    assert_alike(signals_of(again), signals_of(whole))


def test_linear_layers_go_by_onednn_where_that_is_faster_and_give_the_same_signals(tmp_path, monkeypatch):
    runs, products = {}, {}
    for faster in (True, False):
        monkeypatch.setattr(cpu_linear, "onednn_is_faster", lambda faster=faster: faster)
        counted = Mock(side_effect=cpu_linear._product)
        with monkeypatch.context() as patched:
            patched.setattr(cpu_linear, "_product", counted)
            runs[faster] = make_run(tmp_path / str(faster))
            runs[faster].train()
        products[faster] = counted.call_count
    assert products[True] > 0 == products[False]
    assert_alike(signals_of(runs[True]), signals_of(runs[False]))


# ---- kills ----


def test_a_kill_loses_nothing_and_nothing_is_trained_twice(tmp_path):
    script = Path(killed_reference.__file__)
    killed = subprocess.run([sys.executable, str(script), str(tmp_path / "killed")], timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL
    run = make_run(tmp_path / "killed")
    assert run.store.completed() == [0]
    first = (run.store.folder / run.store.file_name(0)).stat()
    CountSteps.begun = CountSteps.steps = 0
    run.train()
    assert (CountSteps.begun, CountSteps.steps) == (2, 12 - 6 + 12)  # from the second epoch's end, and the third model
    after = (run.store.folder / run.store.file_name(0)).stat()
    assert (after.st_ino, after.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert not list(run.store.folder.glob("models/*"))
    straight = make_run(tmp_path / "straight")
    straight.train()
    for name, values in signals_of(straight).items():
        assert np.array_equal(run.store.read(name), values)


@pytest.mark.parametrize("begun_by", ["train", "train_lean"])
def test_either_loop_goes_on_from_the_others_checkpoint(begun_by, make_trainer, dataset, tmp_path):
    arguments = {"num_train_epochs": 4, "optim": "adamw_torch", "lr_scheduler_type": "linear"}

    def clone(name: str, **more):
        target = make_trainer(model_init=mlp_with_dropout, **arguments, **more)
        return reference_trainer(target, dataset, seed=5, output_dir=tmp_path / name)

    straight = clone("straight")
    straight.train()
    first = clone("killed", save_strategy="steps", save_steps=13)  # within the second epoch of eight steps
    first.add_callback(_Stop(14))
    getattr(first, begun_by)()
    second = clone("killed", save_strategy="steps", save_steps=13)
    checkpoint = str(tmp_path / "killed" / "checkpoint-13")
    getattr(second, {"train": "train_lean", "train_lean": "train"}[begun_by])(resume_from_checkpoint=checkpoint)
    assert second.state.global_step == 32
    for one, other in zip(second.model.parameters(), straight.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


class _Stop(TrainerCallback):
    """Stands for a kill after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


# ---- what a recipe may have ----


def both_ways(make_trainer, rows, tmp_path, **options):
    """Weights of a reference by either loop, and the trainers."""
    weights, clones = [], []
    for how in ("train", "train_lean"):
        target = make_trainer(**{"model_init": mlp_with_dropout, **options})
        clone = reference_trainer(target, rows, seed=3, output_dir=tmp_path / how)
        getattr(clone, how)()
        weights.append(torch.cat([parameter.detach().flatten() for parameter in clone.model.parameters()]))
        clones.append(clone)
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=1e-6)
    return clones


def jitter(values: torch.Tensor) -> torch.Tensor:
    return values + torch.randn(values.shape)


class Squared(PrivacyTrainer):
    """A user's trainer with a step of its own."""

    calls = 0

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        type(self).calls += 1
        loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        return loss.square()


class HalvesGradients(TrainerCallback):
    """A user's callback with a hand in every step."""

    def on_pre_optimizer_step(self, args, state, control, *, model, **kwargs):
        for parameter in model.parameters():
            parameter.grad *= 0.5


class LeavesEvaluating(TrainerCallback):
    """A user's callback that has looked at the model, which is to train on."""

    def on_step_end(self, args, state, control, *, model, **kwargs):
        model.eval()


@pytest.mark.parametrize(
    "options",
    [
        {"callbacks": [HalvesGradients()], "max_grad_norm": 0.1},
        {"callbacks": [LeavesEvaluating()]},
        {"trainer_class": Squared, "gradient_accumulation_steps": 3},
        {"bf16": True, "max_grad_norm": 0.0},
        {"max_steps": 9, "dataloader_drop_last": True, "lr_scheduler_type": "cosine", "warmup_steps": 3},
    ],
    ids=["callback of a user", "callback that evaluates", "own loss", "bf16", "cosine"],
)
def test_whatever_else_a_recipe_has_the_weights_are_the_trainers(options, make_trainer, dataset, tmp_path):
    Squared.calls = 0
    stock, lean = both_ways(make_trainer, dataset, tmp_path, **options)
    assert lean.state.global_step == stock.state.global_step
    assert lean.state.epoch == stock.state.epoch
    if options.get("trainer_class") is Squared:
        assert Squared.calls == 2 * 2 * 8


def small_resnet():
    kwargs = RESNET["kwargs"]
    return load_model(
        "resnet", task="image-classification", num_labels=3, from_scratch=True, model_kwargs=kwargs, seed=0
    )


def test_images_are_augmented_alike(make_trainer, tmp_path):
    pixels = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images = TensorDataset({"pixel_values": pixels, "labels": torch.arange(24) % 3}).with_augmentation(random_flip)
    both_ways(make_trainer, images, tmp_path, model_init=small_resnet, train_dataset=images)


def test_rows_that_draw_as_they_are_fetched_draw_alike(make_trainer, dataset, tmp_path):
    rows = _Rows({name: dataset.column(name) for name in dataset.column_names})
    both_ways(make_trainer, rows, tmp_path)


class _Rows(TensorDataset):
    """What fetches its rows in a way of its own, and draws at it."""

    def __getitems__(self, indices):
        batch = super().__getitems__(indices)
        return {**batch, "features": jitter(batch["features"])}


def test_a_rewind_and_its_second_phase_are_the_trainers(make_trainer, dataset, tmp_path):
    def rewinds():
        return [CriticalWeightRewindCallback(reference_dataset=dataset.subset(range(60, 80)), fraction=0.2)]

    stock, lean = both_ways(make_trainer, dataset.subset(range(60)), tmp_path, callbacks=rewinds())
    assert lean.state.global_step == stock.state.global_step == 2 * 12
    found = [next(c for c in clone.callback_handler.callbacks if hasattr(c, "rewound_")) for clone in (stock, lean)]
    assert found[0].rewound_ == found[1].rewound_ is not None


def test_a_private_reference_keeps_its_ledger_and_a_secret_of_its_own(tmp_path):
    pytest.importorskip("opacus")
    kind = trainer_class("dp")
    data = TensorDataset({"features": torch.randn(24, 6), "labels": torch.arange(24) % 3})
    weights, trainers = [], []
    for name in ("one", "other"):
        args = kind.config_class(
            str(tmp_path / name),
            noise_multiplier=1.0,
            accountant="rdp",
            num_train_epochs=2,
            per_device_train_batch_size=6,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = kind(args=args, model_init=mlp_with_dropout, train_dataset=data)
        planned = trainer.privacy_spent()["epsilon"]
        trainer.train_lean()
        assert trainer.ledger.n_steps == trainer.state.global_step == 8
        assert trainer.privacy_spent()["epsilon"] == pytest.approx(planned)
        weights.append(trainer.model.classifier.weight.detach())
        trainers.append(trainer)
    assert not torch.equal(*weights)  # one seed, two secrets


def test_a_training_that_moves_nothing_is_stopped(make_trainer, dataset, tmp_path):
    target = make_trainer(optim="sgd", learning_rate=0.0, lr_scheduler_type="constant")
    clone = reference_trainer(target, dataset, seed=3, output_dir=tmp_path)
    with pytest.raises(WeightMotionError, match="learning rate was 0 at every step"):
        clone.train_lean()


def test_weights_that_are_no_numbers_are_left_to_be_seen(make_trainer, dataset, tmp_path):
    target = make_trainer(optim="sgd", learning_rate=1e30)
    clone = reference_trainer(target, dataset, seed=3, output_dir=tmp_path)
    clone.train_lean()
    assert not torch.isfinite(clone.model.classifier.weight).all()
    assert clone.state.global_step == 16


# ---- steps that are recorded once ----


@pytest.mark.parametrize(
    "arguments",
    [
        {"optim": "sgd", "lr_scheduler_type": "cosine", "max_grad_norm": 0.1},
        {"optim": "adamw_torch", "lr_scheduler_type": "linear", "weight_decay": 0.1},
    ],
    ids=["sgd", "adamw"],
)
@pytest.mark.parametrize("defense", ["none", "relax_loss"])
def test_steps_on_buffers_that_stay_where_they_are_give_the_same_weights(
    defense, arguments, dataset, tmp_path, monkeypatch
):
    kind = trainer_class(defense)

    def trained(how):
        args = kind.config_class(
            str(tmp_path),
            num_train_epochs=6,
            per_device_train_batch_size=30,  # the last batch of 80 has 20
            learning_rate=0.05,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            **arguments,
        )
        trainer = kind(args=args, model_init=mlp_with_dropout, train_dataset=dataset)
        how(trainer)
        return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])

    expected = trained(lambda trainer: trainer.train())
    # Where there is no graph, a step is recorded as itself: buffers, kinds and phases are those of a GPU.
    made = []

    def kept(*given, **more):
        made.append(StaticSteps(*given, **more))
        return made[-1]

    monkeypatch.setattr(lean_loop, "why_not_recordable", lambda *given: None)
    monkeypatch.setattr(lean_loop, "make_recordable", lambda *given: None)
    monkeypatch.setattr(lean_loop, "as_graph", by_hand)
    monkeypatch.setattr(
        lean_loop, "StaticSteps", lambda *given, **more: made.append(StaticSteps(*given, **more)) or made[-1]
    )
    torch.testing.assert_close(trained(lambda trainer: trainer.train_lean()), expected, rtol=0, atol=1e-6)
    # Two shapes, in RelaxLoss in two phases each: three of each are taken one by one.
    assert made[0].n_repeated == 18 - 2 * WARM_UP * (2 if defense == "relax_loss" else 1)


def test_a_step_that_cannot_be_recorded_is_taken_one_by_one():
    def refuse(step, batch):
        raise RuntimeError("operation not permitted when stream is capturing")

    taken = []
    steps = StaticSteps(lambda batch: taken.append(batch) or torch.zeros(()), record=refuse)
    for _ in range(6):
        steps({"x": torch.ones(2)})
    assert (len(taken), steps.n_repeated) == (6, 0)


def test_what_a_gpu_may_not_repeat_is_said(make_trainer):
    why = {
        "there is no GPU": {},
        "gradients are accumulated": {"gradient_accumulation_steps": 2},
        "checkpoints are written": {"save_strategy": "epoch"},
        "does not say what its loss": {"trainer_class": Unsaid},
    }
    for reason, options in why.items():
        trainer = make_trainer(**options)
        if options:
            trainer.args = _OnAGPU(trainer.args)
        assert reason in why_not_recordable(trainer, torch.optim.SGD(trainer.model.parameters()))
    trainer = make_trainer()
    trainer.args = _OnAGPU(trainer.args)
    assert why_not_recordable(trainer, torch.optim.SGD(trainer.model.parameters())) is None


class Unsaid(PrivacyTrainer):
    """A user's loss."""

    def training_loss(self, model, inputs):
        loss, outputs = super().training_loss(model, inputs)
        return 2 * loss, outputs


class _OnAGPU:
    """Arguments of a trainer, on another device."""

    device = torch.device("cuda")

    def __init__(self, args) -> None:
        self._args = args

    def __getattr__(self, name):
        return getattr(self._args, name)


# ---- what it does not know ----


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"auto_find_batch_size": True}, "auto_find_batch_size is set"),
        ({"torch_compile": True}, "torch_compile is set"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch"}, "is 'reduce_lr_on_plateau'"),
        ({"optim": "adafactor"}, "optim is 'adafactor'"),
        ({"torch_empty_cache_steps": 4}, "torch_empty_cache_steps is set"),
        ({"include_num_input_tokens_seen": "all"}, "include_num_input_tokens_seen is set"),
        ({}, None),
    ],
    ids=str,
)
def test_what_the_loop_does_not_know_is_said(arguments, reason, dataset, tmp_path):
    args = PrivacyConfig(str(tmp_path), report_to="none", save_strategy="no", use_cpu=True, **arguments)
    trainer = PrivacyTrainer(mlp_with_dropout(), args, collate_batch, dataset, eval_dataset=dataset.subset(range(4)))
    if reason is None:
        assert why_not_lean(trainer) is None
        return
    assert reason in why_not_lean(trainer)
    with pytest.raises(InputError, match=r"lean loop cannot train this, since .*: call train"):
        trainer.train_lean()


def test_an_optimizer_from_elsewhere_is_left_to_the_trainer(make_trainer, dataset):
    class Mine(torch.optim.SGD):
        """A user's."""

    trainer = make_trainer()
    trainer.optimizer_cls_and_kwargs = (Mine, {"lr": 0.1})
    assert why_not_lean(trainer) == "the optimizer is none of torch's"
    trainer.optimizer_cls_and_kwargs = (torch.optim.SGD, {"lr": 0.1})
    assert why_not_lean(trainer) is None
