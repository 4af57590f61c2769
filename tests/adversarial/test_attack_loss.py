"""Attack losses against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from hf_privacy.adversarial.attack_loss import attack_loss
from hf_privacy.errors import InputError

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 2])


def softmax(row) -> list[float]:
    exponentials = [math.exp(value) for value in row]
    return [value / sum(exponentials) for value in exponentials]


def test_cross_entropy_is_minus_log_probability_of_the_label():
    expected = [-math.log(softmax(row)[label]) for row, label in zip(LOGITS.tolist(), LABELS.tolist(), strict=True)]
    assert attack_loss(LOGITS, LABELS, loss="cross_entropy").tolist() == pytest.approx(expected)


def test_cw_is_the_best_other_logit_minus_that_of_the_label():
    assert attack_loss(LOGITS, LABELS, loss="cw").tolist() == pytest.approx([0.5 - 2.0, 3.0 - 1.0])


def test_cw_of_two_classes_is_their_difference():
    assert attack_loss(torch.tensor([[1.0, 4.0]]), torch.tensor([1]), loss="cw").tolist() == [-3.0]


def test_kl_is_from_the_example_to_the_point_and_reverse_kl_from_the_point_to_the_example():
    clean = LOGITS.flip(1) * 0.3
    pairs = [
        (softmax(example), softmax(point)) for example, point in zip(clean.tolist(), LOGITS.tolist(), strict=True)
    ]
    forward = [sum(p * math.log(p / q) for p, q in zip(example, point, strict=True)) for example, point in pairs]
    back = [sum(q * math.log(q / p) for p, q in zip(example, point, strict=True)) for example, point in pairs]
    assert forward != pytest.approx(back, rel=0.01)
    assert attack_loss(LOGITS, LABELS, loss="kl", clean_logits=clean).tolist() == pytest.approx(forward)
    assert attack_loss(LOGITS, LABELS, loss="reverse_kl", clean_logits=clean).tolist() == pytest.approx(back)


def test_kl_is_what_the_code_of_trades_authors_raises():
    """``KLDivLoss(size_average=False)(log_softmax(f(x′)), softmax(f(x)))``, and its gradient."""
    clean = LOGITS.flip(1) * 0.3
    point, same = LOGITS.clone().requires_grad_(True), LOGITS.clone().requires_grad_(True)
    attack_loss(point, LABELS, loss="kl", clean_logits=clean).sum().backward()
    torch.nn.KLDivLoss(reduction="sum")(same.log_softmax(dim=1), clean.softmax(dim=1)).backward()
    torch.testing.assert_close(point.grad, same.grad)


@pytest.mark.parametrize("loss", ["kl", "reverse_kl"])
def test_kl_takes_the_clean_logits_as_fixed(loss):
    clean = LOGITS.flip(1).requires_grad_(True)
    point = LOGITS.clone().requires_grad_(True)
    attack_loss(point, LABELS, loss=loss, clean_logits=clean).sum().backward()
    assert point.grad is not None
    assert clean.grad is None


def test_logits_far_apart_keep_every_loss_finite():
    logits, clean = torch.tensor([[200.0, -200.0]]), torch.tensor([[-200.0, 200.0]])
    for loss in ("cross_entropy", "cw", "kl", "reverse_kl"):
        point = logits.clone().requires_grad_(True)
        value = attack_loss(point, torch.tensor([1]), loss=loss, clean_logits=clean)
        value.sum().backward()
        assert value.item() == pytest.approx(400.0)
        assert point.grad.isfinite().all()


def test_what_is_no_classifier_or_has_no_clean_logits_is_refused():
    with pytest.raises(InputError, match="C ≥ 2"):
        attack_loss(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64), loss="cross_entropy")
    with pytest.raises(InputError, match="clean_logits is missing"):
        attack_loss(LOGITS, LABELS, loss="kl")
    with pytest.raises(InputError, match=r"clean_logits is of shape \[1, 3\]"):
        attack_loss(LOGITS, LABELS, loss="kl", clean_logits=LOGITS[:1])
