"""Pearson by kind of layer against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hf_privacy.errors import InputError
from hf_privacy.weights import pearson_by_kind


@pytest.fixture
def model():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 600), nn.Linear(600, 600)
    )


def scores(model, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(p.shape, generator=generator) for name, p in model.named_parameters() if "bias" not in name
    }


def test_it_equals_numpy_over_the_joined_weights_of_each_kind(model):
    a, noise = scores(model, 0), scores(model, 1)
    b = {name: 3 * score + noise[name] for name, score in a.items()}
    found = pearson_by_kind(a, b, model)
    members = {"conv": ["0.weight"], "norm": ["1.weight"], "linear": ["3.weight", "4.weight"], "all": list(a)}
    assert list(found) == list(members)
    for kind, names in members.items():
        x, y = (np.concatenate([s[name].numpy().ravel() for name in names]).astype(float) for s in (a, b))
        assert found[kind] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)


def test_a_large_common_offset_loses_no_digits():
    # Sums of squares taken without centring lose all of them here.
    net = nn.Linear(1000, 1, bias=False)
    x = torch.linspace(0, 1, 1000, dtype=torch.float64)[None]
    found = pearson_by_kind({"weight": x + 1e7}, {"weight": -2 * x + 1e7}, net)
    assert found["linear"] == pytest.approx(-1.0, abs=1e-12)


def test_chunks_are_merged_exactly():
    net = nn.Linear(1_300_000, 1, bias=False)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 1_300_000, generator=generator) + torch.arange(1_300_000)[None] / 1e6  # the chunks' means differ
    y = x + torch.rand(1, 1_300_000, generator=generator)
    expected = np.corrcoef(x.double().numpy().ravel(), y.double().numpy().ravel())[0, 1]
    assert pearson_by_kind({"weight": x}, {"weight": y}, net)["all"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_a_score_that_does_not_vary_has_no_correlation(constant):
    net = nn.Linear(7, 1, bias=False)
    found = pearson_by_kind({"weight": torch.rand(1, 7)}, {"weight": torch.full((1, 7), constant)}, net)
    assert found == {"linear": None, "all": None}


def test_bad_scores_are_refused(model):
    a = scores(model, 0)
    with pytest.raises(InputError, match=r"differ in 0\.weight"):
        pearson_by_kind(a, {name: score for name, score in a.items() if name != "0.weight"}, model)
    with pytest.raises(InputError, match=r"0\.weight has shape"):
        pearson_by_kind(a, {**a, "0.weight": torch.rand(3)}, model)
    with pytest.raises(InputError, match="NaN or infinite"):
        pearson_by_kind(a, {**a, "0.weight": torch.full((4, 1, 3, 3), float("nan"))}, model)
    with pytest.raises(InputError, match="no parameter of that name"):
        pearson_by_kind({"x": a["0.weight"]}, {"x": a["0.weight"]}, model)
    with pytest.raises(InputError, match="scores are empty"):
        pearson_by_kind({}, {}, model)
