"""Each baseline's loss against its formula, written out, and what it does to a model that learnt by heart."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals import compute_signals
from hf_privacy.unlearning import (
    BadTeacherConfig,
    BadTeacherTrainer,
    FineTuneConfig,
    FineTuneTrainer,
    GradientAscentConfig,
    GradientAscentTrainer,
    L1SparseConfig,
    L1SparseTrainer,
    NegGradPlusConfig,
    NegGradPlusTrainer,
    RandomLabelsConfig,
    RandomLabelsTrainer,
    SCRUBConfig,
    SCRUBTrainer,
)
from hf_privacy.unlearning.base.distillation import distillation_loss
from hf_privacy.unlearning.random_labels.trainer import with_wrong_labels

_FAST = {"learning_rate": 0.3, "num_train_epochs": 30}
# Settings under which each forgets the 25 digits of the fixture, or at least moves.
METHODS = {
    "bad_teacher": (BadTeacherTrainer, BadTeacherConfig, _FAST),
    "fine_tune": (FineTuneTrainer, FineTuneConfig, {"learning_rate": 0.3, "num_train_epochs": 5}),
    "gradient_ascent": (GradientAscentTrainer, GradientAscentConfig, {"learning_rate": 0.06, "num_train_epochs": 40}),
    "l1_sparse": (L1SparseTrainer, L1SparseConfig, {"learning_rate": 0.1, "num_train_epochs": 20, "gamma": 2e-3}),
    "neg_grad_plus": (
        NegGradPlusTrainer,
        NegGradPlusConfig,
        {"learning_rate": 0.3, "num_train_epochs": 30, "beta": 0.7},
    ),
    "random_labels": (RandomLabelsTrainer, RandomLabelsConfig, {"learning_rate": 0.2, "num_train_epochs": 20}),
    "scrub": (SCRUBTrainer, SCRUBConfig, {"learning_rate": 0.3, "num_train_epochs": 40}),
}
FORGETTERS = [name for name in METHODS if name not in ("fine_tune", "l1_sparse")]


def build(name, trained, sets, make_args, **arguments):
    trainer_class, config_class, settings = METHODS[name]
    return trainer_class(copy.deepcopy(trained), make_args(config_class, **{**settings, **arguments}), **sets)


def log_softmax(logits: torch.Tensor) -> np.ndarray:
    values = logits.detach().double().numpy()
    values = values - values.max(axis=1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


def cross_entropy(logits, labels) -> float:
    return float(-log_softmax(logits)[np.arange(len(labels)), labels.numpy()].mean())


def divergence(teacher, student) -> float:
    log_t, log_s = log_softmax(teacher), log_softmax(student)
    return float((np.exp(log_t) * (log_t - log_s)).sum(axis=1).mean())


@pytest.fixture
def batches(digits) -> tuple[dict, dict]:
    return digits.__getitems__(range(10)), digits.__getitems__(range(100, 120))


def logits_on(model, batch) -> torch.Tensor:
    return model(features=batch["features"]).logits


def loss_of(trainer, batches) -> float:
    return float(trainer.unlearning_loss(trainer.model, *batches))


def test_fine_tune_is_the_cross_entropy_on_what_is_kept(trained, sets, make_args, batches):
    trainer = build("fine_tune", trained, sets, make_args)
    expected = cross_entropy(logits_on(trained, batches[1]), batches[1]["labels"])
    assert loss_of(trainer, (None, batches[1])) == pytest.approx(expected, rel=1e-4)


def test_gradient_ascent_is_minus_the_cross_entropy_on_what_is_forgotten(trained, sets, make_args, batches):
    trainer = build("gradient_ascent", trained, sets, make_args)
    expected = -cross_entropy(logits_on(trained, batches[0]), batches[0]["labels"])
    assert loss_of(trainer, (batches[0], None)) == pytest.approx(expected, rel=1e-4)


def test_neg_grad_plus_is_the_weighted_difference(trained, sets, make_args, batches):
    trainer = build("neg_grad_plus", trained, sets, make_args, beta=0.8)
    forgotten, kept = (cross_entropy(logits_on(trained, batch), batch["labels"]) for batch in batches)
    assert loss_of(trainer, batches) == pytest.approx(0.8 * kept - 0.2 * forgotten, rel=1e-4)


def test_l1_sparse_adds_a_penalty_that_falls_to_nothing(trained, sets, make_args, batches):
    trainer = build("l1_sparse", trained, sets, make_args, gamma=0.01)
    plain = cross_entropy(logits_on(trained, batches[1]), batches[1]["labels"])
    norm = float(sum(parameter.abs().sum() for parameter in trained.parameters()))
    trainer.state.max_steps = 10
    for step, share in ((0, 1.0), (5, 0.5), (10, 0.0)):
        trainer.state.global_step = step
        assert loss_of(trainer, (None, batches[1])) == pytest.approx(plain + 0.01 * share * norm, rel=1e-4)


def test_wrong_labels_are_never_right_and_reach_every_other_class():
    labels = torch.arange(10).repeat(200)
    wrong = with_wrong_labels(TensorDataset({"labels": labels}), torch.arange(10), seed=0).column("labels")
    assert not (wrong == labels).any()
    counts = np.bincount((wrong - labels).numpy() % 10, minlength=10)
    assert counts[0] == 0
    assert counts[1:].min() > 150  # 222 of each expected


def test_wrong_labels_are_of_classes_that_have_rows():
    labels = torch.tensor([2, 5, 9]).repeat(100)
    wrong = with_wrong_labels(TensorDataset({"labels": labels}), torch.tensor([2, 5, 9]), seed=1).column("labels")
    assert not (wrong == labels).any()
    assert set(wrong.tolist()) == {2, 5, 9}


def test_random_labels_trains_on_the_wrong_labels(trained, sets, make_args, batches):
    trainer = build("random_labels", trained, sets, make_args)
    trainer.prepare()
    wrong = trainer.train_dataset.__getitems__(next(iter(trainer.get_train_dataloader().batch_sampler)))["forget"]
    forgotten, kept = (cross_entropy(logits_on(trained, batch), batch["labels"]) for batch in (wrong, batches[1]))
    assert loss_of(trainer, (wrong, batches[1])) == pytest.approx(forgotten + kept, rel=1e-4)
    assert forgotten > 3  # the model is sure of the true ones


def test_scrub_alternates_and_then_mends(trained, sets, make_args):
    trainer = build("scrub", trained, sets, make_args, forget_share=0.5)
    trainer.state.max_steps = 8
    steps = []
    for trainer.state.global_step in range(8):
        steps.append(trainer.is_max_step)
    assert steps == [True, False, True, False, False, False, False, False]


def test_scrubs_two_losses(trained, sets, make_args, batches):
    trainer = build("scrub", trained, sets, make_args, alpha=0.3, gamma=0.9, temperature=1.0)
    trainer.prepare()
    with torch.no_grad():
        trainer.model.classifier.weight.mul_(0.5)
    trainer.state.max_steps = 10
    student, teacher = trainer.model, trained
    trainer.state.global_step = 0
    expected = -divergence(logits_on(teacher, batches[0]), logits_on(student, batches[0]))
    assert loss_of(trainer, batches) == pytest.approx(expected, rel=1e-4)
    trainer.state.global_step = 1
    kept = logits_on(student, batches[1])
    expected = 0.3 * divergence(logits_on(teacher, batches[1]), kept) + 0.9 * cross_entropy(kept, batches[1]["labels"])
    assert loss_of(trainer, batches) == pytest.approx(expected, rel=1e-4)


def test_bad_teacher_is_the_sum_of_two_divergences(trained, sets, make_args, batches):
    trainer = build("bad_teacher", trained, sets, make_args)
    trainer.prepare()
    forgotten = divergence(logits_on(trainer.incompetent, batches[0]), logits_on(trained, batches[0]))
    assert forgotten > 0.5
    # the student still is the original, which is the competent teacher
    assert loss_of(trainer, batches) == pytest.approx(forgotten, rel=1e-4)


def test_the_incompetent_teacher_knows_nothing_and_the_competent_one_all(trained, sets, make_args):
    trainer = build("bad_teacher", trained, sets, make_args)
    trainer.prepare()
    correct = [
        compute_signals(teacher, sets["retain_dataset"])["correct"].mean()
        for teacher in (trainer.incompetent, trainer.competent)
    ]
    assert correct[0] < 0.4
    assert correct[1] > 0.95


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_distillation_keeps_its_gradient_through_the_temperature(temperature):
    student = torch.zeros(1, 3, requires_grad=True)
    teacher = torch.tensor([[0.02, -0.01, -0.01]])
    distillation_loss(student, teacher, temperature=temperature).backward()
    # to first order T²·(softmax(s/T) − softmax(t/T))/T = (s − t)/C, whatever T
    torch.testing.assert_close(student.grad, -teacher / 3, rtol=0.05, atol=1e-5)


@pytest.mark.parametrize("name", FORGETTERS)
def test_what_is_to_be_forgotten_is_lost_and_the_rest_is_lost_less(originals, sets, make_args, name):
    """The median of five originals: how fast a loss rises hangs on where training ended, to the last bit."""
    lost, beyond_the_rest = [], []
    for original in originals:
        trainer = build(name, original, sets, make_args, stop_rule="heldout_loss")
        trainer.unlearn()
        forget, retain = (
            float(compute_signals(trainer.model, sets[f"{part}_dataset"])["loss"].mean())
            for part in ("forget", "retain")
        )
        lost.append(forget - float(compute_signals(original, sets["forget_dataset"])["loss"].mean()))
        beyond_the_rest.append(forget - retain)
    assert np.median(lost) > 0.3
    assert np.median(beyond_the_rest) > 0


@pytest.mark.parametrize(
    ("config_class", "arguments", "message"),
    [
        (NegGradPlusConfig, {"beta": 1.2}, r"beta is 1.2: pass a number in \[0, 1\]"),
        (L1SparseConfig, {"gamma": -1e-4}, "gamma is -0.0001"),
        (SCRUBConfig, {"temperature": 0.0}, "temperature is 0.0"),
        (SCRUBConfig, {"forget_share": 2.0}, "forget_share is 2.0"),
        (BadTeacherConfig, {"temperature": -1.0}, "temperature is -1.0"),
        (FineTuneConfig, {"anchor": "both"}, "anchor is 'both'"),
    ],
)
def test_values_out_of_range_are_refused(make_args, config_class, arguments, message):
    with pytest.raises(InputError, match=message):
        make_args(config_class, **arguments)


def test_an_anchor_the_method_does_not_use_is_refused(trained, sets, make_args):
    with pytest.raises(InputError, match="trains on retain alone"):
        build("fine_tune", trained, sets, make_args, anchor="forget")
