"""Which operations take a model's trainable weights, and what each example's gradient of them is made of.

Written down where a weight is used, and not where a module owns it, so that what a module does besides (an activation
in place, a parameter added to the positions, a scaled table) needs no knowledge of the module. What is the same for
all rows of a batch, such as positions looked up once, is broadcast to the rows, so that each has a gradient of its
own. Whatever is not known is refused, never passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from hf_privacy.defenses.dp.clipping import in_full
from hf_privacy.defenses.dp.layer_gradients import CannotFollowError, Convolution, Linear, Part, Rows, Whole
from hf_privacy.defenses.dp.row_units import Units

# What keeps a weight's numbers in their order, and adds a number at most: its gradient is the weight's.
_SAME = {"to", "float", "bfloat16", "half", "type_as", "contiguous", "clone"}
_SAME |= {"view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "view_as", "reshape_as"}
# Between a weight and a tensor of all rows.
_ELEMENTWISE = {"add", "sub", "mul", "multiply", "div", "add_", "sub_", "mul_", "div_"}
_ELEMENTWISE |= {f"__{kind}{name}__" for kind in ("", "r", "i") for name in ("add", "sub", "mul", "truediv")}
_SHIFTS = {"add", "sub", "__add__", "__radd__", "__sub__"}
_Parts = Iterator[tuple[torch.nn.Parameter, Part]]


@dataclass
class Use:
    """One use of weights: where its gradient comes by, and from it, [B, ...], what each weight's is made of."""

    edge: Any
    parts: Callable[[torch.Tensor], _Parts]


