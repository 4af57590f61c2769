"""Each defended loss and its gradient in the logits, against formulas written out in NumPy without autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_privacy.defenses import (
    CCLConfig,
    CCLTrainer,
    ConfidencePenaltyConfig,
    ConfidencePenaltyTrainer,
    FocalLossConfig,
    FocalLossTrainer,
    HAMPConfig,
    HAMPTrainer,
    LabelSmoothingConfig,
    LabelSmoothingTrainer,
    RelaxLossConfig,
    RelaxLossTrainer,
)
from hf_privacy.defenses.hamp.trainer import top_probability

LABELS = np.array([0, 1, 2, 1, 0])
# The first and the last are right, the others wrong; no two losses are alike.
LOGITS = np.array([[1.2, 0.1, -0.5], [0.8, 0.3, 0.1], [0.0, 2.0, -1.0], [0.4, -0.2, 0.6], [2.5, -1.0, 0.3]])
N, C = LOGITS.shape
ONE_HOT = np.eye(C)[LABELS]
P = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
LOG_P = np.log(P)
CE = -LOG_P[np.arange(N), LABELS]
P_LABEL = P[np.arange(N), LABELS]
ENTROPY = -(P * LOG_P).sum(1)
CE_GRADIENT = P - ONE_HOT
# Of −H: the entropy falls where a likely class gains.
MINUS_ENTROPY_GRADIENT = P * (LOG_P + ENTROPY[:, None])
IS_WRONG = (LOGITS.argmax(1) != LABELS).astype(float)


class GivenLogits(torch.nn.Module):
    """A model that is its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(LOGITS, dtype=torch.float32))

    def forward(self, rows):
        return {"logits": self.logits[rows]}


@pytest.fixture
def loss_and_gradient(make_args, model_of, data_of):
    """Give a function from trainer, config and arguments to the loss and its gradient in the logits."""

    def compute(trainer_class, config_class, *, epoch=0.0, **arguments):
        args = make_args(config_class, **arguments)
        trainer = trainer_class(model_of("tabular"), args, train_dataset=data_of("tabular"))
        trainer.state.epoch = epoch
        model = GivenLogits()
        loss, outputs = trainer.training_loss(model, {"rows": torch.arange(N), "labels": torch.tensor(LABELS)})
        assert outputs["logits"].shape == (N, C)
        loss.backward()
        return float(loss.detach()), model.logits.grad.double().numpy()

    return compute


