"""Edits: masked entries get their new values, all others keep their bits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hf_privacy.errors import InputError
from hf_privacy.weights import dampen, perturb, reinitialise, rewind, zero


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def other_state(net):
    return {name: torch.randn_like(tensor) for name, tensor in net.state_dict().items()}


EDITS = {
    "rewind": lambda net, mask: rewind(net, mask, other_state(net)),
    "zero": zero,
    "reinitialise": lambda net, mask: reinitialise(net, mask, generator=seeded()),
    "reinitialise with std": lambda net, mask: reinitialise(net, mask, std=0.02, generator=seeded()),
    "perturb": lambda net, mask: perturb(net, mask, sigma=1.0, generator=seeded()),
    "perturb each": lambda net, mask: perturb(
        net, mask, sigma={name: torch.full(selected.shape, 0.5) for name, selected in mask.items()}
    ),
    "dampen": lambda net, mask: dampen(
        net, mask, {name: torch.full(selected.shape, 0.5) for name, selected in mask.items()}
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_masked_entries_change_and_all_others_keep_their_bits(edit, dtype):
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 6)).to(dtype)
    net = net.to(memory_format=torch.channels_last)  # strides that a flat view cannot have
    with torch.no_grad():
        net[2].bias[:2] = torch.tensor([-0.0, float("nan")])  # bits that a sum with zero would lose
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    mask = {name: torch.rand(before[name].shape, generator=seeded(1)) < 0.4 for name in ("0.weight", "2.weight")}
    mask["2.bias"] = torch.tensor([False, False, True, False, True, True])
    if edit is EDITS["perturb"]:
        del mask["2.bias"]  # its NaN leaves it without a spread
    edit(net, mask)
    for name, parameter in net.named_parameters():
        assert parameter.dtype == dtype
        assert parameter.requires_grad
        selected = mask.get(name, torch.zeros(parameter.shape, dtype=torch.bool))
        kept, were = parameter.detach()[~selected], before[name][~selected]
        assert torch.equal(kept.view(torch.uint8), were.view(torch.uint8)), name
        assert (parameter.detach() != before[name])[selected].all(), name


def test_rewind_takes_the_initial_values_exactly():
    net, start = nn.Linear(3, 2), nn.Linear(3, 2).state_dict()
    rewind(net, {"weight": torch.ones(2, 3, dtype=torch.bool)}, start)
    assert torch.equal(net.weight, start["weight"])


def test_rewind_leaves_running_statistics_alone():
    net, start = nn.BatchNorm1d(2), nn.BatchNorm1d(2).state_dict()
    net.running_mean.fill_(5.0)
    rewind(net, {"weight": torch.tensor([True, True])}, start)
    assert net.running_mean.tolist() == [5.0, 5.0]


@pytest.mark.parametrize("given", ["0.weight", "1.weight"])
@pytest.mark.parametrize("stored", ["0.weight", "1.weight"])
def test_a_tied_weight_is_edited_once_under_either_name(given, stored):
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    mask = torch.tensor([[True, False], [False, False]])
    rewind(net, {given: mask}, {stored: torch.full((2, 2), 9.0)})
    assert net[0].weight is net[1].weight
    assert (net[0].weight == 9.0).tolist() == mask.tolist()
    before = net[0].weight.detach().clone()
    perturb(net, {"0.weight": mask, "1.weight": mask}, sigma=0.5, generator=seeded())
    once = net[0].weight.detach() - before
    expected = torch.randn(1, generator=seeded()) * 0.5 * before.std(correction=0)
    torch.testing.assert_close(once[0, :1], expected)


def test_tied_names_with_different_masks_are_refused():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    masks = {"0.weight": torch.eye(2) > 0, "1.weight": torch.eye(2) < 1}
    with pytest.raises(InputError, match=r"1\.weight is tied to 0\.weight"):
        zero(net, masks)


def test_the_noise_has_the_stated_spread_of_the_whole_layer():
    net = nn.Linear(400, 100, bias=False)
    nn.init.normal_(net.weight, std=3.0, generator=seeded(1))
    before = net.weight.detach().clone()
    mask = torch.rand(100, 400, generator=seeded(2)) < 0.5
    perturb(net, {"weight": mask}, sigma=0.1, generator=seeded())
    noise = (net.weight.detach() - before)[mask]
    # 20,000 draws: the standard deviation is known to 0.5 % (one standard error).
    assert noise.std().item() == pytest.approx(0.1 * before.std().item(), rel=0.02)
    assert noise.mean().item() == pytest.approx(0.0, abs=4 * 0.3 / 20_000**0.5)


def test_noise_of_a_stated_size_for_each_weight():
    net = nn.Linear(10_000, 2, bias=False)
    nn.init.zeros_(net.weight)
    sigma = torch.tensor([[0.1], [2.0]]).expand(2, 10_000)
    perturb(net, {"weight": torch.ones(2, 10_000, dtype=torch.bool)}, sigma={"weight": sigma}, generator=seeded())
    assert net.weight.std(dim=1).tolist() == pytest.approx([0.1, 2.0], rel=0.03)


@pytest.mark.parametrize("edit", [EDITS["perturb"], EDITS["reinitialise"], EDITS["reinitialise with std"]])
def test_the_same_generator_state_gives_the_same_edit_and_leaves_the_global_one_alone(edit):
    nets = [nn.Linear(6, 5) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    mask = {"weight": torch.ones(5, 6, dtype=torch.bool), "bias": torch.ones(5, dtype=torch.bool)}
    state = torch.get_rng_state()
    for net in nets:
        edit(net, mask)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(nets[0].weight, nets[1].weight)


def test_a_layer_resets_itself_within_its_own_bounds():
    net = nn.Linear(400, 50)
    nn.init.constant_(net.weight, 9.0)
    reinitialise(net, {"weight": torch.ones(50, 400, dtype=torch.bool)}, generator=seeded())
    assert net.weight.abs().max() <= 0.05  # ±1/√400, uniform
    assert net.weight.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.02)
    normal = nn.Linear(400, 50)
    reinitialise(normal, {"weight": torch.ones(50, 400, dtype=torch.bool)}, std=0.3, generator=seeded())
    assert normal.weight.std().item() == pytest.approx(0.3, rel=0.02)


def test_a_layer_that_cannot_reset_itself_is_refused_before_anything_changes():
    net = nn.ModuleDict({"first": nn.Linear(2, 2)})
    net.token = nn.Parameter(torch.ones(3))
    before = net["first"].weight.detach().clone()
    mask = {"first.weight": torch.ones(2, 2, dtype=torch.bool), "token": torch.ones(3, dtype=torch.bool)}
    with pytest.raises(InputError, match="token belongs to a ModuleDict, which cannot reset itself: pass std"):
        reinitialise(net, mask)
    assert torch.equal(net["first"].weight, before)


def test_dampening_as_in_ssd():
    # F_f > α F_D: w ← w · min(λ F_D / F_f, 1).
    net = nn.Linear(3, 1, bias=False)
    nn.init.ones_(net.weight)
    forget, everything = torch.tensor([[8.0, 1.0, 2.0]]), torch.tensor([[1.0, 1.0, 1.9]])
    dampen(net, {"weight": forget > 1.0 * everything}, {"weight": (2.0 * everything / forget).clamp(max=1)})
    assert net.weight.tolist() == [[0.25, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({}, "mask is empty"),
        ({"x": torch.ones(1, dtype=torch.bool)}, "no parameter of that name"),
        ({"weight": torch.ones(2, 2)}, "pass booleans"),
        ({"weight": torch.ones(3, dtype=torch.bool)}, r"shape \(3,\) and the parameter \(2, 2\)"),
    ],
)
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_mask_that_does_not_suit_is_refused(edit, mask, message):
    with pytest.raises(InputError, match=message):
        edit(nn.Linear(2, 2), mask)


def test_bad_values_are_refused_before_anything_changes():
    net = nn.Linear(2, 2)
    before = net.weight.detach().clone()
    mask = {"weight": torch.ones(2, 2, dtype=torch.bool), "bias": torch.ones(2, dtype=torch.bool)}
    whole = torch.full((2, 2), 0.5)
    with pytest.raises(InputError, match="initial_state lacks bias"):
        rewind(net, mask, {"weight": whole})
    with pytest.raises(InputError, match="initial_state has bias in shape"):
        rewind(net, mask, {"weight": whole, "bias": whole})
    for sigma in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="sigma is"):
            perturb(net, mask, sigma=sigma)
    with pytest.raises(InputError, match="negative, NaN or infinite"):
        perturb(net, mask, sigma={"weight": whole, "bias": torch.tensor([1.0, -1.0])})
    with pytest.raises(InputError, match="sigma lacks bias"):
        perturb(net, mask, sigma={"weight": whole})
    with pytest.raises(InputError, match="noise is"):
        perturb(net, mask, sigma=1.0, noise="laplace")
    with pytest.raises(InputError, match="std is"):
        reinitialise(net, mask, std=0.0)
    with pytest.raises(InputError, match=r"outside \[0, 1\]"):
        dampen(net, mask, {"weight": whole, "bias": torch.tensor([0.5, 1.5])})
    assert torch.equal(net.weight, before)