class WeightUses(TorchFunctionMode):
    """Inside, each operation that takes a trainable weight is written down in ``uses``.

    Parameters
    ----------
    weights : sequence of torch.nn.Parameter
        The trainable ones.
    n_rows : int
        Rows of the batch, B.
    units : Units, optional
        What is clipped as one; by default each row.

    Raises
    ------
    CannotFollowError
        For an operation on a weight that is not known, or on a tensor whose first dimension is not the rows.
    """

    def __init__(self, weights: Sequence[torch.nn.Parameter], n_rows: int, units: Units | None) -> None:
        super().__init__()
        self.n_rows, self.units = n_rows, units
        self.uses: list[Use] = []
        self._weights = {id(weight): weight for weight in weights}
        self._alive: list[torch.Tensor] = []  # whose ids stand in the table

    def __torch_function__(self, func: Any, types: Any, args: Sequence = (), kwargs: dict | None = None) -> Any:
        """Call ``func``, and write down what it does with weights."""
        kwargs = kwargs or {}
        if not torch.is_grad_enabled() or not (self._holds(args) or (kwargs and self._holds(kwargs.values()))):
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        known = _KNOWN.get(func)
        if known is not None:
            return known(self, func, *args, **kwargs)
        if name in _ELEMENTWISE:
            return self._elementwise(func, name, *args, **kwargs)
        found = func(*args, **kwargs)
        tensors = found if isinstance(found, (tuple, list)) else [found]
        if found is None:  # what was written is in another argument: `x[:, 0] = weight`
            tensors = [value for value in args if self._weight(value) is None]
        if not any(isinstance(tensor, torch.Tensor) and tensor.requires_grad for tensor in tensors):
            return found
        own = self._weight(args[0])
        if own is not None and found is own:
            return found
        if name.endswith("_") and found is args[0]:
            raise CannotFollowError(f"a weight is used in {name}")
        if own is not None and (name in _SAME or (name == "__getitem__" and _adds_dimensions(args[1]))):
            return self._also(found, own)
        if own is not None and name in ("expand", "repeat") and self._is_broadcast(args[0], found):
            self._note_whole(found, own)
            return found
        raise CannotFollowError(f"a weight is used in {name}")

    def _holds(self, values: Any) -> bool:
        for value in values:
            if id(value) in self._weights:
                return True
            if isinstance(value, (list, tuple)) and any(id(each) in self._weights for each in value):
                return True
        return False

    def _weight(self, value: Any) -> torch.nn.Parameter | None:
        return self._weights.get(id(value))

    def _also(self, tensor: torch.Tensor, weight: torch.nn.Parameter) -> torch.Tensor:
        """A tensor whose gradient is the weight's."""
        self._weights[id(tensor)] = weight
        self._alive.append(tensor)
        return tensor

    def _note(
        self, output: torch.Tensor, given: torch.Tensor, parts: Callable[[torch.Tensor, torch.Tensor], _Parts]
    ) -> torch.Tensor:
        """Write down a use with what it was given; what is given once for all rows comes out once for each."""
        if self._weight(given) is not None:
            raise CannotFollowError("a weight is put into a layer")
        if given.shape[0] == 1 and self.n_rows > 1:
            output = output.expand(self.n_rows, *output.shape[1:])
            given = given.expand(self.n_rows, *given.shape[1:])
        elif given.shape[0] != self.n_rows and not self._is_flattened(given):
            raise CannotFollowError(f"a layer is given {given.shape[0]} rows for {self.n_rows} examples")
        given, version = given.detach(), given._version

        def checked(back: torch.Tensor) -> _Parts:
            if given._version != version:
                raise CannotFollowError("what a layer was given was changed in place")
            back = self._shared(back)
            return parts(given.to(back.dtype) if given.is_floating_point() else given, back)

        self.uses.append(Use(get_gradient_edge(output), checked))
        return output

    def _note_whole(self, output: torch.Tensor, weight: torch.nn.Parameter) -> None:
        """Write down that a weight was broadcast to the rows."""

        def parts(back: torch.Tensor) -> _Parts:
            yield weight, self._whole(self._shared(back).reshape(self.n_rows, *weight.shape))

        self.uses.append(Use(get_gradient_edge(output), parts))

    def _is_flattened(self, values: torch.Tensor) -> bool:
        """Whether these are all positions of all rows, one row after another: a view of a whole tensor of rows."""
        if self.n_rows == 1:
            return True
        whole = values._base
        if whole is None or whole.shape[:1] != (self.n_rows,) or not values.is_contiguous():
            return False
        # In memory as well each row of the whole must lie in a stretch of its own, however it is strided within.
        length, rest = whole.numel() // self.n_rows, zip(whole.shape[1:], whole.stride()[1:], strict=True)
        last = sum((size - 1) * step for size, step in rest)
        same = (values.numel(), values.storage_offset()) == (whole.numel(), whole.storage_offset())
        return same and whole.stride(0) == length == last + 1

    def _is_broadcast(self, weight: torch.Tensor, found: torch.Tensor) -> bool:
        """Whether these are a weight's numbers once for each row."""
        if found.numel() != self.n_rows * weight.numel():
            return False
        return found.shape == (self.n_rows, *weight.shape[weight.ndim - found.ndim + 1 :])

    def _shared(self, back: torch.Tensor) -> torch.Tensor:
        """What came back, of the mean loss of each unit, in float32 at least."""
        back = in_full(back.detach())
        if self.units is None:
            return back
        shares = self.units.shares.to(back.dtype)
        return (back.reshape(self.n_rows, -1) * shares[:, None]).reshape(back.shape)

    def _whole(self, each: torch.Tensor) -> Whole:
        return Whole(each if self.units is None else self.units.sums(each))

    def _positions(self, values: torch.Tensor) -> torch.Tensor:
        """All positions of a row, or of a unit's rows, in one dimension: [B, ..., D] to [U, T, D]."""
        flat = values.reshape(self.n_rows, -1, values.shape[-1])
        return flat if self.units is None else self.units.joined(flat)

    # ---- the operations ----

    def _linear(self, func: Any, given: torch.Tensor, weight: Any, bias: Any = None) -> torch.Tensor:
        return self._product(func(given, weight, bias), given, weight, bias, transposed=False)

    def _added_product(self, func: Any, bias: Any, given: torch.Tensor, weight: Any) -> torch.Tensor:
        return self._product(func(bias, given, weight), given, weight, bias, transposed=True)

    def _matrix_product(self, func: Any, given: torch.Tensor, weight: Any) -> torch.Tensor:
        return self._product(func(given, weight), given, weight, None, transposed=True)

    def _product(self, output: torch.Tensor, given: torch.Tensor, weight: Any, bias: Any, *, transposed: bool) -> Any:
        own, own_bias = self._weight(weight), self._weight(bias)
        if given.ndim < 2 or weight.ndim != 2 or (bias is not None and bias.ndim != 1):
            raise CannotFollowError(f"a weight of shape {list(weight.shape)} is multiplied")

        def parts(given: torch.Tensor, back: torch.Tensor) -> _Parts:
            back = self._positions(back)
            if own is not None:
                yield own, Linear(self._positions(given), back, transposed)
            if own_bias is not None:
                yield own_bias, Whole(back.sum(dim=1))

        return self._note(output, given, parts)

    def _embedding(
        self, func: Any, places: torch.Tensor, table: Any, padding_idx: int | None = None, max_norm: Any = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
    ) -> torch.Tensor:  # fmt: skip
        own = self._weight(table)
        if own is None or max_norm is not None or scale_grad_by_freq:
            raise CannotFollowError("a table of embeddings is scaled by its norms or by how often rows occur")
        output = func(places, table, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)

        def parts(places: torch.Tensor, back: torch.Tensor) -> _Parts:
            kept = places.reshape(self.n_rows, -1)
            if padding_idx is not None:
                kept = kept.masked_fill(kept == padding_idx % len(own), -1)
            if self.units is not None:  # shifted by one, so that what fills up is −1
                kept = self.units.joined((kept + 1)[:, :, None])[:, :, 0] - 1
            yield own, Rows(kept, self._positions(back), len(own))

        return self._note(output, places, parts)

    def _convolution(
        self, func: Any, given: torch.Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1,
    ) -> torch.Tensor:  # fmt: skip
        own, own_bias = self._weight(weight), self._weight(bias)
        if given.ndim != weight.ndim or (given.shape[0] != self.n_rows and self._is_flattened(given)):
            raise CannotFollowError("a convolution is given no rows")
        n_dimensions = weight.ndim - 2
        strides, dilations = _each(stride, n_dimensions), _each(dilation, n_dimensions)
        pads = _pads(padding, weight.shape[2:], dilations)

        def parts(given: torch.Tensor, back: torch.Tensor) -> _Parts:
            if own_bias is not None:
                yield own_bias, self._whole(back.flatten(2).sum(dim=2))
            if own is not None:
                if any(pads):
                    given = F.pad(given, pads)
                together = [v[:, None] if self.units is None else self.units.padded(v) for v in (given, back)]
                yield own, Convolution(*together, weight.shape, strides, dilations, groups)

        return self._note(func(given, weight, bias, stride, padding, dilation, groups), given, parts)

    def _layer_norm(
        self, func: Any, given: torch.Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-5
    ) -> torch.Tensor:
        def normal(given: torch.Tensor) -> torch.Tensor:
            return F.layer_norm(given, shape, None, None, eps)

        return self._norm(func(given, shape, weight, bias, eps), given, weight, bias, normal, lambda v: v)

    def _rms_norm(
        self, func: Any, given: torch.Tensor, shape: Any, weight: Any = None, eps: Any = None
    ) -> torch.Tensor:
        def normal(given: torch.Tensor) -> torch.Tensor:
            return F.rms_norm(given, shape, None, eps)

        return self._norm(func(given, shape, weight, eps), given, weight, None, normal, lambda v: v)

    def _group_norm(
        self, func: Any, given: torch.Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
    ) -> torch.Tensor:
        def normal(given: torch.Tensor) -> torch.Tensor:
            return F.group_norm(given, groups, None, None, eps)

        output = func(given, groups, weight, bias, eps)
        return self._norm(output, given, weight, bias, normal, lambda v: v.movedim(1, -1))

    def _norm(
        self, output: torch.Tensor, given: torch.Tensor, weight: Any, bias: Any,
        normal: Callable[[torch.Tensor], torch.Tensor], last: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:  # fmt: skip
        own, own_bias = self._weight(weight), self._weight(bias)

        def parts(given: torch.Tensor, back: torch.Tensor) -> _Parts:
            if own is not None:
                summed = last(normal(given) * back).reshape(self.n_rows, -1, *own.shape).sum(dim=1)
                yield own, self._whole(summed)
            if own_bias is not None:
                yield own_bias, self._whole(last(back).reshape(self.n_rows, -1, *own_bias.shape).sum(dim=1))

        return self._note(output, given, parts)

    def _elementwise(self, func: Any, name: str, one: Any, other: Any, **more: Any) -> torch.Tensor:
        """A weight and a tensor of all rows, in either order: the weight is broadcast to the rows first."""
        weight, values = (one, other) if self._weight(one) is not None else (other, one)
        own = self._weight(weight)
        if own is None or self._weight(values) is not None:
            raise CannotFollowError("a weight is used with another")
        if not isinstance(values, torch.Tensor) or values.ndim == 0:
            if name in _SHIFTS and weight is one:
                return self._also(func(one, other, **more), own)
            raise CannotFollowError(f"a weight is used in {name} with a number")
        shape = weight.shape[1:] if weight.ndim == values.ndim and weight.shape[0] == 1 else weight.shape
        if values.shape[0] not in (self.n_rows, 1) or len(shape) >= values.ndim:
            raise CannotFollowError(f"a weight is used in {name} with what has no rows")
        rows = weight.expand(self.n_rows, *[1] * (values.ndim - 1 - len(shape)), *shape)
        self._note_whole(rows, own)
        return func(rows, other, **more) if weight is one else func(one, rows, **more)


_KNOWN: dict[Any, Callable[..., Any]] = {
    F.linear: WeightUses._linear,
    torch.addmm: WeightUses._added_product,
    torch.mm: WeightUses._matrix_product,
    torch.matmul: WeightUses._matrix_product,
    torch.Tensor.matmul: WeightUses._matrix_product,
    torch.Tensor.__matmul__: WeightUses._matrix_product,
    F.embedding: WeightUses._embedding,
    F.conv1d: WeightUses._convolution,
    F.conv2d: WeightUses._convolution,
    F.conv3d: WeightUses._convolution,
    F.layer_norm: WeightUses._layer_norm,
    F.rms_norm: WeightUses._rms_norm,
    F.group_norm: WeightUses._group_norm,
}


def _adds_dimensions(index: Any) -> bool:
    """Whether an index takes all there is."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or (isinstance(part, slice) and part == slice(None)) for part in parts)


def _each(value: Any, n_dimensions: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * n_dimensions if len(values) == 1 else values


def _pads(padding: Any, size: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Zeros before and after each dimension, from the last one on, as `torch.nn.functional.pad` takes them."""
    if padding == "same":
        needed = [by * (length - 1) for length, by in zip(size, dilation, strict=True)]
        pairs = [(each // 2, each - each // 2) for each in needed]
    else:
        pairs = [(each, each) for each in _each(0 if padding == "valid" else padding, len(size))]
    return [amount for pair in reversed(pairs) for amount in pair]
