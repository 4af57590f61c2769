"""input_curvature: closed forms, brute force, the papers' formulas, and agreement of its methods."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import ImageClassifierOutput

from hf_privacy.adversarial import PixelSpace
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.signals import input_curvature
from hf_privacy.signals.curvature_estimators import by_hessian_products
from hf_privacy.signals.curvature_model import cross_entropies
from hf_privacy.signals.curvature_vectors import random_vectors

D, C = 5, 3
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 1])


class ImageModel(nn.Module):
    """Any layers, with the output of a transformers model."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, pixel_values: torch.Tensor) -> ImageClassifierOutput:
        return ImageClassifierOutput(logits=self.layers(pixel_values))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int = len(LABELS), *, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, D, generator=seeded(seed), dtype=torch.float64)


def mlp(hidden_sizes=(), *, activation: str = "gelu") -> TabularMLPForClassification:
    torch.manual_seed(0)
    config = TabularMLPConfig(input_size=D, hidden_sizes=hidden_sizes, num_labels=C, activation=activation)
    model = TabularMLPForClassification(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def image_model(kind: str) -> tuple[ImageModel, torch.Tensor]:
    torch.manual_seed(0)
    activation = nn.ReLU(inplace=True) if kind == "relu" else nn.GELU()
    norm = nn.BatchNorm2d(4) if kind == "batch_norm" else nn.Identity()
    model = ImageModel(
        nn.Conv2d(2, 4, 3), norm, activation, nn.Conv2d(4, 4, 3), activation, nn.Flatten(), nn.Linear(16, C)
    ).double()
    images = torch.randn(len(LABELS), 2, 6, 6, generator=seeded(2), dtype=torch.float64)
    if kind == "batch_norm":
        model(3 * images + 1)  # running statistics that are not 0 and 1
    return model.eval(), images


def hessians_of_softmax_linear(model: TabularMLPForClassification, x: torch.Tensor) -> torch.Tensor:
    """Wᵀ(diag p − ppᵀ)W for each example."""
    weight = model.classifier.weight.detach()
    p = torch.softmax(model(features=x).logits.detach(), dim=1)
    return torch.stack([weight.T @ (torch.diag(row) - torch.outer(row, row)) @ weight for row in p])


def hessians_by_autograd(model: nn.Module, column: str, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    def loss(row: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return cross_entropy(model(**{column: row[None]}).logits, label[None])

    found = [
        torch.autograd.functional.hessian(lambda r, y=y: loss(r, y), row) for row, y in zip(x, labels, strict=True)
    ]
    return torch.stack(found).reshape(len(x), x[0].numel(), x[0].numel())


def drawn(x: torch.Tensor, n: int, seed: int = 0) -> list[torch.Tensor]:
    """The vectors that input_curvature draws, flattened."""
    vectors = random_vectors(x, None, n=n, generator=seeded(seed))
    return [vectors(k, slice(0, 1))[0].flatten() for k in range(n)]


SIGNS = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=D)), dtype=torch.float64)


@pytest.mark.parametrize(("method", "h"), [("hvp", 1e-3), ("finite_difference", 1e-6)])
def test_softmax_linear_closed_form_within_sampling_error(method, h):
    """tr(H) and tr(H²) = ‖H‖²_F of H = Wᵀ(diag p − ppᵀ)W; E‖Hv‖ and every spread by all 2⁵ sign vectors."""
    model, x, n = mlp(), rows(), 1000
    found = input_curvature(model, x, LABELS, n_vectors=n, h=h, method=method, generator=seeded())
    for i, hessian in enumerate(hessians_of_softmax_linear(model, x)):
        products = SIGNS @ hessian
        spread = {
            "trace": (SIGNS * products).sum(1),
            "squared_norm": products.square().sum(1),
            "norm": products.norm(dim=1),
        }
        expected = {
            "trace": torch.trace(hessian),
            "squared_norm": torch.trace(hessian @ hessian),
            "norm": spread["norm"].mean(),
        }
        assert math.isclose(expected["squared_norm"], torch.linalg.matrix_norm(hessian).square(), rel_tol=1e-9)
        assert found["norm"][i] <= torch.linalg.matrix_norm(hessian) + 4 * spread["norm"].std() / math.sqrt(n)
        for name, values in spread.items():
            error = abs(found[name][i] - expected[name])
            assert error < 4 * values.std(correction=0) / math.sqrt(n) + 1e-4 * expected[name], name


