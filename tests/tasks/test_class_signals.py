"""Signals against closed forms and a brute-force oracle in 300-digit arithmetic."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import pytest
import torch

from hf_privacy.errors import InputError
from hf_privacy.signals import SIGNAL_NAMES, signals_from_logits

getcontext().prec = 300


def oracle(logits: list[float], label: int) -> dict[str, float]:
    """The definitions, word for word, in decimal arithmetic."""
    values = [Decimal(value) for value in logits]
    exponentials = [value.exp() for value in values]
    total = sum(exponentials)
    p = [value / total for value in exponentials]
    others = [j for j in range(len(p)) if j != label]
    log_not = [(sum(exponentials[k] for k in range(len(p)) if k != j) / total).ln() for j in range(len(p))]
    return {
        "phi": float(values[label] - sum(exponentials[j] for j in others).ln()),
        "loss": float(-p[label].ln()),
        "probability": float(p[label]),
        "margin": float(values[label] - max(values[j] for j in others)),
        "entropy": float(-sum(q * q.ln() for q in p)),
        "modified_entropy": float(-(1 - p[label]) * p[label].ln() - sum(p[j] * log_not[j] for j in others)),
        "correct": float(values[label] == max(values)),
    }


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
def test_every_signal_equals_its_definition(n_classes, scale):
    generator = torch.Generator().manual_seed(n_classes)
    logits = scale * torch.randn(20, n_classes, dtype=torch.float64, generator=generator)
    labels = torch.randint(n_classes, (20,), generator=generator)
    signals = signals_from_logits(logits, labels)
    assert tuple(signals) == SIGNAL_NAMES
    for row in range(20):
        for name, expected in oracle(logits[row].tolist(), int(labels[row])).items():
            assert signals[name].dtype == torch.float64
            assert signals[name][row].item() == pytest.approx(expected, rel=1e-11, abs=1e-300), name


def test_two_classes_have_the_closed_form_of_the_logistic_function():
    x = torch.linspace(-30, 30, 13, dtype=torch.float64)
    signals = signals_from_logits(torch.stack([x, torch.zeros_like(x)], dim=1), torch.zeros(13, dtype=torch.long))
    torch.testing.assert_close(signals["phi"], x)
    torch.testing.assert_close(signals["margin"], x)
    torch.testing.assert_close(signals["probability"], torch.sigmoid(x))
    # With two classes both terms of the modified entropy are −(1 − p) log p.
    torch.testing.assert_close(signals["modified_entropy"], 2 * torch.sigmoid(-x) * torch.log1p(torch.exp(-x)))


def test_equal_logits_give_the_largest_entropy():
    signals = signals_from_logits(torch.zeros(1, 10), torch.tensor([3]))
    assert signals["entropy"].item() == pytest.approx(math.log(10))
    assert signals["phi"].item() == pytest.approx(-math.log(9))


@pytest.mark.parametrize("n_classes", [2, 10])
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_extreme_logits_stay_finite_and_ordered(n_classes, size):
    logits = torch.full((3, n_classes), -size)
    logits[0, 0] = size  # sure and right
    logits[1, 1] = size  # sure and wrong
    signals = signals_from_logits(logits, torch.zeros(3, dtype=torch.long))
    for name in SIGNAL_NAMES:
        assert torch.isfinite(signals[name]).all(), name
    assert signals["phi"][0].item() == pytest.approx(2 * size - math.log(n_classes - 1))
    assert signals["loss"][1].item() == pytest.approx(2 * size)
    assert signals["loss"][0].item() >= 0
    assert signals["modified_entropy"][1].item() == pytest.approx(4 * size - math.log(n_classes - 1))
    assert (signals["entropy"] >= 0).all()
    assert (signals["modified_entropy"] >= 0).all()


def test_phi_is_not_rounded_away_where_the_probability_is_one():
    """A clipped or rounded probability would give every sure example the same value."""
    logits = torch.tensor([[40.0, 0.0], [50.0, 0.0], [90.0, 0.0]])
    signals = signals_from_logits(logits, torch.zeros(3, dtype=torch.long))
    assert signals["probability"].tolist() == [1.0, 1.0, 1.0]
    assert signals["phi"].tolist() == [40.0, 50.0, 90.0]
    assert signals["loss"][0].item() == pytest.approx(math.exp(-40))
    assert (signals["modified_entropy"].diff() < 0).all()
    assert (signals["modified_entropy"] > 0).all()


@pytest.mark.parametrize("n_classes", [2, 10, 1000])
def test_a_value_never_depends_on_its_batch_mates(n_classes):
    """Peer error (SalUn): modified entropy that changes with the rest of the batch."""
    generator = torch.Generator().manual_seed(0)
    logits = 20 * torch.randn(33, n_classes, generator=generator)
    labels = torch.randint(n_classes, (33,), generator=generator)
    together = signals_from_logits(logits, labels)
    for row in (0, 16, 32):
        alone = signals_from_logits(logits[row : row + 1], labels[row : row + 1])
        for name in SIGNAL_NAMES:
            assert alone[name].item() == together[name][row].item(), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_upcast_before_anything_is_computed(dtype):
    logits = torch.tensor([[12.0, -3.0, 0.5]], dtype=dtype)
    label = torch.tensor([0])
    half, full = signals_from_logits(logits, label), signals_from_logits(logits.double(), label)
    for name in SIGNAL_NAMES:
        assert half[name].item() == full[name].item()


def test_shifting_all_logits_changes_nothing():
    logits = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64)
    first = signals_from_logits(logits, torch.tensor([2]))
    second = signals_from_logits(logits + 1024, torch.tensor([2]))
    for name in SIGNAL_NAMES:
        torch.testing.assert_close(first[name], second[name])


def test_signals_carry_no_gradient():
    logits = torch.zeros(2, 3, requires_grad=True)
    assert not signals_from_logits(logits, torch.tensor([0, 1]))["loss"].requires_grad


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(2, 3, 4), torch.zeros(2, dtype=torch.long), "one row of floating-point class scores"),
        (torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, dtype=torch.long), "floating-point"),
        (torch.zeros(2, 1), torch.zeros(2, dtype=torch.long), "at least two classes"),
        (torch.zeros(2, 3), torch.zeros(3, dtype=torch.long), "one label per row"),
        (torch.zeros(2, 3), torch.zeros(2), "integer class numbers"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), "labels go from 0 to 3"),
        (torch.zeros(2, 3), torch.tensor([-100, 1]), "labels go from -100 to 1"),
        (torch.tensor([[0.0, float("nan")]]), torch.tensor([0]), "in 1 of 1 rows"),
        (torch.tensor([[0.0, float("inf")]]), torch.tensor([0]), "diverged"),
    ],
)
def test_bad_input_is_one_clear_sentence(logits, labels, message):
    with pytest.raises(InputError, match=message):
        signals_from_logits(logits, labels)