def assert_close(found, per_example, gradient):
    loss, found_gradient = found
    assert loss == pytest.approx(per_example.mean(), rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(found_gradient, gradient / N, rtol=1e-4, atol=1e-6)


# ---- focal loss ----


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_loss_weighs_each_example_by_the_doubt_left_in_it(gamma, loss_and_gradient):
    doubt = 1 - P_LABEL
    # d/dz of (1 − p)^γ·CE with dp/dz = −p·dCE/dz.
    slope = doubt**gamma + gamma * doubt ** (gamma - 1) * P_LABEL * CE
    found = loss_and_gradient(FocalLossTrainer, FocalLossConfig, gamma=gamma)
    assert_close(found, doubt**gamma * CE, slope[:, None] * CE_GRADIENT)


def test_focal_loss_of_an_example_that_is_learnt_to_the_last_bit_has_no_gradient(make_args, model_of, data_of):
    trainer = FocalLossTrainer(
        model_of("tabular"), make_args(FocalLossConfig, gamma=0.5), train_dataset=data_of("tabular")
    )
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss, _ = trainer.training_loss(lambda **_: {"logits": logits}, {"rows": None, "labels": torch.tensor([0])})
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad.abs().max() == 0


# ---- RelaxLoss ----


def soft_labels(cap=1.0):
    share = np.minimum(P_LABEL, cap)[:, None]
    return ONE_HOT * share + (1 - ONE_HOT) * (1 - share) / (C - 1)


@pytest.mark.parametrize("epoch", [0.0, 2.0, 2.75])
@pytest.mark.parametrize(("alpha", "sign"), [(CE.mean() - 0.3, 1), (CE.mean() + 0.3, -1), (0.0, 1)])
def test_relax_loss_even_epochs_minimise_the_distance_to_alpha(epoch, alpha, sign, loss_and_gradient):
    found = loss_and_gradient(RelaxLossTrainer, RelaxLossConfig, epoch=epoch, alpha=alpha)
    assert_close(found, np.abs(np.full(N, CE.mean() - alpha)), sign * CE_GRADIENT)


@pytest.mark.parametrize("flattening", ["with_ascent", "soft_labels_only"])
def test_relax_loss_odd_epochs_above_alpha_are_plain_descent(flattening, loss_and_gradient):
    settings = {"alpha": CE.mean() - 0.1, "flattening": flattening}
    found = loss_and_gradient(RelaxLossTrainer, RelaxLossConfig, epoch=1.5, **settings)
    assert_close(found, CE, CE_GRADIENT)


def through_soft_labels(cap):
    """What the gradient of CE(soft) has more where it runs through the own probability in ``soft``."""
    log_others = ((1 - ONE_HOT) * LOG_P).sum(1) / (C - 1)
    return ((cap >= P_LABEL) * P_LABEL * (CE + log_others))[:, None] * (ONE_HOT - P)


@pytest.mark.parametrize("cap", [1.0, 0.4])
@pytest.mark.parametrize("detach", [False, True])
def test_relax_loss_odd_epochs_below_alpha_flatten_the_wrong_and_raise_all_losses(cap, detach, loss_and_gradient):
    settings = {"alpha": CE.mean() + 0.1, "confidence_cap": cap} | ({"detach_soft_labels": True} if detach else {})
    found = loss_and_gradient(RelaxLossTrainer, RelaxLossConfig, epoch=1.0, **settings)
    soft = soft_labels(cap)
    per_example = IS_WRONG * -(soft * LOG_P).sum(1) - CE
    of_soft = P - soft + (0 if detach else through_soft_labels(cap))
    assert_close(found, per_example, IS_WRONG[:, None] * of_soft - CE_GRADIENT)


@pytest.mark.parametrize("cap", [1.0, 0.4])
@pytest.mark.parametrize("detach", [False, True])
def test_relax_loss_soft_labels_only_is_the_control(cap, detach, loss_and_gradient):
    settings = {"alpha": CE.mean() + 0.1, "confidence_cap": cap, "flattening": "soft_labels_only"}
    found = loss_and_gradient(RelaxLossTrainer, RelaxLossConfig, epoch=3.0, detach_soft_labels=detach, **settings)
    soft = soft_labels(cap)
    assert_close(found, -(soft * LOG_P).sum(1), P - soft + (0 if detach else through_soft_labels(cap)))


def test_relax_loss_by_default_is_the_authors_line_with_the_gradient_autograd_gives_it(loss_and_gradient):
    """``(1 − correct)·crossentropy_soft(outputs, soft) − ce``, soft made of the softmax without a detach."""
    logits = GivenLogits().logits.detach().double().requires_grad_(True)
    labels, one_hot = torch.tensor(LABELS), torch.tensor(ONE_HOT)
    own = logits.softmax(dim=1)[torch.arange(N), labels].unsqueeze(1)
    soft = one_hot * own + (1 - one_hot) * (1 - own) / (C - 1)
    cross_entropy = -(one_hot * logits.log_softmax(dim=1)).sum(dim=1)
    wrong = (logits.argmax(dim=1) != labels).double()
    losses = wrong * -(soft * logits.log_softmax(dim=1)).sum(dim=1) - cross_entropy
    losses.sum().backward()
    found = loss_and_gradient(RelaxLossTrainer, RelaxLossConfig, epoch=1.0, alpha=CE.mean() + 0.1)
    assert_close(found, losses.detach().numpy(), logits.grad.numpy())


def test_relax_loss_at_alpha_itself_stands_still_in_even_epochs(loss_and_gradient):
    # The mean as float32 has it.
    mean = float(torch.nn.functional.cross_entropy(GivenLogits().logits.detach(), torch.tensor(LABELS)))
    loss, gradient = loss_and_gradient(RelaxLossTrainer, RelaxLossConfig, alpha=mean)
    assert loss == 0
    assert not gradient.any()


# ---- CCL, the confidence penalty, label smoothing ----


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.05), (0.1, 1.0), (1.0, 2.0), (0.0, 1.0)])
def test_ccl_with_the_linear_term_is_the_cross_entropy_less_the_probability(alpha, beta, loss_and_gradient):
    found = loss_and_gradient(CCLTrainer, CCLConfig, alpha=alpha, beta=beta, concave_term="p")
    weight = beta * (alpha + (1 - alpha) * P_LABEL)
    assert_close(found, beta * (alpha * CE - (1 - alpha) * np.exp(-CE)), weight[:, None] * CE_GRADIENT)


