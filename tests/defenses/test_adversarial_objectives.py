"""PGD-AT, TRADES and MART and their gradients in the logits, against formulas written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_privacy.defenses.adversarial.objectives import divergence, mart, pgd_at, trades

LABELS = np.array([0, 1, 2, 1, 0])
CLEAN = np.array([[1.2, 0.1, -0.5], [0.8, 0.3, 0.1], [0.0, 2.0, -1.0], [0.4, -0.2, 0.6], [2.5, -1.0, 0.3]])
# Adversarially two are right (the first and the fourth), three wrong.
MOVED = np.array([[0.9, 0.5, -0.2], [1.4, 0.2, 0.3], [0.4, 1.0, -1.5], [0.1, 0.7, 0.5], [-0.5, 1.0, 0.8]])
N, C = CLEAN.shape
ROWS = np.arange(N)
ONE_HOT = np.eye(C)[LABELS]


def softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


P, Q = softmax(CLEAN), softmax(MOVED)
KL = (P * np.log(P / Q)).sum(1)
KL_IN_CLEAN = P * (np.log(P / Q) - KL[:, None])
KL_IN_MOVED = Q - P


def found(objective, **settings):
    clean, moved = (torch.tensor(values, requires_grad=True) for values in (CLEAN, MOVED))
    losses = objective(clean, moved, torch.tensor(LABELS), **settings)
    assert losses.shape == (N,)
    losses.sum().backward()
    return losses.detach().numpy(), clean.grad.numpy(), moved.grad.numpy()


def test_pgd_at_is_the_cross_entropy_of_the_adversarial_logits():
    moved = torch.tensor(MOVED, requires_grad=True)
    losses = pgd_at(moved, torch.tensor(LABELS))
    losses.sum().backward()
    np.testing.assert_allclose(losses.detach().numpy(), -np.log(Q[ROWS, LABELS]))
    np.testing.assert_allclose(moved.grad.numpy(), Q - ONE_HOT, atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades_adds_the_divergence_from_the_clean_to_the_adversarial_prediction(beta):
    losses, in_clean, in_moved = found(trades, beta=beta)
    np.testing.assert_allclose(losses, -np.log(P[ROWS, LABELS]) + beta * KL)
    np.testing.assert_allclose(in_clean, P - ONE_HOT + beta * KL_IN_CLEAN, atol=1e-12)
    np.testing.assert_allclose(in_moved, beta * KL_IN_MOVED, atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_mart_adds_the_margin_and_weighs_the_divergence_by_the_clean_miss(beta):
    losses, in_clean, in_moved = found(mart, beta=beta)
    rival = np.where(ONE_HOT == 1, -np.inf, Q).argmax(1)
    rival_one_hot, q_rival = np.eye(C)[rival], Q[ROWS, rival][:, None]
    missed = 1 - P[ROWS, LABELS]
    margin = -np.log(Q[ROWS, LABELS]) - np.log(1 - q_rival[:, 0])
    np.testing.assert_allclose(losses, margin + beta * KL * missed)
    # The gradient runs through the weight 1 − p_y too, as in the authors' code.
    of_miss = -P[ROWS, LABELS][:, None] * (ONE_HOT - P)
    np.testing.assert_allclose(in_clean, beta * (KL_IN_CLEAN * missed[:, None] + KL[:, None] * of_miss), atol=1e-12)
    of_margin = Q - ONE_HOT + q_rival / (1 - q_rival) * (rival_one_hot - Q)
    np.testing.assert_allclose(in_moved, of_margin + beta * KL_IN_MOVED * missed[:, None], atol=1e-12)


def test_mart_is_the_authors_loss_up_to_the_constants_that_keep_their_logarithms_finite():
    # Their code: log(1.0001 − p + 1e-12), log(q + 1e-12), 1.0000001 − p_y.
    theirs = []
    for row, label in enumerate(LABELS):
        rival = max((k for k in range(C) if k != label), key=lambda k, row=row: Q[row, k])
        divergence = (P[row] * (np.log(P[row]) - np.log(Q[row] + 1e-12))).sum()
        margin = -np.log(Q[row, label]) - np.log(1.0001 - Q[row, rival] + 1e-12)
        theirs.append(margin + 6 * divergence * (1.0000001 - P[row, label]))
    np.testing.assert_allclose(found(mart, beta=6.0)[0], theirs, rtol=1e-3)


@pytest.mark.parametrize("objective", [trades, mart])
def test_the_batch_loss_has_the_divergence_as_a_sum_over_classes_and_a_mean_over_examples(objective):
    mean = found(objective, beta=6.0)[0].mean() - found(objective, beta=0.0)[0].mean()
    weight = 1 if objective is trades else 1 - P[ROWS, LABELS]
    reference = torch.nn.functional.kl_div(torch.tensor(np.log(Q)), torch.tensor(P), reduction="batchmean")
    assert mean == pytest.approx(6 * (KL * weight).mean())
    assert KL.mean() == pytest.approx(float(reference))


def test_without_an_attack_trades_is_the_cross_entropy_and_mart_its_margin_form():
    logits, labels = torch.tensor(CLEAN), torch.tensor(LABELS)
    cross_entropy = pgd_at(logits, labels)
    torch.testing.assert_close(trades(logits, logits, labels, beta=6.0), cross_entropy)
    rival = torch.tensor(np.where(ONE_HOT == 1, 0.0, P).max(1))
    torch.testing.assert_close(mart(logits, logits, labels, beta=6.0), cross_entropy - torch.log1p(-rival))
    torch.testing.assert_close(divergence(logits, logits), torch.zeros(N, dtype=torch.float64))


def test_mart_stays_finite_where_a_wrong_class_is_certain():
    # 1 − p rounds to zero in float32: the logarithm of a difference would be infinite.
    clean, moved = torch.zeros(1, 3), torch.tensor([[0.0, 200.0, -50.0]], requires_grad=True)
    loss = mart(clean, moved, torch.tensor([0]), beta=1.0)
    loss.sum().backward()
    # 200 for the label, 200 for the rival, and the divergence: a mean of the gaps 200, 0 and 250, less ln 3.
    assert float(loss.detach()) == pytest.approx(400 + (450 / 3 - np.log(3)) * 2 / 3, rel=1e-5)
    assert torch.isfinite(moved.grad).all()
    assert moved.grad[0, 1] > 1.9