def test_softmax_linear_closed_form_by_zero_order_within_sampling_error():
    """Mean (vᵀHu)² → ‖H‖²_F = tr(H²), mean |vᵀHu| → its mean over all 2⁵ × 2⁵ pairs."""
    model, x, n = mlp(), rows(), 1000
    found = input_curvature(model, x, LABELS, n_vectors=n, h=1e-3, method="zero_order", generator=seeded())
    assert set(found) == {"zero_order", "squared_norm"}
    for i, hessian in enumerate(hessians_of_softmax_linear(model, x)):
        products = (SIGNS @ hessian @ SIGNS.T).flatten()
        assert math.isclose(products.square().mean(), torch.trace(hessian @ hessian), rel_tol=1e-9)
        for name, values in {"zero_order": products.abs(), "squared_norm": products.square()}.items():
            error = abs(found[name][i] - values.mean())
            assert error < 4 * values.std(correction=0) / math.sqrt(n) + 1e-4 * values.mean(), name


@pytest.mark.parametrize(("method", "h", "rtol"), [("hvp", 1e-3, 1e-9), ("finite_difference", 1e-6, 1e-4)])
def test_every_value_is_that_of_the_full_hessian_for_the_vectors_drawn(method, h, rtol):
    model, x, n = mlp((8,)), rows(), 3
    found = input_curvature(model, x, LABELS, n_vectors=n, h=h, method=method, generator=seeded(4))
    hessians = hessians_by_autograd(model, "features", x, LABELS)
    products = [(v, hessians @ v) for v in drawn(x, n, seed=4)]
    expected = {
        "trace": sum(hv @ v for v, hv in products) / n,
        "squared_norm": sum(hv.square().sum(1) for _, hv in products) / n,
        "norm": sum(hv.norm(dim=1) for _, hv in products) / n,
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=rtol, atol=rtol)


def test_zero_order_is_that_of_the_full_hessian_for_the_pairs_drawn():
    model, x, n = mlp((8,)), rows(), 3
    found = input_curvature(model, x, LABELS, n_vectors=n, h=1e-3, method="zero_order", generator=seeded(4))
    hessians = hessians_by_autograd(model, "features", x, LABELS)
    vectors = drawn(x, 2 * n, seed=4)
    expected = sum((hessians @ vectors[2 * k] @ vectors[2 * k + 1]).abs() for k in range(n)) / n
    torch.testing.assert_close(found["zero_order"], expected, rtol=1e-4, atol=1e-4)


