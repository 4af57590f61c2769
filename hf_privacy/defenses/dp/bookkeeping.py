"""Per-example gradients from what each layer was given and what came back to it: one pass, and no gradient kept.

The gradient of an example in a linear layer is the sum over its positions of an outer product, g_t ⊗ a_t, of what came
back to the layer's output and what went into it. Its norm is had by making that sum (positions are many), or from the
inner products of all pairs of positions (they are few: "ghost norms"), whichever costs less. The clipped sum over
examples is then one product of the same two, with g scaled example by example, so that no second pass is needed.

Layers of other kinds that own weights (norms, convolutions) are few weights, or rare: their examples are gone through
by `torch.func.vmap` of the layer alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import get_gradient_edge
from transformers.pytorch_utils import Conv1D

from hf_privacy.defenses.dp.clipping import in_full
from hf_privacy.signals.curvature_model import full_precision

# Per-example gradients of one layer that are in memory at once.
_CPU_BYTES, _GPU_BYTES = 16 * 2**20, 2**30
# What rounding makes of inner products, in units of their factors' lengths and of a float's last place.
_ROUNDING = 16


class CannotFollowError(RuntimeError):
    """A weight is used in a way that this way of clipping does not know."""


@dataclass(frozen=True)
class Units:
    """Which rows of a batch one clipped gradient is the mean over: each alone, or those of a group together.

    Attributes
    ----------
    rows : int64 tensor of shape [U, G]
        Row numbers of each unit's rows, filled up with the number of rows, B.
    shares : tensor of shape [B]
        One over the number of rows in a row's unit.
    """

    rows: torch.Tensor
    shares: torch.Tensor

    @classmethod
    def of(cls, numbers: torch.Tensor) -> Units:
        """Those of each row's unit, int64 [B], counted from 0.

        Examples
        --------
        >>> units = Units.of(torch.tensor([0, 1, 0]))
        >>> units.rows, units.shares
        (tensor([[0, 2],
                [1, 3]]), tensor([0.5000, 1.0000, 0.5000]))
        """
        counts = torch.bincount(numbers)
        order = torch.argsort(numbers, stable=True)
        rows = numbers.new_full((len(counts), int(counts.max())), len(numbers))
        rows[torch.arange(rows.shape[1], device=rows.device) < counts[:, None]] = order
        return cls(rows, 1 / counts[numbers].float())

    def joined(self, values: torch.Tensor) -> torch.Tensor:
        """Positions of a unit's rows one after another, with zeros where it has fewer: [B, T, D] to [U, G·T, D]."""
        return self._padded(values).flatten(1, 2)

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """Sums over a unit's rows: [B, ...] to [U, ...]."""
        return self._padded(values).sum(dim=1)

    def _padded(self, values: torch.Tensor) -> torch.Tensor:
        return torch.cat([values, values.new_zeros(1, *values.shape[1:])])[self.rows]


@dataclass
class _Call:
    """One call of a layer: what went in, and the place in the graph where its output's gradient comes by."""

    layer: nn.Module
    given: torch.Tensor
    version: int
    edge: Any


@contextmanager
def _recorded(model: nn.Module) -> Iterator[list[_Call]]:
    """Inside, each call of a layer that owns trainable weights is written down."""
    calls: list[_Call] = []

    def record(layer: nn.Module, arguments: tuple, keywords: dict, output: Any) -> None:
        if not torch.is_grad_enabled():
            return
        tensors = [value for value in (*arguments, *keywords.values()) if isinstance(value, torch.Tensor)]
        if len(tensors) != 1 or not isinstance(output, torch.Tensor) or not output.requires_grad:
            raise CannotFollowError(f"{type(layer).__name__} owns weights and takes more than one tensor")
        calls.append(_Call(layer, tensors[0].detach(), tensors[0]._version, get_gradient_edge(output)))

    owners = [layer for layer in model.modules() if any(p.requires_grad for p in layer.parameters(recurse=False))]
    handles = [layer.register_forward_hook(record, with_kwargs=True) for layer in owners]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def clipped_sum_by_bookkeeping(
    model: nn.Module,
    losses_of: Callable[[], torch.Tensor],
    factors_of: Callable[[torch.Tensor], torch.Tensor],
    units: Units | None,
) -> tuple[list[torch.Tensor | None], torch.Tensor]:
    """The clipped sum of a batch.

    Parameters
    ----------
    model : torch.nn.Module
    losses_of : callable
        Runs the model and gives the loss of each row, [B].
    factors_of : callable
        From the norms of the units' gradients, [U], to what each is multiplied by.
    units : Units, optional
        By default each row is one.

    Returns
    -------
    gradients : list of tensor or None
        One a trainable parameter, in the order of ``model.parameters()``, in float32 at least; None where the loss
        does not reach it.
    losses : tensor [B]

    Raises
    ------
    CannotFollowError
        For weights whose uses it cannot tell apart by example.

    References
    ----------
    Bu, Wang, Zha & Karypis (2022), "Differentially private optimization on large foundation models" (book-keeping),
    arXiv 2210.00038; ghost norms from Goodfellow (2015), arXiv 1510.01799, and Li et al. (2021), arXiv 2110.05679.
    """
    with _recorded(model) as calls:
        losses = losses_of()
    found = torch.autograd.grad(losses.sum(), [call.edge for call in calls], allow_unused=True)
    parts: dict[int, list[_Part]] = defaultdict(list)
    for call, back in zip(calls, found, strict=True):
        if back is None:
            continue
        if call.given._version != call.version:
            raise CannotFollowError(f"what {type(call.layer).__name__} was given was changed in place")
        for parameter, part in _parts(call, back.detach(), len(losses), units):
            parts[id(parameter)].append(part)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    joined = [_joined(parts[id(parameter)]) for parameter in parameters]
    if not any(joined):
        raise CannotFollowError("the loss reaches no weight")
    # Under the training's autocast a norm would be rounded to half precision, and its gradient clipped by less.
    with full_precision(losses.device):
        squares = [_square(uses) for uses in joined if uses]
        factors = factors_of(torch.stack(squares).sum(dim=0).clamp(min=0).sqrt())
        gradients = [
            None if not uses else sum(use.summed(factors) for use in uses).reshape(parameter.shape)
            for uses, parameter in zip(joined, parameters, strict=True)
        ]
    return gradients, losses.detach()


