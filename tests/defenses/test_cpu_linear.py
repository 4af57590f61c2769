"""Linear layers by oneDNN: the same figures as torch's own, whatever the layer, and no trace when they are done."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hf_privacy.defenses.base import cpu_linear
from hf_privacy.defenses.base.cpu_linear import OneDNNLinear, linear_by_onednn

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")),
    reason="this torch has no oneDNN",
)


@pytest.fixture(autouse=True)
def by_onednn(monkeypatch):
    """Whatever the processor is."""
    monkeypatch.setattr(cpu_linear, "onednn_is_faster", lambda: True)


def outputs_and_gradients(layer, rows):
    rows = rows.clone().requires_grad_()
    result = layer(rows)
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result)
    trained = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    return result, *torch.autograd.grad((result * weights).sum(), [rows, *trained])


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (1, 7), (2, 1, 4, 7)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_outputs_and_gradients_are_those_of_the_layer(shape, bias, frozen):
    torch.manual_seed(0)
    layer, rows = nn.Linear(7, 4, bias=bias), torch.randn(shape)
    layer.weight.requires_grad_(not frozen)
    expected = outputs_and_gradients(layer, rows)
    with linear_by_onednn(layer):
        assert type(layer) is OneDNNLinear
        found = outputs_and_gradients(layer, rows)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_rows_that_lie_in_no_order_are_multiplied_as_they_read():
    torch.manual_seed(0)
    layer, rows = nn.Linear(6, 3), torch.randn(6, 5).t()
    expected = layer(rows)
    with linear_by_onednn(layer):
        torch.testing.assert_close(layer(rows), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(layer(rows[::2]), expected[::2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [torch.randn(3, 7, dtype=torch.float64), torch.randn(0, 7)], ids=["float64", "none"])
def test_what_it_is_not_made_for_goes_the_usual_way_to_the_bit(rows):
    layer = nn.Linear(7, 4).to(rows.dtype)
    expected = layer(rows)
    with linear_by_onednn(layer):
        assert torch.equal(layer(rows), expected)


def test_autocast_goes_the_usual_way():
    layer, rows = nn.Linear(7, 4), torch.randn(3, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16), linear_by_onednn(layer):
        assert layer(rows).dtype == torch.bfloat16


def test_a_gradient_can_be_differentiated_again():
    def second(layer, rows):
        rows = rows.clone().requires_grad_()
        (first,) = torch.autograd.grad(layer(rows).square().sum(), rows, create_graph=True)
        return torch.autograd.grad(first.square().sum(), [rows, layer.weight])

    torch.manual_seed(0)
    layer, rows = nn.Linear(7, 4), torch.randn(3, 7)
    expected = second(layer, rows)
    with linear_by_onednn(layer):
        found = second(layer, rows)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_layers_are_their_own_again_and_subclasses_always():
    class Own(nn.Linear):
        pass

    model, seen = nn.Sequential(nn.Linear(4, 4), Own(4, 4)), []

    def fail():
        with linear_by_onednn(model):
            seen.extend(type(layer) for layer in model)
            raise RuntimeError("a step failed")

    with pytest.raises(RuntimeError, match="a step failed"):
        fail()
    assert seen == [OneDNNLinear, Own]
    assert [type(layer) for layer in model] == [nn.Linear, Own]
