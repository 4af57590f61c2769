"""DeMem: the variance of the losses joins the loss, sample by sample, with its controls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_privacy.defenses import AdversarialConfig, AdversarialTrainer, DeMemConfig, DeMemTrainer
from hf_privacy.defenses.demem.trainer import class_variance
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification

LABELS = np.array([0, 1, 2, 1, 0])
LOGITS = np.array([[1.2, 0.1, -0.5], [0.8, 0.3, 0.1], [0.0, 2.0, -1.0], [0.4, -0.2, 0.6], [2.5, -1.0, 0.3]])
N, C = LOGITS.shape
P = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
CE = -np.log(P[np.arange(N), LABELS])
CE_GRADIENT = P - np.eye(C)[LABELS]


@pytest.fixture
def make_trainer(make_args, model_of, data_of):
    def make(config_class=DeMemConfig, family="tabular", *, n=8, **arguments):
        trainer_class = DeMemTrainer if config_class is DeMemConfig else AdversarialTrainer
        args = make_args(config_class, **{"epsilon": 0.05, **arguments})
        return trainer_class(model_of(family), args, train_dataset=data_of(family, n))

    return make


def loss_and_gradient(trainer, base=None):
    """The batch's loss with PGD-AT beneath it, or with given losses; and its gradient in the adversarial logits."""
    logits, labels = torch.tensor(LOGITS, requires_grad=True), torch.tensor(LABELS)
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none") if base is None else base
    loss = trainer.batch_loss(losses, logits, labels)
    loss.backward()
    return float(loss.detach()), logits.grad.numpy()


# ---- formulas ----


@pytest.mark.parametrize("variance_weight", [0.0, 0.2, 0.6, 3.0])
def test_the_loss_is_the_mean_plus_lambda_times_the_unbiased_variance(variance_weight, make_trainer):
    loss, _ = loss_and_gradient(make_trainer(variance_weight=variance_weight))
    assert loss == pytest.approx(CE.mean() + variance_weight * ((CE - CE.mean()) ** 2).sum() / (N - 1))


@pytest.mark.parametrize("variance_weight", [0.0, 0.2, 0.6, 3.0])
def test_each_example_counts_with_the_weight_the_paper_implies(variance_weight, make_trainer):
    _, gradient = loss_and_gradient(make_trainer(variance_weight=variance_weight))
    w = 1 / N + 2 * variance_weight * (CE - CE.mean()) / (N - 1)
    np.testing.assert_allclose(gradient, w[:, None] * CE_GRADIENT, atol=1e-12)
    assert w.sum() == pytest.approx(1)
    if variance_weight == 3.0:
        assert w.min() < 0  # an example far below the mean is unlearnt


def test_the_control_raises_the_variance(make_trainer):
    trainer = make_trainer(variance_weight=-0.6, control="negative_variance")
    loss, gradient = loss_and_gradient(trainer)
    assert loss == pytest.approx(CE.mean() - 0.6 * CE.var(ddof=1))
    w = 1 / N - 1.2 * (CE - CE.mean()) / (N - 1)
    np.testing.assert_allclose(gradient, w[:, None] * CE_GRADIENT, atol=1e-12)


def test_the_control_over_classes_takes_the_variance_of_their_mean_losses(make_trainer):
    loss, gradient = loss_and_gradient(make_trainer(variance_weight=0.6, control="class_variance"))
    means = np.array([CE[label == LABELS].mean() for label in range(C)])
    assert loss == pytest.approx(CE.mean() + 0.6 * means.var(ddof=1))
    counts = np.array([(label == LABELS).sum() for label in range(C)])
    in_class = 2 * (means - means.mean()) / (C - 1) / counts
    w = 1 / N + 0.6 * in_class[LABELS]
    np.testing.assert_allclose(gradient, w[:, None] * CE_GRADIENT, atol=1e-12)


def test_a_batch_of_one_class_has_no_variance_between_classes():
    losses = torch.tensor([1.0, 3.0], requires_grad=True)
    variance = class_variance(losses, torch.tensor([4, 4]))
    variance.backward()
    assert float(variance.detach()) == 0
    assert not losses.grad.any()


@pytest.mark.parametrize("objective", ["trades", "mart"])
def test_the_variance_is_of_the_adversarial_cross_entropies_whatever_the_objective(objective, make_trainer):
    base = torch.arange(N, dtype=torch.float64)
    loss, gradient = loss_and_gradient(make_trainer(objective=objective, variance_weight=0.3), base=base)
    assert loss == pytest.approx(float(base.mean()) + 0.3 * CE.var(ddof=1))
    w = 0.6 * (CE - CE.mean()) / (N - 1)
    np.testing.assert_allclose(gradient, w[:, None] * CE_GRADIENT, atol=1e-12)


@pytest.mark.parametrize("objective", ["pgd_at", "trades", "mart"])
def test_with_lambda_zero_training_is_the_adversarial_training_beneath(objective, make_trainer):
    shared = {"objective": objective, "max_steps": 3, "awp_gamma": 0.01}
    trained = [make_trainer(DeMemConfig, variance_weight=0.0, **shared), make_trainer(AdversarialConfig, **shared)]
    for trainer in trained:
        trainer.train()
    for ours, base in zip(*(trainer.model.parameters() for trainer in trained), strict=True):
        torch.testing.assert_close(ours, base)


def test_with_epsilon_zero_the_variance_is_of_the_clean_losses(make_trainer):
    trainer = make_trainer(epsilon=0.0, variance_weight=0.4)
    batch = trainer.train_dataset.__getitems__(range(8))
    logits = trainer.model(batch["features"]).logits
    losses = torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="none")
    loss, _ = trainer.training_loss(trainer.model, batch)
    torch.testing.assert_close(loss, losses.mean() + 0.4 * losses.var())