# ---- the uses of one weight ----


@dataclass
class _Linear:
    """Σ_t g_t ⊗ a_t, of shape [P, D]: ``given`` [U, T, D], ``back`` [U, T, P]."""

    given: torch.Tensor
    back: torch.Tensor
    transposed: bool = False

    def square(self) -> torch.Tensor:
        n_positions, width, depth = self.given.shape[1], self.back.shape[2], self.given.shape[2]
        if 2 * n_positions**2 <= width * depth:
            given, back = torch.bmm(self.given, self.given.mT), torch.bmm(self.back, self.back.mT)
            return (given * back).sum(dim=(1, 2)) + _rounded(_lengths(given) * _lengths(back))
        chunk = max(1, _allowed(self.given) // (width * depth * self.given.element_size()))
        parts = zip(self.back.split(chunk), self.given.split(chunk), strict=True)
        return torch.cat([torch.bmm(back.mT, given).square().sum(dim=(1, 2)) for back, given in parts])

    def summed(self, factors: torch.Tensor) -> torch.Tensor:
        scaled = self.back * factors[:, None, None]
        total = scaled.flatten(0, 1).T @ self.given.flatten(0, 1)
        return total.T if self.transposed else total


@dataclass
class _Rows:
    """Rows of a table that were looked up: ``places`` int64 [U, T], −1 where none, ``back`` [U, T, D]."""

    places: torch.Tensor
    back: torch.Tensor
    n_rows: int

    def square(self) -> torch.Tensor:
        same = (self.places[:, :, None] == self.places[:, None, :]) & (self.places[:, :, None] >= 0)
        pairs = torch.bmm(self.back, self.back.mT)
        return (pairs * same).sum(dim=(1, 2)) + _rounded(_lengths(pairs))

    def summed(self, factors: torch.Tensor) -> torch.Tensor:
        kept = self.places >= 0
        scaled = (self.back * factors[:, None, None])[kept]
        return scaled.new_zeros(self.n_rows, scaled.shape[1]).index_add_(0, self.places[kept], scaled)


@dataclass
class _Whole:
    """The gradient of each unit itself, [U, ...]: of biases, norms and whatever else is small."""

    each: torch.Tensor

    def square(self) -> torch.Tensor:
        return self.each.flatten(1).square().sum(dim=1)

    def summed(self, factors: torch.Tensor) -> torch.Tensor:
        return torch.tensordot(factors, self.each, dims=1)


_Part = _Linear | _Rows | _Whole


def _parts(call: _Call, back: torch.Tensor, n_rows: int, units: Units | None) -> Iterator[tuple[nn.Parameter, _Part]]:
    """What one call adds to each of its layer's trainable weights."""
    layer, given = call.layer, call.given
    if given.shape[0] != n_rows or back.shape[0] != n_rows:
        raise CannotFollowError(f"{type(layer).__name__} is given {given.shape[0]} rows for {n_rows} examples")
    back = in_full(back)
    if units is not None:
        back = back * units.shares.to(back.dtype).reshape(-1, *[1] * (back.ndim - 1))
    own = {name: p for name, p in layer.named_parameters(recurse=False) if p.requires_grad}
    if isinstance(layer, (nn.Linear, Conv1D)) and set(own) <= {"weight", "bias"}:
        flat = _positions(back, units)
        if "weight" in own:
            yield own["weight"], _Linear(_positions(given.to(back.dtype), units), flat, isinstance(layer, Conv1D))
        if "bias" in own:
            yield own["bias"], _Whole(flat.sum(dim=1))
    elif isinstance(layer, nn.Embedding) and layer.max_norm is None and not layer.scale_grad_by_freq:
        back = back * getattr(layer, "embed_scale", 1.0)  # of transformers' tables that scale what they give
        kept = given.reshape(n_rows, -1)
        if layer.padding_idx is not None:
            kept = kept.masked_fill(kept == layer.padding_idx, -1)
        if units is not None:  # shifted by one, so that what fills up is −1
            kept = units.joined((kept + 1)[:, :, None])[:, :, 0] - 1
        yield own["weight"], _Rows(kept, _positions(back, units), layer.num_embeddings)
    else:
        for name, each in _by_layer(layer, own, given, back).items():
            yield own[name], _Whole(each if units is None else units.sums(each))


def _positions(values: torch.Tensor, units: Units | None) -> torch.Tensor:
    """All positions of a row, or of a unit's rows, in one dimension: [B, ..., D] to [U, T, D]."""
    flat = values.reshape(len(values), -1, values.shape[-1])
    return flat if units is None else units.joined(flat)


def _by_layer(
    layer: nn.Module, own: dict[str, nn.Parameter], given: torch.Tensor, back: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Per-example gradients of a layer's own weights, through the layer alone."""
    fixed = dict(layer.named_buffers()) | {n: p for n, p in layer.named_parameters() if n not in own}

    def pulled(weights: dict[str, torch.Tensor], one: torch.Tensor, came_back: torch.Tensor) -> torch.Tensor:
        output = torch.func.functional_call(layer, {**fixed, **weights}, (one.unsqueeze(0),))
        return (output * came_back.unsqueeze(0)).sum()

    weights = {name: parameter.detach() for name, parameter in own.items()}
    each = torch.func.vmap(torch.func.grad(pulled), in_dims=(None, 0, 0))
    found = each(weights, given, back)
    return {name: in_full(values) for name, values in found.items()}


def _joined(parts: Sequence[_Part]) -> list[_Part]:
    """The uses of one weight, those of one kind as one: a layer that is called twice has twice the positions."""
    linear = [part for part in parts if isinstance(part, _Linear)]
    rows = [part for part in parts if isinstance(part, _Rows)]
    whole = [part for part in parts if isinstance(part, _Whole)]
    uses: list[_Part] = []
    if len({part.transposed for part in linear}) > 1:
        raise CannotFollowError("one weight is used as it is and transposed")
    if linear:
        given, back = (torch.cat([getattr(part, name) for part in linear], dim=1) for name in ("given", "back"))
        uses.append(_Linear(given, back, linear[0].transposed))
    if rows:
        places, back = (torch.cat([getattr(part, name) for part in rows], dim=1) for name in ("places", "back"))
        uses.append(_Rows(places, back, rows[0].n_rows))
    if whole:
        uses.append(_Whole(torch.stack([part.each for part in whole]).sum(dim=0)))
    if len(uses) > 1 and (whole or linear[0].transposed):
        raise CannotFollowError("one weight is used in layers of different kinds")
    return uses


def _square(uses: Sequence[_Part]) -> torch.Tensor:
    """Squared norms of each unit's gradient of one weight, [U]; of a table that is the head too, with both uses."""
    total = torch.stack([use.square() for use in uses]).sum(dim=0)
    if len(uses) == 1:
        return total
    head, table = uses
    assert isinstance(head, _Linear)
    assert isinstance(table, _Rows)
    # ⟨Σ_s g_s ⊗ a_s, Σ_t e_{i_t} ⊗ b_t⟩ = Σ_{s,t} g_s[i_t] · ⟨a_s, b_t⟩
    at = table.places.clamp(min=0)[:, None, :].expand(-1, head.back.shape[1], -1)
    picked = head.back.gather(2, at) * (table.places >= 0)[:, None, :]
    total = total + 2 * (picked * torch.bmm(head.given, table.back.mT)).sum(dim=(1, 2))
    return total + _rounded(head.given.norm(dim=2) * head.back.norm(dim=2), table.back.norm(dim=2))


def _lengths(pairs: torch.Tensor) -> torch.Tensor:
    """Lengths of the vectors whose inner products these are: [U, T] from [U, T, T]."""
    return pairs.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()


def _rounded(*lengths: torch.Tensor) -> torch.Tensor:
    """What a square may be short of by rounding, [U], from the lengths of what it is summed of, each [U, T].

    Where positions cancel each other, a norm much smaller than theirs comes out as anything from 0 up: added, it clips
    a little more than need be, and never less.
    """
    whole = torch.cat(lengths, dim=1).sum(dim=1)
    return _ROUNDING * torch.finfo(whole.dtype).eps * whole.square()


def _allowed(tensor: torch.Tensor) -> int:
    return _CPU_BYTES if tensor.device.type == "cpu" else _GPU_BYTES
