"""Norms and clipped sums of each kind of layer by bookkeeping, against one backward pass a row."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import GroupNorm1Act
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.pytorch_utils import Conv1D

from hf_privacy.defenses.dp.bookkeeping import clipped_sum_by_bookkeeping
from hf_privacy.defenses.dp.layer_gradients import CannotFollowError
from hf_privacy.defenses.dp.row_units import Units

BOUND = 0.3
N = 4


class Broadcast(nn.Module):
    """Parameters and positions that are the same for all rows, as in BERT and ViT, and a scale in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.places = nn.Parameter(torch.randn(1, 1, 6)), nn.Parameter(torch.randn(1, 6, 6))
        self.scale, self.shift = nn.Parameter(torch.randn(6)), nn.Parameter(torch.randn(6))
        self.positions = nn.Embedding(9, 6)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        given = torch.cat([self.first.expand(len(given), -1, -1), given], dim=1) + self.places
        given = given + self.positions(torch.arange(6)[None] % 4)
        given = (2 * torch.tanh(given)).mul_(self.scale.reshape(1, 1, -1))
        return given - self.shift[None, None, :]


class Used(nn.Module):
    """One layer, called as told."""

    def __init__(self, layer: nn.Module, called) -> None:
        super().__init__()
        self.layer, self.called = layer, called

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.called(self.layer, given)