def test_ccl_by_default_subtracts_the_exponential_of_the_probability_as_the_authors_do(loss_and_gradient):
    found = loss_and_gradient(CCLTrainer, CCLConfig, alpha=0.3, beta=0.7)
    weight = 0.7 * (0.3 + 0.7 * P_LABEL * np.exp(P_LABEL))
    assert_close(found, 0.7 * (0.3 * CE - 0.7 * np.exp(P_LABEL)), weight[:, None] * CE_GRADIENT)


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_the_confidence_penalty_subtracts_the_entropy(beta, loss_and_gradient):
    found = loss_and_gradient(ConfidencePenaltyTrainer, ConfidencePenaltyConfig, beta=beta)
    assert_close(found, CE - beta * ENTROPY, CE_GRADIENT + beta * MINUS_ENTROPY_GRADIENT)


@pytest.mark.parametrize("factor", [0.1, 0.6])
def test_label_smoothing_is_the_cross_entropy_with_mixed_labels(factor, loss_and_gradient):
    found = loss_and_gradient(LabelSmoothingTrainer, LabelSmoothingConfig, label_smoothing_factor=factor)
    labels = (1 - factor) * ONE_HOT + factor / C
    assert_close(found, -(labels * LOG_P).sum(1), P - labels)


# ---- HAMP ----


@pytest.mark.parametrize("over_classes", [False, True])
@pytest.mark.parametrize(("gamma", "alpha"), [(0.5, 0.0), (0.95, 0.3), (0.0, 0.001)])
def test_hamp_is_the_divergence_from_the_soft_labels_less_the_entropy(gamma, alpha, over_classes, loss_and_gradient):
    settings = {"gamma": gamma, "alpha": alpha, "kl_mean_over_classes": over_classes}
    found = loss_and_gradient(HAMPTrainer, HAMPConfig, **settings)
    top = top_probability(C, gamma)
    soft = ONE_HOT * top + (1 - ONE_HOT) * (1 - top) / (C - 1)
    logs = np.log(np.where(soft > 0, soft, 1.0))
    scale = C if over_classes else 1
    divergence = (soft * (logs - LOG_P)).sum(1) / scale
    assert_close(found, divergence - alpha * ENTROPY, (P - soft) / scale + alpha * MINUS_ENTROPY_GRADIENT)


@pytest.mark.parametrize("n_classes", [2, 3, 10, 100, 1000])
@pytest.mark.parametrize("gamma", [0.05, 0.5, 0.95, 0.999])
def test_the_soft_label_has_the_entropy_asked_for_and_not_more(n_classes, gamma):
    def entropy_of(top):
        label = np.full(n_classes, (1 - top) / (n_classes - 1))
        label[0] = top
        return -(label * np.log(label)).sum()

    top = top_probability(n_classes, gamma)
    assert 1 / n_classes < top < 1  # the true class stays the likeliest
    assert entropy_of(top) == pytest.approx(gamma * np.log(n_classes), rel=1e-9)
    assert entropy_of(top + 1e-6) < gamma * np.log(n_classes)


def test_the_soft_label_is_within_a_step_of_the_authors_search():
    # They lower the top probability from 1 by 0.01 until the entropy is reached: CIFAR-100's gamma of 0.5.
    top, n_classes = 1.0, 100
    while -top * np.log(top) - (1 - top) * np.log(max(1 - top, 1e-300) / (n_classes - 1)) < 0.5 * np.log(n_classes):
        top -= 0.01
    assert 0 <= top_probability(n_classes, 0.5) - top < 0.01
