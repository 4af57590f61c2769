"""boundary_distance: closed forms of a linear model, and what the search leaves untouched."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_training import RESNET

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification, load_model
from hf_privacy.signals import BOUNDARY_METHODS, boundary_distance
from hf_privacy.signals.boundary_search import BoundaryNormal

METHODS = tuple(BOUNDARY_METHODS)
MISCLASSIFIED = 3  # the first so many of `linear`


@pytest.fixture
def foolbox():
    return pytest.importorskip("foolbox", reason='foolbox is not installed: pip install "hf-privacy[robust]"')


def linear(n_examples: int = 24, n_features: int = 20):
    """A linear classifier of two classes, examples, and |w·x + b| of each, 0 where misclassified."""
    generator = torch.Generator().manual_seed(0)
    model = TabularMLPForClassification(TabularMLPConfig(input_size=n_features, hidden_sizes=[], num_labels=2))
    with torch.no_grad():
        model.classifier.weight.copy_(torch.randn(2, n_features, generator=generator))
        model.classifier.bias.copy_(torch.randn(2, generator=generator))
        inputs = torch.randn(n_examples, n_features, generator=generator)
        logits = model(features=inputs).logits
    labels = logits.argmax(dim=1)
    labels[:MISCLASSIFIED] = 1 - labels[:MISCLASSIFIED]
    difference = (logits[:, 0] - logits[:, 1]).abs().double().numpy()
    difference[:MISCLASSIFIED] = 0
    return model, TensorDataset({"features": inputs, "labels": labels}), difference


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("norm", "dual"), [(2, 2), (math.inf, 1)])
def test_distance_to_a_linear_boundary_is_the_closed_form(foolbox, method, norm, dual):
    model, dataset, difference = linear()
    weight = (model.classifier.weight[0] - model.classifier.weight[1]).detach()
    distance = boundary_distance(model, dataset, method=method, norm=norm, bounds=(-20, 20))
    assert distance.dtype == np.float64
    exact = difference / float(weight.norm(dual))
    np.testing.assert_allclose(distance, exact, rtol=0.06 if method == "hop_skip_jump" else 1e-3, atol=1e-5)
    assert (distance >= exact * (1 - 1e-4)).all()  # what is found is never nearer than the boundary


def test_the_documented_example(foolbox):
    model = TabularMLPForClassification(TabularMLPConfig(input_size=2, hidden_sizes=[], num_labels=2))
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        model.classifier.bias.zero_()
    inputs = torch.tensor([[3.0, 0.0], [-2.0, 1.0], [1.0, 1.0]])
    dataset = TensorDataset({"features": inputs, "labels": torch.tensor([0, 1, 1])})
    assert boundary_distance(model, dataset, method="deepfool").round(3).tolist() == [3.0, 2.0, 0.0]


def test_more_steps_of_hop_skip_jump_come_closer(foolbox):
    model, dataset, _ = linear()
    distances = [boundary_distance(model, dataset, n_steps=steps)[MISCLASSIFIED:].mean() for steps in (1, 3, 10)]
    assert distances[0] > distances[1] > distances[2]


def test_misclassified_examples_have_distance_zero_and_only_they(foolbox):
    model, dataset, _ = linear()
    distance = boundary_distance(model, dataset, n_steps=1)
    assert (distance[:MISCLASSIFIED] == 0).all()
    assert (distance[MISCLASSIFIED:] > 0).all()


def test_distances_are_in_the_units_of_the_inputs(foolbox):
    """Inputs and weights stretched by 10: distances too."""
    model, dataset, _ = linear()
    before = boundary_distance(model, dataset)
    with torch.no_grad():
        model.classifier.weight /= 10
    stretched = TensorDataset({"features": 10 * dataset.column("features"), "labels": dataset.column("labels")})
    np.testing.assert_allclose(boundary_distance(model, stretched), 10 * before, rtol=0.03)


@pytest.mark.parametrize("method", METHODS)
def test_neither_order_nor_batches_nor_the_global_generator_matter(foolbox, method):
    """The library's own HopSkipJump draws one noise for the batch and divides gradients by the norm of the batch."""
    model, dataset, _ = linear()
    whole = boundary_distance(model, dataset, method=method, n_steps=5)
    order = np.random.default_rng(0).permutation(len(dataset))
    torch.manual_seed(99)
    shuffled = boundary_distance(model, dataset.subset(order), method=method, n_steps=5, batch_size=5)
    np.testing.assert_allclose(shuffled, whole[order], rtol=5e-3, atol=1e-6)


