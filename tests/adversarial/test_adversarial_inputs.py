"""Adversarial inputs for evaluation: the same for an example whatever stands beside it."""

from __future__ import annotations

import json

import pytest
import torch

from hf_privacy.adversarial import PGD, AdversarialInputs, EmbeddingSpace, FeatureSpace, PixelSpace
from hf_privacy.errors import InputError

NAMES = ["resnet", "vit", "tabular", "bert"]


def rows_of(batch, rows):
    return {name: tensor[rows] for name, tensor in batch.inputs.items()}, batch.labels[rows]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", NAMES)
def test_random_starts_depend_on_neither_order_nor_batch_mates(model_of, batch_of, name, norm):
    model, batch = model_of(name), batch_of(name)
    start = AdversarialInputs(batch.space, PGD(0.2, norm=norm, n_steps=1, step_size=1e-12))  # all but the start itself
    column = batch.space.column
    together = start(model, batch.inputs, batch.labels)[column]
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.equal(start(model, *rows_of(batch, order))[column], together[order])
    for row in range(5):
        alone = start(model, *rows_of(batch, slice(row, row + 1)))[column]
        assert torch.equal(alone, together[row : row + 1])


@pytest.mark.parametrize("name", NAMES)
def test_attacked_examples_depend_on_neither_order_nor_batch_mates(model_of, batch_of, name):
    model, batch = model_of(name), batch_of(name)
    attacked = AdversarialInputs(batch.space, PGD(0.2, norm="l2", n_steps=5))
    column = batch.space.column
    together = attacked(model, batch.inputs, batch.labels)[column]
    alone = torch.cat([attacked(model, *rows_of(batch, slice(row, row + 1)))[column] for row in range(5)])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-4)


def test_padding_to_another_length_changes_no_text(model_of, batch_of):
    model, batch = model_of("bert"), batch_of("bert")
    attacked = AdversarialInputs(EmbeddingSpace(), PGD(0.5, norm="l2", n_steps=5))
    row = slice(1, 2)  # three tokens of seven places
    padded = attacked(model, *rows_of(batch, row))["inputs_embeds"]
    short, labels = rows_of(batch, row)
    trimmed = attacked(model, {name: tensor[:, :3] for name, tensor in short.items()}, labels)["inputs_embeds"]
    torch.testing.assert_close(padded[:, :3], trimmed, rtol=0, atol=1e-5)


def test_the_seed_and_the_restart_change_the_start(model_of, batch_of):
    model, batch = model_of("resnet"), batch_of("resnet")

    def start(seed, n_restarts=1):
        attack = PGD(0.2, n_steps=1, step_size=1e-12, n_restarts=n_restarts)
        return AdversarialInputs(batch.space, attack, seed=seed)(model, batch.inputs, batch.labels)["pixel_values"]

    assert torch.equal(start(0), start(0))
    assert not torch.equal(start(0), start(1))
    assert not torch.equal(start(0), start(0, n_restarts=4))


def test_torchs_random_state_is_neither_read_nor_moved(model_of, batch_of):
    model, batch = model_of("vit"), batch_of("vit")
    attacked = AdversarialInputs(batch.space, PGD(0.1, n_steps=2))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = attacked(model, batch.inputs, batch.labels)["pixel_values"]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(attacked(model, batch.inputs, batch.labels)["pixel_values"], first)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_lie_in_the_ball_and_fill_it(norm):
    features = torch.rand(400, 3)
    attacked = AdversarialInputs(FeatureSpace(), PGD(0.2, norm=norm, n_restarts=2))
    noise = attacked._noise(None, {"features": features})
    size = noise.norm(p=torch.inf if norm == "linf" else 2, dim=2) / 0.2
    assert size.max() <= 1 + 1e-6
    assert (size**3).mean().item() == pytest.approx(0.5, abs=0.03)  # the share of volume within the start's radius
    assert noise.mean().abs() < 0.01


@pytest.mark.parametrize("name", ["resnet", "tabular", "bert"])
def test_what_comes_out_is_what_the_model_is_called_with(model_of, batch_of, name):
    model, batch = model_of(name), batch_of(name)
    inputs = {**batch.inputs, "labels": batch.labels}
    attacked = AdversarialInputs(batch.space, PGD(0.1, n_steps=2))(model, inputs, batch.labels)
    assert "labels" not in attacked
    assert "input_ids" not in attacked
    assert model(**attacked).logits.shape == (5, 3)


def test_epsilon_zero_gives_the_same_logits_as_the_examples(model_of, batch_of):
    for name in NAMES:
        model, batch = model_of(name).eval(), batch_of(name)
        attacked = AdversarialInputs(batch.space, PGD(0))(model, batch.inputs, batch.labels)
        torch.testing.assert_close(model(**attacked).logits, model(**batch.inputs).logits)


@pytest.mark.parametrize("name", ["tabular", "bert", "vit"])
def test_a_model_in_bfloat16_is_attacked_and_answers(model_of, batch_of, name):
    model, batch = model_of(name).bfloat16(), batch_of(name)
    if name == "vit":
        batch.inputs["pixel_values"] = batch.inputs["pixel_values"].bfloat16()
    attacked = AdversarialInputs(batch.space, PGD(0.2, n_steps=3))(model, batch.inputs, batch.labels)
    assert model(**attacked).logits.isfinite().all()
    assert all(parameter.dtype == torch.bfloat16 for parameter in model.parameters())


def test_the_best_point_is_kept_on_request(digits, accuracy):
    attack = PGD(0.1, n_steps=4, step_size=0.08)
    inputs, labels = digits.inputs, digits.labels

    def share(**options):
        attacked = AdversarialInputs(digits.space, attack, **options)(digits.model, inputs, labels)
        return accuracy(digits.model, digits.space.points(digits.model, attacked), digits)

    assert share(keep_best=True) < share()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_gradients_that_are_not_finite_are_no_robustness(model_of, batch_of, norm):
    """torch.sign(NaN) is 0: the attack would stand still, and the model look robust."""
    model, batch = model_of("tabular"), batch_of("tabular")
    with torch.no_grad():
        model.classifier.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match="gradients that are not finite"):
        AdversarialInputs(batch.space, PGD(0.1, norm=norm, n_steps=1))(model, batch.inputs, batch.labels)


def test_all_settings_are_described_in_plain_values():
    facts = AdversarialInputs(PixelSpace((0.5, 0.4), (0.2, 0.1)), PGD(0.1, n_steps=5), seed=3).describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts == {
        "space": {"name": "pixels", "mean": [0.5, 0.4], "std": [0.2, 0.1]},
        "epsilon": 0.1,
        "norm": "linf",
        "n_steps": 5,
        "step_size": 0.025,
        "random_start": True,
        "n_restarts": 1,
        "loss": "cross_entropy",
        "keep_best": False,
        "seed": 3,
    }


def test_settings_that_cannot_be_are_refused_before_any_example_is_seen():
    with pytest.raises(InputError, match="seed is -1"):
        AdversarialInputs(FeatureSpace(), PGD(0.1), seed=-1)
    with pytest.raises(InputError, match="0–255 units"):
        AdversarialInputs(PixelSpace((0.5,), (0.5,)), PGD(8))