def test_the_papers_finite_difference_estimator_is_h_squared_times_ours():
    """Mean ‖∇ℓ(x+hv) − ∇ℓ(x)‖² (arXiv 2402.18726), by a loop over examples and vectors."""
    model, x, n, h = mlp((8,)), rows(), 4, 1e-2

    def gradient(row: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        row = row.clone().requires_grad_()
        return torch.autograd.grad(cross_entropy(model(features=row[None]).logits, label[None]), row)[0]

    paper = [
        np.mean([float((gradient(row + h * v, y) - gradient(row, y)).square().sum()) for v in drawn(x, n)])
        for row, y in zip(x, LABELS, strict=True)
    ]
    found = input_curvature(model, x, LABELS, n_vectors=n, h=h, method="finite_difference", generator=seeded())
    np.testing.assert_allclose(h**2 * found["squared_norm"].numpy(), paper, rtol=1e-8)


def test_the_papers_zero_order_estimator_is_h_times_ours():
    """Mean |ℓ(x+hv+hu) − ℓ(x−hv+hu) − ℓ(x+hv−hu) + ℓ(x−hv−hu)|/4h (arXiv 2407.02747), by a loop."""
    model, x, n, h = mlp((8,)), rows(), 4, 1e-2
    vectors = drawn(x, 2 * n)

    def loss(row: torch.Tensor, y: torch.Tensor) -> float:
        return cross_entropy(model(features=row[None]).logits, y[None]).item()

    paper = []
    for x_i, y in zip(x, LABELS, strict=True):
        values = [
            loss(x_i + h * v + h * u, y)
            - loss(x_i - h * v + h * u, y)
            - loss(x_i + h * v - h * u, y)
            + loss(x_i - h * v - h * u, y)
            for v, u in zip(vectors[::2], vectors[1::2], strict=True)
        ]
        paper.append(np.mean(np.abs(values)) / (4 * h))
    found = input_curvature(model, x, LABELS, n_vectors=n, h=h, method="zero_order", generator=seeded())
    np.testing.assert_allclose(h * found["zero_order"].numpy(), paper, rtol=1e-6)


@pytest.mark.parametrize("kind", ["relu", "gelu", "batch_norm"])
def test_hessian_products_and_finite_differences_agree(kind):
    """ReLU: with a step so small that no kink is crossed."""
    model, x = image_model(kind)
    exact = input_curvature(model, x, LABELS, n_vectors=4, generator=seeded())
    differences = input_curvature(
        model, x, LABELS, n_vectors=4, h=1e-7, method="finite_difference", generator=seeded()
    )
    for name, value in exact.items():
        assert (value.abs() > 1e-6).all()
        torch.testing.assert_close(differences[name], value, rtol=1e-4, atol=1e-7)


def test_differences_across_a_relu_kink_see_the_jump_of_the_gradient_and_hessian_products_do_not():
    """One hidden unit ReLU(x₁) of logit weight w at x₁ = h/10: half of the vectors lead across, where ∇ℓ is 0."""
    model = mlp((1,), activation="relu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.layers[0].weight[0, 0] = 1.0
        model.classifier.weight[0, 0] = w = 2.0
    h, x = 1e-3, torch.zeros(1, D, dtype=torch.float64)
    x[0, 0] = h / 10
    p = torch.softmax(torch.tensor([w * h / 10, 0.0, 0.0], dtype=torch.float64), 0)[0]
    exact = input_curvature(model, x, LABELS[:1], n_vectors=50, generator=seeded())
    torch.testing.assert_close(exact["norm"], (w**2 * p * (1 - p))[None])
    crossing = sum(v[0] < 0 for v in drawn(x, 50)) / 50
    found = input_curvature(model, x, LABELS[:1], n_vectors=50, h=h, method="finite_difference", generator=seeded())
    jump = w * (1 - p) / h
    torch.testing.assert_close(found["norm"], (crossing * jump + (1 - crossing) * exact["norm"]), rtol=1e-3, atol=0)


@pytest.mark.parametrize("part_size", [1, 3, 7])
def test_the_parts_a_batch_is_taken_in_change_nothing(part_size):
    model, x = mlp((8,)), rows()
    vectors = random_vectors(x, None, n=3, generator=seeded())

    def losses(points: torch.Tensor, part: slice) -> torch.Tensor:
        return cross_entropies(model(features=points).logits, LABELS[part])

    found = by_hessian_products(losses, x, vectors, 3, part_size=part_size)
    expected = input_curvature(model, x, LABELS, n_vectors=3, generator=seeded())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12)


def test_in_float32_every_method_is_near_the_float64_value():
    """Finite differences at the paper's step, zero order at 1e-2: what rounding leaves of them."""
    model, x = image_model("gelu")
    steps = {"hvp": (1e-3, 1e-4), "finite_difference": (1e-3, 0.02), "zero_order": (1e-2, 0.05)}
    for method, (h, rtol) in steps.items():
        precise = input_curvature(model.double(), x, LABELS, n_vectors=8, h=h, method=method, generator=seeded())
        rounded = input_curvature(
            model.float(), x.float(), LABELS, n_vectors=8, h=h, method=method, generator=seeded()
        )
        largest = float(precise["squared_norm"].max())
        torch.testing.assert_close(
            rounded["squared_norm"], precise["squared_norm"], rtol=rtol, atol=rtol * largest, msg=method
        )


def test_a_sure_model_keeps_its_curvature_where_softmax_rounds_to_1():
    """Two classes, logits (m, 0): H = p(1 − p) wwᵀ, down to p(1 − p) = e⁻⁶⁰ in float32."""
    config = TabularMLPConfig(input_size=D, hidden_sizes=[], num_labels=2)
    model = TabularMLPForClassification(config).eval()
    margins = torch.tensor([5.0, 15.0, 40.0, 60.0, -15.0])
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.weight[0, 0] = 1.0
        model.classifier.bias.zero_()
    x = torch.zeros(len(margins), D)
    x[:, 0] = margins
    p = torch.sigmoid(-margins.double())
    expected = p * torch.sigmoid(margins.double())
    found = input_curvature(model, x, torch.zeros(len(margins), dtype=torch.long), generator=seeded())
    torch.testing.assert_close(found["norm"], expected, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(found["squared_norm"], expected.square(), rtol=1e-5, atol=0.0)


def test_peer_error_the_true_class_counts_not_the_one_the_model_prefers():
    model, x = mlp((8,)), rows()
    preferred = model(features=x).logits.argmax(1)
    wrong = (preferred + 1) % C
    found = input_curvature(model, x, wrong, n_vectors=2, generator=seeded())
    hessians = hessians_by_autograd(model, "features", x, wrong)
    expected = sum((hessians @ v).norm(dim=1) for v in drawn(x, 2)) / 2
    torch.testing.assert_close(found["norm"], expected)
    assert not torch.allclose(found["norm"], input_curvature(model, x, preferred, generator=seeded())["norm"])


def test_curvature_in_pixels_of_0_to_1_is_that_of_normalised_pixels_over_the_squared_deviation():
    model, images = image_model("gelu")
    space = PixelSpace(mean=(0.5, 0.5), std=(0.25, 0.25))
    images = images.clamp(-1.9, 1.9)
    given = input_curvature(model, images, LABELS, n_vectors=3, generator=seeded())
    pixels = input_curvature(model, {"pixel_values": images}, LABELS, n_vectors=3, generator=seeded(), space=space)
    torch.testing.assert_close(pixels["trace"], given["trace"] / 0.25**2, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(pixels["squared_norm"], given["squared_norm"] / 0.25**4, rtol=1e-5, atol=1e-6)
