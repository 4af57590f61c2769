"""Robust accuracy on a model whose robustness is known in closed form, and the trap of repaired mistakes."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from small_training import RESNET

from hf_privacy.adversarial import PGD, AdversarialInputs, AutoAttack, FeatureSpace, PixelSpace
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.signals import adversarial_correct, robust_accuracy
from hf_privacy.statistics import clopper_pearson

SPACE = FeatureSpace()


@pytest.fixture
def half_plane():
    """Class 0 where the first feature is above 0: an L∞ ball of radius r turns exactly what lies within r of 0."""
    model = TabularMLPForClassification(TabularMLPConfig(input_size=2, hidden_sizes=[], num_labels=2))
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        model.classifier.bias.zero_()
    return model


@pytest.fixture
def dataset():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(101, 2, generator=generator)
    labels = (features[:, 0] < 0).long()
    labels[::7] = 1 - labels[::7]  # mistakes
    return TensorDataset({"features": features, "labels": labels})


def correct_and_far(dataset, radius):
    first, labels = dataset.column("features")[:, 0], dataset.column("labels")
    return ((first < 0).long() == labels).numpy() & (first.abs() > radius).numpy()


@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0])
def test_correct_under_attack_is_correct_and_farther_from_the_boundary_than_the_radius(half_plane, dataset, radius):
    attack = AdversarialInputs(SPACE, PGD(radius, n_steps=10, step_size=0.3))
    found = adversarial_correct(half_plane, dataset, attack=attack, batch_size=32)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, correct_and_far(dataset, radius))


def test_an_attack_that_repairs_a_mistake_makes_no_example_robust(half_plane, dataset):
    def mirrored(model, inputs, labels):
        return {"features": -inputs["features"]}  # wrong examples become right, and right ones wrong

    assert not adversarial_correct(half_plane, dataset, attack=mirrored).any()


def test_of_several_attacks_the_worst_counts_and_each_gets_what_is_left(half_plane, dataset):
    seen = []

    def moved_by(step):
        def attack(model, inputs, labels):
            seen.append(len(labels))
            return {"features": inputs["features"] + torch.tensor([step, 0.0])}

        return attack

    attacks = [moved_by(0.5), moved_by(-0.5)]
    first = [adversarial_correct(half_plane, dataset, attack=attack) for attack in attacks]
    n_clean = int(correct_and_far(dataset, 0).sum())
    assert seen == [n_clean, n_clean]
    seen.clear()
    together = adversarial_correct(half_plane, dataset, attack=attacks)
    np.testing.assert_array_equal(together, first[0] & first[1])
    assert seen == [n_clean, int(first[0].sum())]


def test_neither_order_nor_batches_matter(half_plane, dataset):
    attack = AdversarialInputs(SPACE, PGD(0.5, n_steps=2))
    expected = adversarial_correct(half_plane, dataset, attack=attack)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(1)).numpy()
    found = adversarial_correct(half_plane, dataset.subset(order), attack=attack, batch_size=10)
    np.testing.assert_array_equal(found, expected[order])


def test_a_training_model_is_given_back_as_it_was(half_plane, dataset):
    half_plane.train()
    half_plane.classifier.weight.grad = torch.ones(2, 2)
    adversarial_correct(half_plane, dataset, attack=AdversarialInputs(SPACE, PGD(0.5)))
    assert half_plane.training
    assert torch.equal(half_plane.classifier.weight.grad, torch.ones(2, 2))
    assert half_plane.classifier.bias.grad is None


def test_the_summary_counts_and_its_intervals_are_exact(half_plane, dataset):
    attack = AdversarialInputs(SPACE, PGD(0.3, n_steps=10, step_size=0.1))
    found = robust_accuracy(half_plane, dataset, attack=attack, confidence=0.9)
    n_clean, n_robust = int(correct_and_far(dataset, 0).sum()), int(correct_and_far(dataset, 0.3).sum())
    assert (found["clean"], found["robust"], found["n_examples"]) == (n_clean / 101, n_robust / 101, 101)
    assert (found["clean_low"], found["clean_high"]) == clopper_pearson(n_clean, 101, confidence=0.9)
    assert (found["robust_low"], found["robust_high"]) == clopper_pearson(n_robust, 101, confidence=0.9)
    json.dumps(found, allow_nan=False)


def test_a_model_that_is_always_wrong_has_robust_accuracy_zero_and_nothing_is_attacked(half_plane, dataset):
    wrong = dataset.with_tensors({"features": dataset.column("features"), "labels": 1 - dataset.column("labels")})
    wrong = wrong.subset(np.flatnonzero(correct_and_far(dataset, 0)))

    def attack(model, inputs, labels):
        raise AssertionError("attacked")

    found = robust_accuracy(half_plane, wrong, attack=attack)
    assert (found["clean"], found["robust"], found["robust_low"]) == (0.0, 0.0, 0.0)


def test_an_accelerator_gives_the_same(half_plane, dataset):
    attack = AdversarialInputs(SPACE, PGD(0.3))
    found = adversarial_correct(half_plane, dataset, attack=attack, accelerator=Accelerator(cpu=True))
    np.testing.assert_array_equal(found, adversarial_correct(half_plane, dataset, attack=attack))


@pytest.fixture
def bf16_accelerator():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True, mixed_precision="bf16")
    AcceleratorState._reset_state(reset_partial_state=True)


def test_mixed_precision_of_a_prepared_model_does_not_blur_the_attack(dataset, bf16_accelerator):
    """Accelerate builds autocast into the forward: bfloat16 would round the smallest steps away."""
    torch.manual_seed(0)
    model = TabularMLPForClassification(TabularMLPConfig(input_size=2, hidden_sizes=[16], num_labels=2))
    attack = AdversarialInputs(SPACE, PGD(0.003))
    expected = adversarial_correct(model, dataset, attack=attack)
    prepared = bf16_accelerator.prepare_model(model)
    forward = prepared.forward
    with torch.no_grad():
        blurred = prepared(features=dataset.column("features")).logits
        assert not torch.equal(blurred, prepared._original_forward(features=dataset.column("features")).logits)
    np.testing.assert_array_equal(adversarial_correct(prepared, dataset, attack=attack), expected)
    assert prepared.forward == forward


def test_autoattack_finds_no_more_robust_examples_than_pgd():
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    sizes = RESNET["kwargs"]
    model = ResNetForImageClassification(ResNetConfig(**sizes, num_labels=4))
    pixels = torch.rand(12, 1, 8, 8)
    labels = model.eval()(pixel_values=pixels).logits.argmax(dim=1)
    labels[:2] = 3 - labels[:2]  # mistakes
    images = TensorDataset({"pixel_values": pixels, "labels": labels})
    space = PixelSpace((0.0,), (1.0,))
    by_pgd = adversarial_correct(model, images, attack=AdversarialInputs(space, PGD(0.02)))
    autoattack = AutoAttack(space, 0.02, attacks=["apgd-ce", "square"], n_queries=20)
    found = adversarial_correct(model, images, attack=autoattack)
    assert found.sum() <= by_pgd.sum() <= 10
    worst = adversarial_correct(model, images, attack=[AdversarialInputs(space, PGD(0.02)), autoattack])
    assert worst.sum() <= found.sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attack": []}, "attack is []: pass an attack such as AdversarialInputs"),
        ({"attack": ["pgd"]}, "attack is ['pgd']: pass an attack"),
        ({"dataset": TensorDataset({"features": torch.zeros(2, 2)})}, "correctness needs a labels column"),
        (
            {"dataset": TensorDataset({"features": torch.zeros(1, 2), "labels": torch.tensor([2])})},
            "labels go from 2 to 2 and logits has 2 classes",
        ),
        ({"confidence": 95}, "confidence is 95"),
    ],
    ids=["no attack", "a name", "no labels", "a label too many", "a percentage"],
)
def test_bad_input_is_refused_in_a_sentence(half_plane, dataset, change, message):
    arguments = {"dataset": dataset, "attack": AdversarialInputs(SPACE, PGD(0.1)), **change}
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        robust_accuracy(half_plane, arguments.pop("dataset"), **arguments)
    assert "\n" not in str(refused.value)