def test_the_seed_governs_hop_skip_jump_and_the_callers_random_state_is_left(foolbox):
    model, dataset, _ = linear()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, again, other = (boundary_distance(model, dataset, n_steps=1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_hop_skip_jump_sees_nothing_but_the_predicted_class(foolbox):
    """Any monotone change of the logits, with gradients cut, gives the same distances."""
    model, dataset, _ = linear()

    class Hardened(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, features):
            logits = self.inner(features=features).logits
            return SimpleNamespace(logits=torch.nn.functional.one_hot(logits.argmax(dim=1), 2).float())

    np.testing.assert_array_equal(
        boundary_distance(Hardened(), dataset, n_steps=3), boundary_distance(model, dataset, n_steps=3)
    )


def test_where_gradients_lead_nowhere_the_line_to_the_nearest_start_is_measured(foolbox):
    """A step function has no gradient; the distance is to the boundary on the way to the nearest other example."""

    class Step(torch.nn.Module):
        def forward(self, features):
            side = (features[:, 0] > 0).float() + 0 * features.sum(dim=1)
            return SimpleNamespace(logits=torch.stack([1 - side, side], dim=1))

    inputs = torch.tensor([[-1.0, 0.0], [3.0, 0.0], [-5.0, 0.0]])
    dataset = TensorDataset({"features": inputs, "labels": torch.tensor([0, 1, 0])})
    distance = boundary_distance(Step(), dataset, method="deepfool", n_steps=3)
    np.testing.assert_allclose(distance, [1.0, 3.0, 5.0], rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_no_gradient_mode_or_flag_is_left_behind(foolbox, method):
    model, dataset, _ = linear()
    model.train()
    model.dropout.eval()
    model.classifier.bias.requires_grad_(False)
    model.classifier.weight.grad = torch.full_like(model.classifier.weight, 3.0)
    boundary_distance(model, dataset, method=method, n_steps=2)
    assert (model.classifier.weight.grad == 3.0).all()
    assert model.classifier.bias.grad is None
    assert (model.classifier.weight.requires_grad, model.classifier.bias.requires_grad) == (True, False)
    assert (model.training, model.dropout.training) == (True, False)


@pytest.mark.parametrize("method", METHODS)
def test_images_under_a_convolutional_model(foolbox, method):
    size = RESNET["kwargs"]
    model = load_model(
        "resnet", task="image-classification", num_labels=3, from_scratch=True, model_kwargs=size, seed=0
    ).eval()
    pixels = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(pixel_values=pixels).logits
        # an untrained network has a favourite class: level them
        model.classifier[1].bias -= logits.mean(dim=0)
        labels = model(pixel_values=pixels).logits.argmax(dim=1)
    distance = boundary_distance(
        model, TensorDataset({"pixel_values": pixels, "labels": labels}), method=method, n_steps=3
    )
    assert (distance > 0).all()
    assert (distance < torch.cdist(pixels.flatten(1), pixels.flatten(1)).max().item()).all()


def test_the_normal_of_a_plane_is_found_for_each_example_of_a_batch():
    """The estimate's cosine with the true normal approaches 1, and its norm is 1 in a batch of any size."""
    normal = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 3.0, 0.5]), dim=0)
    points = torch.full((6, 4), 0.5)
    estimate = BoundaryNormal(
        lambda probes, _: (probes - 0.5) @ normal > 0, torch.rand(6, 4), norm=2, seed=0, block_size=256
    ).estimate(points, 4000, torch.full((6,), 0.1))
    assert (estimate @ normal > 0.98).all()
    torch.testing.assert_close(estimate.norm(dim=1), torch.ones(6))


def test_token_numbers_are_refused():
    tokens = TensorDataset({"input_ids": torch.ones(2, 3, dtype=torch.long), "labels": torch.tensor([0, 1])})
    with pytest.raises(InputError, match=r"token numbers.*label_only_correct"):
        boundary_distance(torch.nn.Linear(1, 1), tokens)


def test_a_missing_foolbox_is_named_with_the_way_out(monkeypatch):
    model, dataset, _ = linear()
    monkeypatch.setitem(sys.modules, "foolbox", None)
    with pytest.raises(InputError, match=r'pip install "hf-privacy\[robust\]"'):
        boundary_distance(model, dataset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "boundary"}, "method is 'boundary'"),
        ({"norm": 1}, "norm is 1"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"bounds": (0, 1)}, r"bounds is \(0, 1\) and the inputs go from"),
        ({"bounds": (-np.inf, np.inf)}, "bounds is"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_bad_arguments_are_refused(foolbox, arguments, message):
    model, dataset, _ = linear()
    with pytest.raises(InputError, match=message):
        boundary_distance(model, dataset, **arguments)


def test_bad_data_is_refused(foolbox):
    model, dataset, _ = linear()
    inputs, labels = dataset.column("features"), dataset.column("labels")
    with pytest.raises(InputError, match="needs a labels column"):
        boundary_distance(model, TensorDataset({"features": inputs}))
    with pytest.raises(InputError, match="exactly one"):
        boundary_distance(model, TensorDataset({"features": inputs, "more": inputs, "labels": labels}))
    with pytest.raises(InputError, match="floating point"):
        boundary_distance(model, TensorDataset({"features": inputs.long(), "labels": labels}))
    with pytest.raises(InputError, match="NaN or infinite inputs"):
        boundary_distance(model, TensorDataset({"features": inputs / 0, "labels": labels}))
    with pytest.raises(InputError, match="dataset is empty"):
        boundary_distance(model, dataset.subset([]))


def test_a_model_that_predicts_one_class_has_no_boundary_to_measure(foolbox):
    model, dataset, _ = linear()
    model.classifier.bias.data[0] = 1e6
    with pytest.raises(InputError, match="predicts class 0 for all 24 examples"):
        boundary_distance(model, dataset)
