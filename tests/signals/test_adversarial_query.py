"""The adversarial query and the curvature signals of `compute_signals`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_training import RESNET
from transformers import BertConfig, BertForSequenceClassification

from hf_privacy.adversarial import PGD, AdversarialInputs, EmbeddingSpace, FeatureSpace, PixelSpace
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification, load_model
from hf_privacy.signals import (
    SIGNAL_NAMES,
    Curvature,
    average_queries,
    compute_signals,
    input_curvature,
    signals_from_logits,
)

ATTACK = AdversarialInputs(FeatureSpace(), PGD(0.3, n_steps=4))
QUERIES = ("identity", "adversarial")


def mlp(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    config = TabularMLPConfig(input_size=5, hidden_sizes=[16], num_labels=3, activation="tanh")
    return TabularMLPForClassification(config)


@pytest.fixture
def dataset() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset({"features": torch.randn(13, 5, generator=generator), "labels": torch.arange(13) % 3})


def images(n_examples: int = 6) -> tuple[torch.nn.Module, TensorDataset]:
    """An untrained ResNet of smooth activations and images of pixels in 0..1, normalised by 0.5 and 0.25."""
    sizes = RESNET["kwargs"]
    model = load_model(
        "resnet",
        task="image-classification",
        num_labels=3,
        from_scratch=True,
        model_kwargs={**sizes, "hidden_act": "gelu"},
        seed=0,
    )
    pixels = torch.rand(n_examples, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return model, TensorDataset({"pixel_values": (pixels - 0.5) / 0.25, "labels": torch.arange(n_examples) % 3})


# ---- the adversarial query ----


def test_the_adversarial_query_is_what_the_model_says_of_the_attacked_inputs(dataset):
    model = mlp()
    signals = compute_signals(model, dataset, queries=QUERIES, adversarial=ATTACK)
    inputs = ATTACK(model, {"features": dataset.column("features")}, dataset.column("labels"))
    with torch.no_grad():
        expected = signals_from_logits(model.eval()(**inputs).logits, dataset.column("labels"))
    assert set(signals) == set(SIGNAL_NAMES)
    for name in SIGNAL_NAMES:
        np.testing.assert_allclose(signals[name][1], expected[name], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(signals["phi"][0], compute_signals(model, dataset)["phi"][0])


def test_the_attack_goes_through_the_model_that_is_asked(dataset):
    one, other = mlp(0), mlp(1)
    transferred = ATTACK(other, {"features": dataset.column("features")}, dataset.column("labels"))
    with torch.no_grad():
        logits = one.eval()(**transferred).logits
    own = compute_signals(one, dataset, queries=("adversarial",), adversarial=ATTACK)["loss"][0]
    assert (own > compute_signals(one, dataset)["loss"][0]).all()
    assert own.mean() > signals_from_logits(logits, dataset.column("labels"))["loss"].mean().item()


def test_adversarial_signals_depend_on_neither_batch_nor_order(dataset):
    model = mlp()
    settings = {"queries": QUERIES, "adversarial": ATTACK, "curvature": Curvature(n_vectors=2)}
    whole = compute_signals(model, dataset, **settings)
    order = torch.randperm(13, generator=torch.Generator().manual_seed(3)).numpy()
    shuffled = compute_signals(model, dataset.subset(order), batch_size=4, **settings)
    for name, values in whole.items():
        np.testing.assert_allclose(shuffled[name], values[:, order], rtol=1e-4, atol=1e-5)


def test_the_model_is_left_as_it_was(dataset):
    model = mlp().train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    compute_signals(model, dataset, queries=QUERIES, adversarial=ATTACK, curvature=Curvature(n_vectors=2))
    assert model.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("settings", [{"queries": QUERIES}, {"adversarial": ATTACK}])
def test_the_query_and_its_attack_go_together(dataset, settings):
    with pytest.raises(InputError, match="pass both or neither"):
        compute_signals(mlp(), dataset, **settings)


def test_the_average_over_queries_leaves_the_adversarial_one_out(dataset):
    signals = compute_signals(mlp(), dataset, queries=QUERIES, adversarial=ATTACK)
    averaged = average_queries(signals, queries=QUERIES)
    np.testing.assert_array_equal(averaged["loss"], signals["loss"][0])


def test_pixels_are_attacked_within_the_ball_whatever_their_normalisation():
    model, dataset = images()
    attack = AdversarialInputs(PixelSpace((0.5,), (0.25,)), PGD(8 / 255, n_steps=5))
    signals = compute_signals(model, dataset, queries=("identity", "flip", "adversarial"), adversarial=attack)
    assert signals["loss"].shape == (3, 6)
    assert (signals["loss"][2] > signals["loss"][0]).all()


# ---- curvature ----


def test_curvature_is_the_logarithm_of_the_squared_norm_and_the_trace(dataset):
    model = mlp().eval()
    signals = compute_signals(model, dataset, curvature=Curvature(n_vectors=3, seed=5))
    found = input_curvature(
        model,
        dataset.column("features"),
        dataset.column("labels"),
        n_vectors=3,
        generator=torch.Generator().manual_seed(5),
    )
    np.testing.assert_allclose(signals["curvature"][0], np.log(found["squared_norm"].numpy()), rtol=1e-4)
    np.testing.assert_allclose(signals["curvature_trace"][0], found["trace"].numpy(), rtol=1e-4, atol=1e-6)


def test_every_query_has_its_own_curvature():
    model, dataset = images()
    attack = AdversarialInputs(PixelSpace((0.5,), (0.25,)), PGD(8 / 255, n_steps=3))
    settings = {"curvature": Curvature(n_vectors=2)}
    signals = compute_signals(
        model, dataset, queries=("identity", "flip", "adversarial"), adversarial=attack, **settings
    )
    mirrored = TensorDataset(
        {"pixel_values": dataset.column("pixel_values").flip(-1), "labels": dataset.column("labels")}
    )
    np.testing.assert_allclose(
        signals["curvature"][1], compute_signals(model, mirrored, **settings)["curvature"][0], rtol=1e-3
    )
    attacked = attack(model, {"pixel_values": dataset.column("pixel_values")}, dataset.column("labels"))
    moved = TensorDataset({"pixel_values": attacked["pixel_values"], "labels": dataset.column("labels")})
    np.testing.assert_allclose(
        signals["curvature"][2], compute_signals(model, moved, **settings)["curvature"][0], rtol=1e-3
    )


def test_a_flat_model_has_the_lowest_curvature_there_is_and_no_infinity(dataset):
    model = mlp()
    torch.nn.init.zeros_(model.classifier.weight)
    signals = compute_signals(model, dataset, curvature=Curvature(n_vectors=1))
    np.testing.assert_allclose(signals["curvature"], np.log(1e-70))
    np.testing.assert_array_equal(signals["curvature_trace"], 0.0)


def test_zero_order_curvature_has_no_trace(dataset):
    signals = compute_signals(mlp(), dataset, curvature=Curvature(method="zero_order", n_vectors=2, h=0.1))
    assert "curvature_trace" not in signals
    assert np.isfinite(signals["curvature"]).all()


def test_texts_are_attacked_and_bent_in_their_embeddings():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForSequenceClassification(BertConfig(vocab_size=20, num_labels=2, **sizes))
    tokens = torch.randint(1, 20, (5, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(tokens)
    mask[0, 4:] = 0
    dataset = TensorDataset({"input_ids": tokens, "attention_mask": mask, "labels": torch.arange(5) % 2})
    attack = AdversarialInputs(EmbeddingSpace(), PGD(0.05, n_steps=4))
    settings = {"queries": QUERIES, "adversarial": attack, "curvature": Curvature(n_vectors=2)}
    signals = compute_signals(model, dataset, **settings)
    assert (signals["loss"][1] > signals["loss"][0]).all()
    assert np.isfinite(signals["curvature"]).all()
    # A text's values do not change with the padding its batch-mates bring.
    alone = compute_signals(model, dataset.subset([0]), **settings)
    np.testing.assert_allclose(alone["curvature"][:, 0], signals["curvature"][:, 0], rtol=1e-2)
    np.testing.assert_allclose(alone["loss"][:, 0], signals["loss"][:, 0], rtol=1e-3)
