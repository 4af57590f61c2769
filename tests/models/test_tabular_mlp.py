"""The tabular model is an ordinary transformers model and an ordinary PyTorch network."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification


def model_of(**changes) -> TabularMLPForClassification:
    settings = {"input_size": 6, "hidden_sizes": [16, 8], "id2label": {0: "a", 1: "b", 2: "c"}, **changes}
    return TabularMLPForClassification(TabularMLPConfig(**settings))


def test_logits_are_those_of_the_same_layers_in_plain_pytorch():
    model, x = model_of(), torch.randn(5, 6)
    first, second = model.layers
    expected = model.classifier(torch.relu(second(torch.relu(first(x)))))
    torch.testing.assert_close(model(features=x).logits, expected)


def test_the_loss_is_the_mean_cross_entropy_and_absent_without_labels():
    model, x, y = model_of(), torch.randn(5, 6), torch.tensor([0, 1, 2, 1, 0])
    output = model(features=x, labels=y)
    torch.testing.assert_close(output.loss, torch.nn.functional.cross_entropy(output.logits, y))
    assert model(features=x).loss is None
    assert len(model(features=x, labels=y, return_dict=False)) == 2


def test_weights_start_uniform_within_one_over_the_root_of_fan_in():
    model = model_of(input_size=100, hidden_sizes=[400])
    for layer, fan_in in ((model.layers[0], 100), (model.classifier, 400)):
        bound = 1 / math.sqrt(fan_in)
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert layer.bias.abs().max() <= bound


def test_binary_features_may_be_of_any_dtype():
    model = model_of()
    assert model(features=torch.ones(2, 6, dtype=torch.uint8)).logits.dtype == torch.float32


def test_save_and_reload_through_the_auto_class(tmp_path):
    model = model_of(dropout=0.5, activation="gelu").eval()
    model.save_pretrained(tmp_path)
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert type(reloaded) is TabularMLPForClassification
    assert reloaded.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert (reloaded.config.dropout, reloaded.config.hidden_sizes) == (0.5, [16, 8])
    x = torch.randn(4, 6)
    torch.testing.assert_close(reloaded(features=x).logits, model(features=x).logits)


def test_no_hidden_layer_is_a_linear_classifier():
    assert sum(p.numel() for p in model_of(hidden_sizes=[]).parameters()) == 6 * 3 + 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": 0}, "input_size is 0"),
        ({"hidden_sizes": [4, -1]}, "positive sizes"),
        ({"activation": "wiggle"}, "activation is 'wiggle'"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_bad_sizes_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        model_of(**changes)
