"""The gradient of each unit in one weight, kept as what it is made of: its norm, and the clipped sum, without it.

A unit is a row of a batch, or the rows of a group. In a linear layer its gradient is the sum over positions of an
outer product, g_t ⊗ a_t, of what came back to the layer's output and what went into it; a convolution is a linear
layer of windows. The norm is had by making that sum (positions are many), or from the inner products of all pairs of
positions (they are few: "ghost norms"), whichever costs less by the rule of Bu et al. (arXiv 2205.10683): 2 T² ≤ P D.
The clipped sum over units is one product of the same two, with g scaled unit by unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

# Windows of one layer that are in memory at once.
_CPU_BYTES, _GPU_BYTES = 16 * 2**20, 2**30
# What rounding makes of inner products, in units of their factors' lengths and of a float's last place.
_ROUNDING = 16


class CannotFollowError(RuntimeError):
    """A weight is used in a way that this way of clipping does not know."""


@dataclass
class Linear:
    """Σ_t g_t ⊗ a_t, of shape [P, D]: ``given`` [U, T, D], ``back`` [U, T, P]."""

    given: torch.Tensor
    back: torch.Tensor
    transposed: bool = False
    # The gradients themselves, [U, P, D], where they had to be made. By the rule they are then smaller than what they
    # are made of: 2 T² > P D leaves P D < T (P + D).
    each: torch.Tensor | None = field(default=None, init=False)

    def square(self) -> torch.Tensor:
        """The square of each unit's norm, [U], never too small by rounding."""
        if _by_pairs(self.given, self.back):
            return _squares_by_pairs(self.given, self.back)
        self.each = torch.bmm(self.back.mT, self.given)
        return self.each.square().sum(dim=(1, 2))

    def summed(self, factors: torch.Tensor) -> torch.Tensor:
        """The sum over units of each one's gradient times its factor."""
        if self.each is not None:
            total = torch.tensordot(factors, self.each, dims=1)
        else:
            scaled = self.back * factors[:, None, None]
            total = scaled.flatten(0, 1).T @ self.given.flatten(0, 1)
        return total.T if self.transposed else total


