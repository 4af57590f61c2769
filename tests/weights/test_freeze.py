"""Frozen weights under plain PyTorch optimizers, and the peer's error they avoid."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hf_privacy.weights import FrozenWeights

OPTIMIZERS = {
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.1, weight_decay=0.5, amsgrad=True),
    "adam_l2": lambda weights: torch.optim.Adam(weights, lr=0.1, weight_decay=0.5),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.5),
    "nesterov": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda weights: torch.optim.RMSprop(weights, lr=0.1, momentum=0.9, centered=True),
    "adagrad": lambda weights: torch.optim.Adagrad(weights, lr=0.1, weight_decay=0.5),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def some_mask(net, share, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(p.shape, generator=generator) < share for name, p in net.named_parameters()}


def loss_of(net):
    x = torch.linspace(-1, 1, 24).view(6, 4)
    return nn.functional.cross_entropy(net(x), torch.tensor([0, 1, 0, 1, 1, 1]))


def bits(tensor):
    return tensor.detach().clone().contiguous().view(torch.uint8)


def train(net, optimizer, *, steps, frozen=None, only_gradients=None):
    for _ in range(steps):
        net.zero_grad()
        loss_of(net).backward()
        if only_gradients is not None:
            for name, parameter in net.named_parameters():
                parameter.grad.masked_fill_(only_gradients[name], 0.0)
        if frozen is not None:
            frozen.zero_gradients()
        optimizer.step()
        if frozen is not None:
            frozen.restore()
            frozen.clear_state(optimizer)


# 5 % are kept as a list of places, 60 % as a whole tensor.
@pytest.mark.parametrize("share", [0.05, 0.6])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_weights_keep_their_bits_after_steps_that_were_not_masked(name, share):
    net = network()
    optimizer = OPTIMIZERS[name](net.parameters())
    train(net, optimizer, steps=3)  # fills momentum and moments for all weights
    before = {key: parameter.detach().clone() for key, parameter in net.named_parameters()}
    mask = some_mask(net, share)
    frozen = FrozenWeights(net, mask)
    assert frozen.n_frozen == sum(int(selected.sum()) for selected in mask.values()) > 0
    train(net, optimizer, steps=4, frozen=frozen)
    for key, parameter in net.named_parameters():
        assert torch.equal(bits(parameter[mask[key]]), bits(before[key][mask[key]])), key
        assert (parameter.detach() != before[key])[~mask[key]].all(), key
        for state in optimizer.state[parameter].values():
            if state.shape == parameter.shape:
                assert not state[mask[key]].any()
    assert frozen.moved() == []


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_peer_error_salun_masking_gradients_alone_moves_frozen_weights(name):
    # SalUn multiplied the gradients with its mask and called optimizer.step(): fixed there in 2026.
    moved = {}
    for ours in (False, True):
        net = network()
        optimizer = OPTIMIZERS[name](net.parameters())
        train(net, optimizer, steps=1)
        mask = some_mask(net, 0.5)
        before = net[0].weight.detach().clone()
        if ours:
            train(net, optimizer, steps=1, frozen=FrozenWeights(net, mask))
        else:
            train(net, optimizer, steps=1, only_gradients=mask)
        moved[ours] = int((net[0].weight != before)[mask["0.weight"]].sum())
    assert moved[False] == int(mask["0.weight"].sum())
    assert moved[True] == 0


def test_the_other_weights_go_where_they_would_if_the_frozen_ones_had_no_gradient():
    # Freezing whole tensors must be what requires_grad=False is.
    ours, theirs = network(), network()
    mask = {"0.weight": torch.ones(8, 4, dtype=torch.bool), "0.bias": torch.ones(8, dtype=torch.bool)}
    train(ours, OPTIMIZERS["adamw"](ours.parameters()), steps=5, frozen=FrozenWeights(ours, mask))
    theirs[0].requires_grad_(False)
    train(theirs, OPTIMIZERS["adamw"](theirs[2].parameters()), steps=5)
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter, theirs.get_parameter(name)), name


def test_nan_and_minus_zero_keep_their_bits():
    net = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[float("nan"), -0.0], [1.0, 2.0]]))
    before = bits(net.weight)
    frozen = FrozenWeights(net, {"weight": torch.ones(2, 2, dtype=torch.bool)})
    net.weight.grad = torch.full((2, 2), float("inf"))
    frozen.zero_gradients()
    torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.1).step()
    assert frozen.moved() == ["weight"]
    frozen.restore()
    assert torch.equal(bits(net.weight), before)
    assert frozen.moved() == []


def test_the_step_counter_of_a_weight_without_dimensions_is_no_moment():
    net = nn.Module()
    net.scale = nn.Parameter(torch.tensor(2.0))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    frozen = FrozenWeights(net, {"scale": torch.tensor(True)})
    for _ in range(3):
        net.scale.grad = torch.tensor(1.0)
        optimizer.step()
        frozen.restore()
        frozen.clear_state(optimizer)
    assert net.scale.item() == 2.0
    assert optimizer.state[net.scale]["step"].item() == 3
    assert optimizer.state[net.scale]["exp_avg"].item() == 0.0


@pytest.mark.parametrize("share", [0.05, 0.6])
def test_channels_last_weights_are_held_too(share):
    net = nn.Conv2d(8, 8, 3, bias=False).to(memory_format=torch.channels_last)
    mask = some_mask(net, share)
    frozen, before = FrozenWeights(net, mask), net.weight.detach().clone()
    optimizer = OPTIMIZERS["adamw"](net.parameters())
    net(torch.randn(2, 8, 5, 5)).square().sum().backward()
    frozen.zero_gradients()
    assert torch.equal(net.weight.grad == 0, mask["weight"])
    optimizer.step()
    frozen.restore()
    frozen.clear_state(optimizer)
    assert torch.equal(net.weight == before, mask["weight"])
    assert torch.equal(optimizer.state[net.weight]["exp_avg"] == 0, mask["weight"])


def test_a_tied_weight_is_held_under_either_name():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    frozen = FrozenWeights(net, {"1.weight": torch.eye(3) > 0})
    before = net[0].weight.detach().clone()
    with torch.no_grad():
        net[0].weight.add_(1.0)
    frozen.restore()
    assert torch.equal(net[1].weight == before, torch.eye(3) > 0)


def test_the_digests_change_with_the_mask_and_with_the_values():
    net = network()
    first = FrozenWeights(net, some_mask(net, 0.5))
    same, other = FrozenWeights(net, some_mask(net, 0.5)), FrozenWeights(net, some_mask(net, 0.5, seed=2))
    assert (first.mask_sha256, first.values_sha256) == (same.mask_sha256, same.values_sha256)
    assert first.mask_sha256 != other.mask_sha256
    with torch.no_grad():
        net[0].weight.add_(1.0)
    moved = FrozenWeights(net, some_mask(net, 0.5))
    assert first.mask_sha256 == moved.mask_sha256
    assert first.values_sha256 != moved.values_sha256
