"""The state a model runs in: its modes come back, and float32 means float32 whatever stands around it."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from transformers import AutoModelForImageClassification, ResNetConfig

from hf_privacy.launch import leave_process_group
from hf_privacy.models import (
    TabularMLPConfig,
    TabularMLPForClassification,
    bare_model,
    evaluation_mode,
    float32_logits,
)

FEATURES = torch.linspace(-1, 1, 24).reshape(4, 6)


@pytest.fixture
def model() -> TabularMLPForClassification:
    torch.manual_seed(0)
    return TabularMLPForClassification(
        TabularMLPConfig(input_size=6, hidden_sizes=[8], num_labels=3, dropout=0.5)
    ).train()


@pytest.fixture
def expected(model) -> torch.Tensor:
    with evaluation_mode(model):
        return model(features=FEATURES).logits.detach()


@pytest.fixture
def bfloat16_accelerator():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True, mixed_precision="bf16")
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def one_process_group():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    leave_process_group()


def logits_of(model) -> torch.Tensor:
    with float32_logits(model) as function:
        return function({"features": FEATURES})


def test_logits_are_those_of_evaluation_mode_and_modes_come_back(model, expected):
    model.dropout.eval()
    modes = [module.training for module in model.modules()]
    assert torch.equal(logits_of(model), expected)
    assert [module.training for module in model.modules()] == modes


def test_modes_come_back_after_an_error(model):
    with pytest.raises(KeyError), float32_logits(model):
        raise KeyError
    assert model.training


def test_autocast_of_the_caller_is_off_inside_and_on_again_after(model, expected):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not torch.equal(model.eval()(features=FEATURES).logits, expected)
        assert torch.equal(logits_of(model), expected)
        assert torch.is_autocast_enabled("cpu")


def test_autocast_that_accelerate_built_into_forward_is_off_inside_and_on_again_after(
    model, expected, bfloat16_accelerator
):
    """Disabling autocast around the call does not reach the one inside ``model.forward``."""
    model.eval()
    prepared = bfloat16_accelerator.prepare_model(model)
    mixed = prepared(features=FEATURES).logits
    assert not torch.equal(mixed, expected)
    assert torch.equal(logits_of(prepared), expected)
    assert torch.equal(prepared(features=FEATURES).logits, mixed)


def test_weights_in_half_precision_are_seen_in_float32_and_left_as_they_are(model):
    model.bfloat16()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rounded = TabularMLPForClassification(model.config).eval()
    rounded.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    torch.testing.assert_close(logits_of(model), rounded(features=FEATURES).logits, rtol=0, atol=1e-6)
    assert all(
        tensor.dtype == torch.bfloat16 and torch.equal(tensor, weights[name])
        for name, tensor in model.state_dict().items()
    )


def test_a_step_below_the_rounding_of_half_precision_changes_the_logits(model):
    model.bfloat16()
    with float32_logits(model) as function:
        assert not torch.equal(function({"features": FEATURES}), function({"features": FEATURES + 1e-5}))


def test_half_precision_statistics_of_batch_normalisation_are_seen_in_float32_and_not_moved():
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], layer_type="basic", num_channels=1)
    model = AutoModelForImageClassification.from_config(config).half().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with float32_logits(model) as function:
        assert function({"pixel_values": torch.rand(2, 1, 8, 8)}).dtype == torch.float32
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_of_inputs_are_recorded_wherever_it_is_called(model, mode):
    points = FEATURES.clone().requires_grad_(True)
    with mode(), float32_logits(model) as function:
        (gradient,) = torch.autograd.grad(function({"features": points}).sum(), points)
    assert gradient.abs().sum() > 0


def test_distributed_and_compiled_models_are_called_bare(model, expected, one_process_group):
    distributed = nn.parallel.DistributedDataParallel(model)
    for wrapped in (distributed, torch.compile(model), torch.compile(distributed), nn.DataParallel(model)):
        assert bare_model(wrapped) is model
        assert torch.equal(logits_of(wrapped), expected)
    assert model.training
    assert distributed.training


def test_a_bare_model_is_itself(model):
    assert bare_model(model) is model