def test_the_variance_is_of_each_accumulated_batch_by_itself(make_trainer):
    trainer = make_trainer(
        epsilon=0.0,
        max_steps=1,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        optim="sgd",
        momentum=0.0,
        learning_rate=1.0,
        max_grad_norm=0.0,
    )
    start = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    parts = [trainer.train_dataset.__getitems__(rows) for rows in list(trainer.get_train_dataloader().batch_sampler)]
    loss = sum(trainer.training_loss(trainer.model, part)[0] for part in parts) / 2
    gradients = torch.autograd.grad(loss, list(trainer.model.parameters()))
    trainer.train()
    for parameter, before, gradient in zip(trainer.model.parameters(), start, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), before - gradient, rtol=1e-4, atol=1e-6)


# ---- training ----


@pytest.mark.parametrize("awp_gamma", [0.0, 0.5])
def test_the_loss_variance_is_logged_as_the_mean_since_the_last_log(awp_gamma, make_trainer, monkeypatch):
    seen = []
    training_loss = DeMemTrainer.training_loss

    def recorded(self, model, inputs):
        loss, outputs = training_loss(self, model, inputs)
        losses = torch.nn.functional.cross_entropy(outputs["logits"].detach(), inputs["labels"], reduction="none")
        seen.append(float(losses.var()))
        return loss, outputs

    monkeypatch.setattr(DeMemTrainer, "training_loss", recorded)
    trainer = make_trainer(
        awp_gamma=awp_gamma,
        control="class_variance",
        max_steps=4,
        per_device_train_batch_size=4,
        logging_strategy="steps",
        logging_steps=2,
    )
    trainer.train()
    logged = [entry["loss_variance"] for entry in trainer.state.log_history if "loss_variance" in entry]
    # With AWP that of the perturbed weights, which are trained on, not that of the ascent.
    assert logged == pytest.approx([np.mean(seen[:2]), np.mean(seen[2:])], rel=1e-5)


def test_the_variance_falls_and_under_the_control_it_rises(make_args, noisy_digits):
    def final_variance(weight, seed):
        args = make_args(
            DeMemConfig,
            variance_weight=weight,
            control="negative_variance" if weight < 0 else None,
            epsilon=0.05,
            n_steps=2,
            seed=seed,
            num_train_epochs=15,
            per_device_train_batch_size=50,
            learning_rate=3e-3,
            logging_strategy="epoch",
        )
        trainer = DeMemTrainer(
            model_init=lambda: TabularMLPForClassification(
                TabularMLPConfig(input_size=64, hidden_sizes=[32], num_labels=10)
            ),
            args=args,
            train_dataset=noisy_digits.subset(range(250)),
        )
        trainer.train()
        return [entry["loss_variance"] for entry in trainer.state.log_history if "loss_variance" in entry][-1]

    for seed in (0, 1, 2):
        lowered, base, raised = (final_variance(weight, seed) for weight in (0.4, 0.0, -0.05))
        assert lowered < 0.8 * base < base < raised


# ---- what is refused ----


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"variance_weight": -0.2},
            "variance_weight is -0.2, which raises .*control='negative_variance'",
        ),
        ({"variance_weight": -0.2, "control": "class_variance"}, "variance_weight is -0.2, which raises"),
        ({"variance_weight": float("nan")}, "variance_weight is nan"),
        ({"variance_weight": 0.2, "control": "negative_variance"}, "control is 'negative_variance' and .* below 0"),
        ({"control": "negative_variance"}, "control is 'negative_variance' and variance_weight 0.2"),
        ({"control": "variance"}, "control is 'variance': pass 'negative_variance' or 'class_variance'"),
        ({"per_device_train_batch_size": 1}, "per_device_train_batch_size is 1: the variance of the losses needs"),
        ({"epsilon": -1.0}, "epsilon is -1.0"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor is 0.1"),
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_refused_in_one_sentence(given, message, make_args):
    with pytest.raises(InputError, match=message) as refused:
        make_args(DeMemConfig, **given)
    assert "\n" not in str(refused.value)


def test_a_training_set_of_one_is_refused_before_training(make_trainer):
    trainer = make_trainer(n=1)
    with pytest.raises(InputError, match=r"train_dataset has 1 examples for 1 processes: the variance .* needs two"):
        trainer.train()


def test_a_search_for_the_batch_size_does_not_end_at_batches_of_one(make_trainer):
    trainer = make_trainer(auto_find_batch_size=True)
    trainer._train_batch_size = 1  # where the search arrives when two do not fit
    with pytest.raises(InputError, match="auto_find_batch_size went down to batches of one"):
        trainer.get_train_dataloader()


def test_no_batch_of_one_is_left_over(make_trainer):
    trainer = make_trainer(n=9, num_train_epochs=2, per_device_train_batch_size=4)
    trainer.train()  # 4 and 5, not 4, 4 and 1
    assert trainer.state.global_step == 4
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())


@pytest.mark.parametrize("control", [None, "negative_variance", "class_variance"])
def test_the_report_holds_objective_weight_and_control(control, make_trainer):
    weight = -0.2 if control == "negative_variance" else 0.4
    described = make_trainer(objective="trades", variance_weight=weight, control=control).describe_defense()
    assert described["paper"]["id"] == "arXiv:2412.05767"
    assert {name: described["parameters"][name] for name in ("objective", "variance_weight", "control")} == {
        "objective": "trades",
        "variance_weight": weight,
        "control": control,
    }