class Tied(nn.Module):
    """A table that is the head too."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 5, padding_idx=-1), nn.Linear(5, 7, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.table(ids)))


def frozen(layer: nn.Module, *names: str) -> nn.Module:
    for name in names:
        layer.get_parameter(name).requires_grad_(False)
    return layer


IMAGE, TEXT, IDS = (4, 6, 5), (5, 6), "ids"
# Each kind: the layer, and the shape of what a row is.
LAYERS = {
    "convolution": lambda: (nn.Conv2d(4, 3, 3), IMAGE),
    "strided": lambda: (nn.Conv2d(4, 3, (3, 2), stride=(2, 1), padding=(1, 0), bias=False), IMAGE),
    "dilated": lambda: (nn.Conv2d(4, 3, 2, dilation=(2, 3), padding=2), IMAGE),
    "grouped": lambda: (nn.Conv2d(4, 6, 3, groups=2, padding=1), IMAGE),
    "by_channel": lambda: (nn.Conv2d(4, 8, 3, groups=4, stride=2), IMAGE),
    "same": lambda: (nn.Conv2d(4, 3, (2, 3), padding="same", dilation=(1, 2)), IMAGE),
    "valid": lambda: (nn.Conv2d(4, 3, 1, padding="valid"), IMAGE),
    "reflected": lambda: (nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"), IMAGE),
    "circular": lambda: (nn.Conv2d(4, 3, 3, padding=2, padding_mode="circular"), IMAGE),
    "few_places": lambda: (nn.Conv2d(4, 40, (5, 4)), IMAGE),
    "few_places_grouped": lambda: (nn.Conv2d(4, 40, (5, 4), groups=2), IMAGE),
    "one_place": lambda: (nn.Conv2d(4, 3, (6, 5)), IMAGE),
    "in_one_dimension": lambda: (nn.Conv1d(4, 6, 3, stride=2, padding=2, groups=2), (4, 9)),
    "in_three_dimensions": lambda: (nn.Conv3d(2, 3, 2, stride=(1, 2, 1), padding=1, dilation=(1, 1, 2)), (2, 3, 4, 4)),
    "convolution_twice": lambda: (Used(nn.Conv2d(4, 4, 3, padding=1), lambda f, x: f(torch.tanh(f(x)))), IMAGE),
    "of_two_sizes": lambda: (Used(nn.Conv2d(4, 4, 3, groups=2), lambda f, x: f(torch.tanh(f(x)))), IMAGE),
    "only_bias": lambda: (frozen(nn.Conv2d(4, 3, 3), "weight"), IMAGE),
    "only_weight": lambda: (frozen(nn.Conv2d(4, 3, 3), "bias"), IMAGE),
    "before_in_place": lambda: (nn.Sequential(nn.Conv2d(4, 3, 3), nn.ReLU(inplace=True)), IMAGE),
    "group_norm": lambda: (nn.GroupNorm(2, 4), IMAGE),
    "group_norm_of_features": lambda: (nn.GroupNorm(2, 4), (4,)),
    "timm_norm_in_place": lambda: (GroupNorm1Act(4), IMAGE),
    "layer_norm": lambda: (nn.LayerNorm(6), TEXT),
    "layer_norm_of_two": lambda: (nn.LayerNorm((6, 5), bias=False), IMAGE),
    "rms_norm": lambda: (nn.RMSNorm(6), TEXT),
    "llama_norm": lambda: (LlamaRMSNorm(6), TEXT),
    "gemma_norm": lambda: (GemmaRMSNorm(6), TEXT),
    "linear": lambda: (nn.Linear(6, 3), TEXT),
    "features": lambda: (nn.Linear(6, 3), (6,)),
    "wide": lambda: (nn.Linear(6, 40), TEXT),
    "narrow": lambda: (nn.Linear(6, 1), (30, 6)),
    "twice": lambda: (Used(nn.Linear(6, 6), lambda f, x: f(torch.tanh(f(x)))), TEXT),
    "flattened": lambda: (Conv1D(3, 6), TEXT),
    "product": lambda: (Used(frozen(nn.Linear(3, 6), "bias"), lambda f, x: x @ f.weight), TEXT),
    "table": lambda: (nn.Embedding(7, 5, padding_idx=0), IDS),
    "tied": lambda: (Tied(), IDS),
    "broadcast": lambda: (Broadcast(), TEXT),
}


def made(kind: str, dtype: torch.dtype, *, n: int = N) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    layer, shape = LAYERS[kind]()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    generator = torch.Generator().manual_seed(1)
    given = (
        torch.randint(0, 7, (n, 6), generator=generator)
        if shape == IDS
        else torch.randn(n, *shape, generator=generator, dtype=torch.float64).to(dtype)
    )
    return layer.to(dtype), given


def losses(layer: nn.Module, given: torch.Tensor) -> torch.Tensor:
    out = layer(given).flatten(1)
    return (out * torch.arange(1, out.shape[1] + 1).cos() + out.square()).sum(dim=1)


def by_bookkeeping(layer, given, units=None):
    seen = []

    def factors(norms: torch.Tensor) -> torch.Tensor:
        seen.append(norms)
        return (BOUND / norms).clamp(max=1)

    sums, _ = clipped_sum_by_bookkeeping(layer, lambda: losses(layer, given), factors, len(given), units)
    return seen[0], sums


def by_hand(layer, given, together):
    """One backward pass a unit, on the mean loss of its rows, each of which goes through alone."""
    weights = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    sums, norms = [torch.zeros_like(weight) for weight in weights], []
    for rows in together:
        loss = sum(losses(layer, given[row : row + 1]).sum() for row in rows) / len(rows)
        found = torch.autograd.grad(loss, weights)
        norms.append(torch.cat([gradient.flatten() for gradient in found]).norm())
        for total, gradient in zip(sums, found, strict=True):
            total += gradient * min(1.0, BOUND / float(norms[-1]))
    return torch.stack(norms), sums


@pytest.mark.parametrize("kind", LAYERS)
def test_norms_and_clipped_sums_are_those_of_a_loop(kind):
    # In float32 they differ by rounding: of the norm a hundred thousandth, of a sum's entries that of the bound.
    for dtype, relative in ((torch.float64, 1e-10), (torch.float32, 2e-5)):
        if (kind, dtype) == ("gemma_norm", torch.float64):
            continue  # it works in float32 whatever it is given
        layer, given = made(kind, dtype)
        wanted_norms, wanted = by_hand(layer, given, [[row] for row in range(N)])
        norms, sums = by_bookkeeping(layer, given)
        torch.testing.assert_close(norms, wanted_norms, rtol=relative, atol=0)
        for total, expected in zip(sums, wanted, strict=True):
            torch.testing.assert_close(total, expected, rtol=relative, atol=BOUND * relative)
    assert float(wanted_norms.max()) > BOUND


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind != "gemma_norm"])
def test_a_groups_mean_is_clipped_as_one(kind):
    layer, given = made(kind, torch.float64)
    wanted_norms, wanted = by_hand(layer, given, [[0, 2, 3], [1]])
    norms, sums = by_bookkeeping(layer, given, Units.of(torch.tensor([0, 1, 0, 0])))
    torch.testing.assert_close(norms, wanted_norms, rtol=1e-7, atol=0)  # the shares are in float32
    for total, expected in zip(sums, wanted, strict=True):
        torch.testing.assert_close(total, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("kind", ["grouped", "few_places", "timm_norm_in_place", "broadcast", "tied", "flattened"])
def test_a_rows_gradient_does_not_depend_on_its_batch_mates(kind):
    layer, given = made(kind, torch.float64, n=6)
    alone_norms, alone = by_bookkeeping(layer, given[:1])
    for mates in ([1, 2], [3, 4, 5]):
        norms, both = by_bookkeeping(layer, given[[0, *mates]])
        _, others = by_bookkeeping(layer, given[mates])
        torch.testing.assert_close(norms[:1], alone_norms, rtol=1e-10, atol=0)
        for whole, rest, own in zip(both, others, alone, strict=True):
            torch.testing.assert_close(whole - rest, own, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", ["convolution", "few_places", "timm_norm_in_place", "layer_norm", "broadcast"])
def test_no_row_exceeds_the_bound_under_autocast(kind):
    layer, given = made(kind, torch.float32)
    for row in range(N):
        with torch.autocast("cpu", torch.bfloat16):
            norms, sums = by_bookkeeping(layer, given[row : row + 1])
        assert float(norms) > BOUND
        assert all(total.dtype == torch.float32 for total in sums)
        assert torch.cat([total.double().flatten() for total in sums]).norm() <= BOUND * (1 + 1e-5)


def test_chunks_of_units_make_no_difference(monkeypatch):
    for kind in ("grouped", "few_places"):
        layer, given = made(kind, torch.float64)
        whole = by_bookkeeping(layer, given)
        with monkeypatch.context() as patch:
            patch.setattr("hf_privacy.defenses.dp.layer_gradients._CPU_BYTES", 1)
            single = by_bookkeeping(layer, given)
        torch.testing.assert_close(whole[0], single[0])


def weight_norm() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(6, 3))


def rows_second(f, x):
    return f(x.transpose(0, 1)).transpose(0, 1)


def rows_second_and_flat(f, x):
    return f(x.transpose(0, 1).reshape(-1, 6)).reshape(5, -1, 3).transpose(0, 1)


def by_its_transpose(f, x):
    return nn.functional.linear(x, f.weight.T)


def written_into(f, x):
    whole = torch.zeros(len(x), 6, 6)
    whole[:, 1:] = x
    whole[:, 0] = f.weight
    return whole


def changed_in_place(f, x):
    return x * (1 + f.weight).exp_()


REFUSED = {
    "transposed": (lambda: nn.ConvTranspose2d(4, 3, 2), IMAGE, "conv_transpose2d"),
    "made_of_others": (weight_norm, TEXT, "norm"),
    "attention": (
        lambda: Used(nn.MultiheadAttention(6, 2, batch_first=True), lambda f, x: f(x, x, x)[0]), TEXT, "multi",
    ),
    "recurrent": (lambda: Used(nn.GRU(6, 3, batch_first=True), lambda f, x: f(x)[0]), TEXT, "gru"),
    "rows_second": (lambda: Used(nn.Linear(6, 3), rows_second), TEXT, "5 rows for 4"),
    "rows_second_and_flat": (lambda: Used(nn.Linear(6, 3), rows_second_and_flat), TEXT, "20 rows for 4"),
    "transposed_weight": (lambda: Used(nn.Linear(6, 6), by_its_transpose), TEXT, "used in"),
    "written_into": (lambda: Used(nn.RMSNorm(6), written_into), TEXT, "used in __setitem__"),
    "changed_in_place": (lambda: Used(nn.RMSNorm(6), changed_in_place), TEXT, "used in exp_"),
    "weights_with_weights": (lambda: Used(nn.Linear(6, 6), lambda f, x: x * (f.weight * f.bias).sum()), TEXT, "other"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_known_is_refused_and_not_passed_over(kind):
    make, shape, message = REFUSED[kind]
    layer, given = make(), torch.randn(N, *shape)
    with pytest.raises(CannotFollowError, match=message):
        by_bookkeeping(layer, given)


def test_what_was_given_and_then_changed_is_refused():
    layer = Used(nn.Conv2d(4, 3, 3), lambda f, x: f(x) + 0 * x.add_(1).sum())
    with pytest.raises(CannotFollowError, match="changed in place"):
        by_bookkeeping(layer, torch.randn(N, *IMAGE))


def test_nothing_is_left_on_the_model():
    layer, given = made("timm_norm_in_place", torch.float32)
    before = copy.deepcopy({name: value for name, value in vars(layer).items() if name != "_parameters"})
    by_bookkeeping(layer, given)
    assert set(vars(layer)) == {*before, "_parameters"}
    assert not layer._forward_hooks
    assert all(parameter.grad is None for parameter in layer.parameters())
