"""input_curvature and compute_curvature: any batch, order and kind of model, and nothing left behind."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification, attach_lora, load_model
from hf_privacy.signals import Curvature, compute_curvature, input_curvature
from hf_privacy.signals.curvature_vectors import random_vectors

METHODS = ("hvp", "finite_difference", "zero_order")
STEPS = {"hvp": 1e-3, "finite_difference": 1e-3, "zero_order": 1e-2}
SIZE = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "num_labels": 3}
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 1])
N = len(LABELS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mlp(dropout: float = 0.0) -> TabularMLPForClassification:
    torch.manual_seed(0)
    config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3, activation="gelu", dropout=dropout)
    return TabularMLPForClassification(config).eval()


def table() -> torch.Tensor:
    return torch.randn(N, 4, generator=seeded(1))


def images(channels: int = 3, side: int = 16) -> torch.Tensor:
    return torch.randn(N, channels, side, side, generator=seeded(1))


def vit() -> ViTForImageClassification:
    torch.manual_seed(0)
    return ViTForImageClassification(ViTConfig(image_size=16, patch_size=8, initializer_range=0.2, **SIZE)).eval()


def bert() -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(vocab_size=30, initializer_range=0.2, **SIZE)).eval()


def resnet() -> PreTrainedModel:
    size = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    model = load_model(
        "resnet", task="image-classification", num_labels=3, from_scratch=True, model_kwargs=size, seed=0
    )
    model.train()(pixel_values=3 * images() + 1)  # running statistics
    return model.eval()


def texts() -> dict[str, torch.Tensor]:
    generator = np.random.default_rng(0)
    tokens = np.zeros((N, 9), dtype=np.int64)
    for row, length in enumerate([9, 2, 5, 1, 7, 4, 3]):
        tokens[row, :length] = generator.integers(5, 30, length)
    ids = torch.from_numpy(tokens)
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


MODELS = {
    "tabular MLP": (mlp, lambda: {"features": table()}),
    "ResNet": (resnet, lambda: {"pixel_values": images()}),
    "ViT": (vit, lambda: {"pixel_values": images()}),
    "BERT": (bert, texts),
}


def taken(inputs: dict[str, torch.Tensor], rows) -> dict[str, torch.Tensor]:
    return {name: tensor[rows] for name, tensor in inputs.items()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_peer_error_batch_mean_a_value_depends_on_neither_batch_mates_nor_their_order(name, method):
    build, data = MODELS[name]
    model, inputs = build().double(), data()  # rounding of other batch shapes must not hide a dependence
    settings = {"n_vectors": 2, "method": method, "h": STEPS[method]}
    whole = input_curvature(model, inputs, LABELS, generator=seeded(), **settings)
    order = torch.tensor([4, 0, 6, 2, 5, 1, 3])
    shuffled = input_curvature(model, taken(inputs, order), LABELS[order], generator=seeded(), **settings)
    alone = input_curvature(model, taken(inputs, slice(2, 3)), LABELS[2:3], generator=seeded(), **settings)
    for key, value in whole.items():
        assert value.shape == (N,)
        assert value.dtype == torch.float64
        torch.testing.assert_close(shuffled[key], value[order], rtol=1e-5, atol=1e-8)
        torch.testing.assert_close(alone[key], value[2:3], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["ResNet", "ViT", "BERT"])
def test_hessian_products_equal_finite_differences_for_every_kind_of_model(name):
    """ViT and BERT attend by kernels that have no second derivative: these are not used."""
    build, data = MODELS[name]
    model, inputs = build().double(), data()
    exact = input_curvature(model, inputs, LABELS, n_vectors=3, generator=seeded())
    differences = input_curvature(
        model, inputs, LABELS, n_vectors=3, h=1e-7, method="finite_difference", generator=seeded()
    )
    for key, value in exact.items():
        torch.testing.assert_close(differences[key], value, rtol=1e-3, atol=1e-5 * float(value.abs().max()))


@pytest.mark.parametrize(("name", "targets"), [("ViT", "all-linear"), ("BERT", ["query", "value"])])
def test_under_lora_curvature_is_that_of_the_merged_model(name, targets):
    build, data = MODELS[name]
    task = "image-classification" if name == "ViT" else "text-classification"
    adapted = attach_lora(build(), {"r": 2, "target_modules": targets}, task=task).eval()
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=seeded(3)))
    flags = [parameter.requires_grad for parameter in adapted.parameters()]
    found = input_curvature(adapted, data(), LABELS, n_vectors=2, generator=seeded())
    assert [parameter.requires_grad for parameter in adapted.parameters()] == flags
    merged = input_curvature(
        copy.deepcopy(adapted).merge_and_unload(), data(), LABELS, n_vectors=2, generator=seeded()
    )
    torch.testing.assert_close(found["squared_norm"], merged["squared_norm"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_text_does_not_depend_on_its_padding(method):
    """Nor does its padding move: vectors are 0 there, and start at the first word."""
    model, inputs = bert().double(), texts()
    short = taken(inputs, slice(5, 6))
    trimmed = {name: tensor[:, :4] for name, tensor in short.items()}
    settings = {"n_vectors": 3, "method": method, "h": STEPS[method]}
    padded = input_curvature(model, short, LABELS[5:6], generator=seeded(), **settings)
    bare = input_curvature(model, trimmed, LABELS[5:6], generator=seeded(), **settings)
    for key, value in bare.items():
        torch.testing.assert_close(padded[key], value, rtol=1e-5, atol=1e-9)


def test_vectors_are_signs_that_start_at_the_first_word_on_either_side_of_the_padding():
    mask = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]).bool()[:, :, None]
    vectors = random_vectors(torch.zeros(3, 5, 64), mask, n=40, generator=seeded())
    longer = random_vectors(torch.zeros(1, 9, 64), None, n=40, generator=seeded())
    total = torch.zeros(5, 64)
    for k in range(40):
        right, left, full = vectors(k, slice(0, 3))
        assert torch.equal(right[:3], full[:3])
        assert torch.equal(left[2:], full[:3])
        assert not right[3:].any()
        assert not left[:2].any()
        assert torch.equal(full, longer(k, slice(0, 1))[0, :5])
        assert set(full.unique().tolist()) == {-1.0, 1.0}
        total += full
    assert total.mean().abs() < 4 * (40 / (5 * 64)) ** 0.5  # both signs alike


@pytest.mark.parametrize("method", METHODS)
def test_the_generator_decides_the_values_and_the_global_one_is_left_alone(method):
    model, x = mlp(), table()
    settings = {"n_vectors": 2, "method": method, "h": STEPS[method]}
    before = torch.get_rng_state()
    first = input_curvature(model, x, LABELS, generator=seeded(7), **settings)
    assert torch.equal(torch.get_rng_state(), before)
    again = input_curvature(model, x, LABELS, generator=seeded(7), **settings)
    other = input_curvature(model, x, LABELS, generator=seeded(8), **settings)
    for key, value in first.items():
        assert torch.equal(again[key], value)
        assert not torch.equal(other[key], value)
    torch.manual_seed(5)
    by_global = input_curvature(model, x, LABELS, **settings)
    torch.manual_seed(5)
    assert torch.equal(input_curvature(model, x, LABELS, **settings)["squared_norm"], by_global["squared_norm"])


def test_parameters_keep_gradients_and_flags_and_precision_its_settings():
    model, x = mlp(), table()
    model.layers[0].weight.requires_grad_(False)
    model.classifier.weight.grad = torch.ones_like(model.classifier.weight)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        input_curvature(model, x, LABELS, n_vectors=2)
        with pytest.raises(InputError):
            input_curvature(model, x, LABELS + 5, n_vectors=2)
        assert torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    assert torch.equal(model.classifier.weight.grad, torch.ones_like(model.classifier.weight))
    assert all(p.grad is None for name, p in model.named_parameters() if name != "classifier.weight")
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]


@pytest.mark.parametrize("method", METHODS)
def test_inside_inference_mode_and_autocast_the_values_are_the_same(method):
    model, x = mlp(), table()
    settings = {"n_vectors": 2, "method": method, "h": STEPS[method]}
    expected = input_curvature(model, x, LABELS, generator=seeded(), **settings)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = input_curvature(model, {"features": x.clone()}, LABELS.clone(), generator=seeded(), **settings)
    for key, value in expected.items():
        assert torch.equal(found[key], value)


def test_a_model_in_bfloat16_is_computed_in_float32():
    model, x = mlp().bfloat16(), table().bfloat16()
    found = input_curvature(model, x, LABELS, n_vectors=2, method="finite_difference", generator=seeded())
    exact = input_curvature(copy.deepcopy(model).double(), x.double(), LABELS, n_vectors=2, generator=seeded())
    torch.testing.assert_close(found["squared_norm"], exact["squared_norm"], rtol=0.02, atol=1e-4)
    assert model.classifier.weight.dtype == torch.bfloat16


class OnlyFirstDerivative(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, gradient):
        return 3 * context.saved_tensors[0] ** 2 * gradient


class Custom(nn.Module):
    """A classifier of features through any function."""

    def __init__(self, function) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function, self.layer = function, nn.Linear(4, 3)

    def forward(self, features: torch.Tensor) -> SequenceClassifierOutput:
        return SequenceClassifierOutput(logits=self.layer(self.function(features)))


@pytest.mark.parametrize("path", ["alone", "beside another"])
def test_a_model_without_second_derivative_is_refused_by_hvp_and_served_by_finite_differences(path):
    """PyTorch itself drops the share of such a function without a word."""
    around = (lambda x: 0.0) if path == "alone" else torch.sin
    model = Custom(lambda x: OnlyFirstDerivative.apply(x) + around(x)).double().eval()
    twice = Custom(lambda x: x**3 + around(x)).double().eval()
    x = table().double()
    with pytest.raises(InputError, match="without second derivative"):
        input_curvature(model, x, LABELS)
    settings = {"n_vectors": 2, "h": 1e-6, "method": "finite_difference"}
    found = input_curvature(model, x, LABELS, generator=seeded(), **settings)
    expected = input_curvature(twice, x, LABELS, n_vectors=2, generator=seeded())
    torch.testing.assert_close(found["squared_norm"], expected["squared_norm"], rtol=1e-3, atol=1e-6)


def test_attention_by_a_fused_kernel_of_its_own_choice_is_refused_by_hvp():
    """A model that insists on a kernel without second derivative."""

    def fused(x: torch.Tensor) -> torch.Tensor:
        heads = x[:, None, :, None].expand(-1, 1, -1, 8).contiguous()
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return scaled_dot_product_attention(heads, heads, heads)[:, 0, :, 0]

    with pytest.raises(InputError, match=r"without second derivative.*is not implemented.*finite_difference"):
        input_curvature(Custom(fused).eval(), table(), LABELS)


def test_a_black_box_without_gradients_is_served_by_zero_order_only():
    def black_box(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(x.detach().numpy() ** 3)

    model, x = Custom(black_box).double().eval(), table().double()
    found = input_curvature(model, x, LABELS, n_vectors=2, method="zero_order", generator=seeded())
    open_box = Custom(lambda x: x**3).double().eval()
    expected = input_curvature(open_box, x, LABELS, n_vectors=2, method="zero_order", generator=seeded())
    torch.testing.assert_close(found["zero_order"], expected["zero_order"])
    model.layer.requires_grad_(False)
    for method in ("hvp", "finite_difference"):
        with pytest.raises(InputError, match="does not depend on its inputs by differentiable"):
            input_curvature(model, x, LABELS, method=method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["tabular MLP", "BERT"])
def test_compute_curvature_depends_on_neither_order_nor_batch_size(name, method):
    build, data = MODELS[name]
    model, inputs = build().double(), data()
    columns = list(inputs) if name == "BERT" else None
    dataset = TensorDataset({**inputs, "labels": LABELS}, sequence_columns=columns or ())
    curvature = Curvature(method=method, n_vectors=2, h=STEPS[method], seed=3)
    whole = compute_curvature(model, dataset, curvature=curvature)
    order = np.random.default_rng(0).permutation(N)
    parts = compute_curvature(
        model, dataset.subset(order), curvature=curvature, batch_size=3, accelerator=Accelerator(cpu=True)
    )
    direct = input_curvature(model, inputs, LABELS, n_vectors=2, h=STEPS[method], method=method, generator=seeded(3))
    assert set(whole) == set(direct)
    for key, value in whole.items():
        assert value.dtype == np.float64
        np.testing.assert_allclose(parts[key], value[order], rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(direct[key].numpy(), value, rtol=1e-5, atol=1e-8)


def test_compute_curvature_puts_a_training_model_in_evaluation_mode_and_back():
    model = mlp(dropout=0.5)
    dataset = TensorDataset({"features": table(), "labels": LABELS})
    expected = compute_curvature(model, dataset, curvature=Curvature(n_vectors=2))
    model.train()
    model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    found = compute_curvature(model, dataset, curvature=Curvature(n_vectors=2))
    np.testing.assert_array_equal(found["trace"], expected["trace"])
    assert [module.training for module in model.modules()] == modes


def test_compute_curvature_leaves_training_augmentation_out():
    model = vit()
    dataset = TensorDataset({"pixel_values": images(), "labels": LABELS})
    augmented = dataset.with_augmentation(lambda pixels: pixels * 0)
    expected = compute_curvature(model, dataset, curvature=Curvature(n_vectors=1))
    np.testing.assert_array_equal(
        compute_curvature(model, augmented, curvature=Curvature(n_vectors=1))["norm"], expected["norm"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": torch.ones(N, 4, dtype=torch.long)}, "token numbers.*input_ids"),
        (
            {"inputs": {"pixel_values": torch.ones(N, 3, 4, 4, dtype=torch.uint8)}},
            "pixel_values has dtype torch.uint8",
        ),
        ({"inputs": torch.ones(N)}, "inputs has the shape"),
        ({"inputs": {"attention_mask": torch.ones(N, 4)}}, "inputs has attention_mask"),
        ({"labels": None}, "labels is None"),
        ({"labels": LABELS[:3]}, r"labels has shape \[3\] for 7"),
        ({"labels": LABELS.float()}, "labels has dtype torch.float32"),
        ({"labels": LABELS + 1}, "labels has the class 3 and the model has 3"),
        ({"labels": LABELS - 1}, "labels has the class -1 and the model has 3"),
        ({"inputs": torch.ones(0, 4), "labels": LABELS[:0]}, "at least one example"),
        ({"n_vectors": 0}, "n_vectors is 0"),
        ({"n_vectors": 2.5}, "n_vectors is 2.5"),
        ({"method": "hutchinson"}, "method is 'hutchinson'"),
        ({"h": 0.0}, "h is 0"),
        ({"h": float("nan")}, "h is nan"),
        ({"h": 1e-5, "method": "finite_difference"}, "h is 1e-05, too small for finite_difference in float32"),
        ({"method": "zero_order"}, r"h is 0.001, too small for zero_order in float32.*pass h=0.0093 or more"),
        ({"inputs": torch.full((N, 4), 1e4), "method": "finite_difference"}, r"inputs up to 1e\+04"),
        ({"inputs": torch.full((N, 4), float("nan"))}, "not finite"),
    ],
)
def test_bad_input_is_refused_with_its_name(change, message):
    arguments = {"inputs": table(), "labels": LABELS, **change}
    with pytest.raises(InputError, match=message):
        input_curvature(mlp(), **arguments)


def test_the_step_a_refusal_advises_is_accepted():
    for method, h in (("finite_difference", 3.5e-4), ("zero_order", 0.0093)):
        input_curvature(mlp(), table(), LABELS, method=method, h=h)


def test_a_step_too_small_for_float64_is_refused_too():
    with pytest.raises(InputError, match="too small for finite_difference in float64"):
        input_curvature(mlp().double(), table(), LABELS, method="finite_difference", h=1e-9)


def test_a_model_in_training_mode_is_refused_even_in_a_part_of_it():
    model = mlp(dropout=0.5)
    model.dropout.train()
    with pytest.raises(InputError, match=r"training mode \(dropout\).*model.eval\(\)"):
        input_curvature(model, table(), LABELS)
    with pytest.raises(InputError, match=r"training mode \(the model itself\)"):
        input_curvature(model.train(), table(), LABELS)


@pytest.mark.parametrize(
    "settings", [{"n_vectors": 0}, {"method": "exact"}, {"h": -1.0}, {"n_vectors": True}, {"seed": -1}]
)
def test_settings_that_cannot_be_are_refused_before_any_work(settings):
    with pytest.raises(InputError, match=f"{next(iter(settings))} is"):
        Curvature(**settings)


def test_a_dataset_without_labels_or_another_kind_of_settings_is_refused():
    with pytest.raises(InputError, match="needs a labels column"):
        compute_curvature(mlp(), TensorDataset({"features": table()}), curvature=Curvature())
    with pytest.raises(InputError, match="curvature is 10"):
        compute_curvature(mlp(), TensorDataset({"features": table(), "labels": LABELS}), curvature=10)
