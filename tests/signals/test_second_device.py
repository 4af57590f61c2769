"""Every signal of a model that does not lie on the CPU: the CPU's figures, and no two devices in one operation."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, ResNetConfig, ResNetForImageClassification

from hf_privacy.adversarial import PGD, AdversarialInputs, FeatureSpace, PixelSpace
from hf_privacy.data import TensorDataset
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.signals import (
    Curvature,
    adversarial_correct,
    compute_curvature,
    compute_features,
    compute_signals,
    label_only_correct,
)
from hf_privacy.weights import fisher, magnitude, mas_sensitivity, perturb, random, saliency, select, taylor

N = 6
LABELS = torch.arange(N) % 3


def tabular():
    torch.manual_seed(0)
    model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))
    return model, TensorDataset({"features": torch.randn(N, 4), "labels": LABELS})


def images():
    torch.manual_seed(0)
    sizes = {"num_channels": 3, "embedding_size": 4, "hidden_sizes": [4], "depths": [1], "num_labels": 3}
    model = ResNetForImageClassification(ResNetConfig(layer_type="basic", **sizes))
    return model, TensorDataset({"pixel_values": torch.rand(N, 3, 8, 8), "labels": LABELS})


def texts():
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = BertForSequenceClassification(BertConfig(vocab_size=20, num_labels=3, **sizes))
    mask = (torch.arange(5) < torch.tensor([[5], [3], [4], [5], [2], [5]])).long()
    ids = torch.randint(1, 20, (N, 5)) * mask
    return model, TensorDataset({"input_ids": ids, "attention_mask": mask, "labels": LABELS})


KINDS = {"tabular": tabular, "images": images, "texts": texts}
ATTACK = PGD(0.05, n_steps=2)


def attacked(space):
    return AdversarialInputs(attack=ATTACK, space=space)


SIGNALS = {
    "signals": ("tabular images texts", compute_signals),
    "features": ("tabular images texts", lambda model, data: {"x": compute_features(model, data)}),
    "labels alone": ("tabular images", lambda model, data: {"x": label_only_correct(model, data)}),
    "flip": ("images", lambda model, data: compute_signals(model, data, queries=("identity", "flip"))),
    "curvature": (
        "tabular images",
        lambda model, data: compute_signals(model, data, curvature=Curvature(n_vectors=2)),
    ),
    "curvature by products": (
        "tabular",
        lambda model, data: compute_curvature(model, data, curvature=Curvature(method="hvp", n_vectors=2)),
    ),
    "adversarial, features": (
        "tabular",
        lambda model, data: compute_signals(
            model, data, queries=("adversarial",), adversarial=attacked(FeatureSpace())
        ),
    ),
    "adversarial, pixels": (
        "images",
        lambda model, data: compute_signals(
            model, data, queries=("adversarial",), adversarial=attacked(PixelSpace((0.0,) * 3, (1.0,) * 3))
        ),
    ),
    "robustness": (
        "tabular",
        lambda model, data: {"x": adversarial_correct(model, data, attack=attacked(FeatureSpace()))},
    ),
}
CASES = [(name, kind) for name, (kinds, _) in SIGNALS.items() for kind in kinds.split()]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_signal_does_not_depend_on_where_the_model_lies(name, kind, second_device):
    model, data = KINDS[kind]()
    here = SIGNALS[name][1](copy.deepcopy(model).eval(), data)
    with second_device() as device:
        there = SIGNALS[name][1](model.eval().to(device), data)
    assert here.keys() == there.keys()
    for key, values in here.items():
        assert isinstance(there[key], np.ndarray)
        np.testing.assert_allclose(there[key], values, rtol=1e-6, atol=1e-7)


SCORES = {
    "taylor": taylor,
    "saliency": saliency,
    "fisher": fisher,
    "exact fisher": lambda model, batches: fisher(model, batches, empirical=False),
    "mas": mas_sensitivity,
    "magnitude": lambda model, batches: magnitude(model),
    "random": lambda model, batches: random(model, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_and_edits_of_weights_do_not_depend_on_where_they_lie(name, second_device):
    def edited(model):
        batches = [data.__getitems__(range(3)), data.__getitems__(range(3, N))]
        mask = select(SCORES[name](model, batches), fraction=0.3)
        perturb(model, mask, sigma=0.5, generator=torch.Generator().manual_seed(1))
        return {key: parameter.detach().cpu() for key, parameter in model.named_parameters()}

    model, data = tabular()
    here = edited(copy.deepcopy(model))
    with second_device() as device:
        there = edited(model.to(device))
    for key, values in here.items():
        torch.testing.assert_close(there[key], values)


def test_the_second_device_refuses_what_a_gpu_refuses(second_device):
    with second_device() as device:
        there, here = torch.ones(2).to(device), torch.ones(2)
        assert there.device == device
        with pytest.raises(RuntimeError, match="two devices"):
            there + here
        with pytest.raises(TypeError, match="copy it to the CPU"):
            there.numpy()
        assert float((there + torch.tensor(1.0)).sum()) == 4.0
        assert torch.equal((there * 2).cpu(), here * 2)