@dataclass
class Convolution:
    """A linear layer of windows: ``given`` [U, G, C, ...] and ``back`` [U, G, P, ...] of each unit's G rows.

    Rows of zeros in ``back`` fill up. ``given`` is padded already.
    """

    given: torch.Tensor
    back: torch.Tensor
    weight_shape: torch.Size
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    n_groups: int

    def square(self) -> torch.Tensor:
        """As in `Linear`, over so few units at a time that their windows stay small."""
        n_windows = self.back.shape[1] * self.back[0, 0, 0].numel()
        of_unit = n_windows * self.weight_shape[1:].numel() * self.n_groups * self.given.element_size()
        chunk = max(1, _allowed(self.given) // of_unit)
        squares = []
        for given, back in zip(self.given.split(chunk), self.back.split(chunk), strict=True):
            found = self._squares(*self._as_linear(given, back))
            squares.append(found.reshape(len(given), self.n_groups).sum(dim=1))
        return torch.cat(squares)

    def _squares(self, windows: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        if _by_pairs(windows, back):
            return _squares_by_pairs(windows, back)
        squares = torch.bmm(back.mT, windows).square().sum(dim=(1, 2))
        return _raised(squares, windows.norm(dim=2) * back.norm(dim=2))

    def summed(self, factors: torch.Tensor) -> torch.Tensor:
        """As in `Linear`: the gradient of the weight for the whole batch, of what comes back scaled."""
        scaled = self.back * factors.reshape(-1, *[1] * (self.back.ndim - 1))
        nothing = [0] * len(self.stride)
        like_weight = self.given.new_empty(1).expand(self.weight_shape)
        return torch.ops.aten.convolution_backward(
            scaled.flatten(0, 1), self.given.flatten(0, 1), like_weight, None, self.stride, nothing, self.dilation,
            False, nothing, self.n_groups, (False, True, False),
        )[1]  # fmt: skip

    def whole(self) -> Whole:
        """The gradients themselves."""
        given, back = self._as_linear(self.given, self.back)
        return Whole(torch.bmm(back.mT, given).reshape(len(self.given), *self.weight_shape))

    def _as_linear(self, given: torch.Tensor, back: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Windows [U · groups, G · T, D], and what came back to them [U · groups, G · T, P / groups]."""
        windows = _windows(given.flatten(0, 1), self.weight_shape[2:], self.stride, self.dilation, back.shape[3:])
        return self._by_group(windows, given), self._by_group(back.flatten(0, 1), given)

    def _by_group(self, values: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        n_units, n_rows = given.shape[:2]
        last = len(self.stride)  # the places, of rows and columns
        by_group = values.reshape(n_units, n_rows, self.n_groups, -1, values.shape[-last:].numel())
        return by_group.permute(0, 2, 1, 4, 3).reshape(n_units * self.n_groups, -1, by_group.shape[3])


@dataclass
class Rows:
    """Rows of a table that were looked up: ``places`` int64 [U, T], −1 where none, ``back`` [U, T, D]."""

    places: torch.Tensor
    back: torch.Tensor
    n_rows: int

    def square(self) -> torch.Tensor:
        """As in `Linear`."""
        n_units, length = self.places.shape
        ordered, order = self.places.sort(dim=1)
        # Each unit's rows that were looked up, numbered from 0: no more of them than positions.
        numbers = F.pad((ordered[:, 1:] != ordered[:, :-1]).cumsum(dim=1), (1, 0))
        slots = torch.empty_like(numbers).scatter_(1, order, numbers)
        slots = slots + length * torch.arange(n_units, device=slots.device)[:, None]
        kept = self.back * (self.places >= 0)[:, :, None]
        sums = torch.zeros_like(kept).flatten(0, 1).index_add_(0, slots.flatten(), kept.flatten(0, 1))
        return _raised(sums.reshape(n_units, -1).square().sum(dim=1), kept.norm(dim=2))

    def summed(self, factors: torch.Tensor) -> torch.Tensor:
        """As in `Linear`."""
        factors = factors[:, None] * (self.places >= 0)
        scaled = (self.back * factors[:, :, None]).flatten(0, 1)
        total = scaled.new_zeros(self.n_rows, scaled.shape[1])
        return total.index_add_(0, self.places.clamp(min=0).flatten(), scaled)


@dataclass
class Whole:
    """The gradient of each unit itself, [U, ...]: of biases, norms and whatever else is small."""

    each: torch.Tensor

    def square(self) -> torch.Tensor:
        """As in `Linear`."""
        return self.each.flatten(1).square().sum(dim=1)

    def summed(self, factors: torch.Tensor) -> torch.Tensor:
        """As in `Linear`."""
        return torch.tensordot(factors, self.each, dims=1)


Part = Linear | Convolution | Rows | Whole


def joined(parts: Sequence[Part]) -> list[Part]:
    """The uses of one weight, those of one kind as one: a layer that is called twice has twice the positions."""
    linear = [part for part in parts if isinstance(part, Linear)]
    convolutions = [part for part in parts if isinstance(part, Convolution)]
    rows = [part for part in parts if isinstance(part, Rows)]
    whole = [part for part in parts if isinstance(part, Whole)]
    uses: list[Part] = []
    if len({part.transposed for part in linear}) > 1:
        raise CannotFollowError("one weight is used as it is and transposed")
    if linear:
        uses.append(Linear(*_side_by_side(linear, "given", "back"), linear[0].transposed))
    if rows:
        uses.append(Rows(*_side_by_side(rows, "places", "back"), rows[0].n_rows))
    if convolutions:
        first = convolutions[0]
        kind = (first.given.shape, first.stride, first.dilation, first.n_groups)
        if all((part.given.shape, part.stride, part.dilation, part.n_groups) == kind for part in convolutions):
            pair = _side_by_side(convolutions, "given", "back")
            uses.append(Convolution(*pair, first.weight_shape, first.stride, first.dilation, first.n_groups))
        else:
            whole += [part.whole() for part in convolutions]
    if whole:
        uses.append(Whole(whole[0].each if len(whole) == 1 else torch.stack([part.each for part in whole]).sum(dim=0)))
    if len(uses) > 1 and not (isinstance(uses[0], Linear) and isinstance(uses[1], Rows) and len(uses) == 2):
        raise CannotFollowError("one weight is used in layers of different kinds")
    if len(uses) > 1 and linear[0].transposed:
        raise CannotFollowError("one weight is used as a table and transposed")
    return uses


def _side_by_side(parts: Sequence[Part], *names: str) -> list[torch.Tensor]:
    found = [[getattr(part, name) for part in parts] for name in names]
    return [each[0] if len(each) == 1 else torch.cat(each, dim=1) for each in found]


def square_of(uses: Sequence[Part]) -> torch.Tensor:
    """Squared norms of each unit's gradient of one weight, [U]; of a table that is the head too, with both uses."""
    if len(uses) == 1:
        return uses[0].square()
    head, table = uses
    assert isinstance(head, Linear)
    assert isinstance(table, Rows)
    total = head.square() + table.square()
    # ⟨Σ_s g_s ⊗ a_s, Σ_t e_{i_t} ⊗ b_t⟩ = Σ_{s,t} g_s[i_t] · ⟨a_s, b_t⟩
    at = table.places.clamp(min=0)[:, None, :].expand(-1, head.back.shape[1], -1)
    picked = head.back.gather(2, at) * (table.places >= 0)[:, None, :]
    total = total + 2 * (picked * torch.bmm(head.given, table.back.mT)).sum(dim=(1, 2))
    return total + _rounded(head.given.norm(dim=2) * head.back.norm(dim=2), table.back.norm(dim=2))


def _by_pairs(given: torch.Tensor, back: torch.Tensor) -> bool:
    return 2 * given.shape[1] ** 2 <= given.shape[2] * back.shape[2]


def _squares_by_pairs(given: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """‖Σ_t g_t ⊗ a_t‖² of each unit, [U], from [U, T, D] and [U, T, P], without the sum."""
    if given.shape[1] == 1:
        return given.square().sum(dim=(1, 2)) * back.square().sum(dim=(1, 2))
    of_given, of_back = torch.bmm(given, given.mT), torch.bmm(back, back.mT)
    return (of_given * of_back).sum(dim=(1, 2)) + _rounded(_lengths(of_given) * _lengths(of_back))


def _windows(
    values: torch.Tensor, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], places: Sequence[int]
) -> torch.Tensor:
    """What a kernel sees at each place: [N, C, ...] to [N, C · size, places], of any number of dimensions."""
    if values.ndim == 4:
        return F.unfold(values, tuple(size), dilation=tuple(dilation), stride=tuple(stride)).unflatten(
            2, tuple(places)
        )
    values = values.contiguous()
    outer, inner = values.stride()[:2], values.stride()[2:]
    steps = [step * by for step, by in zip(inner, dilation, strict=True)]
    moves = [step * by for step, by in zip(inner, stride, strict=True)]
    seen = values.as_strided((*values.shape[:2], *size, *places), (*outer, *steps, *moves))
    return seen.reshape(len(values), -1, *places)


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


def _raised(squares: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Squares of sums that the clipped sum makes another time, in another order: the same, but for their rounding."""
    return (squares.sqrt() + _ROUNDING * torch.finfo(squares.dtype).eps * lengths.sum(dim=1)).square()


def _allowed(tensor: torch.Tensor) -> int:
    return _CPU_BYTES if tensor.device.type == "cpu" else _GPU_BYTES
