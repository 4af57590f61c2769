"""Single weights that stay bit for bit as they are, whatever the optimizer does."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import nn

from hf_privacy.weights.checks import check_mask
from hf_privacy.weights.mask_file import mask_digest

# Below this share of masked entries a list of their places is faster than a pass over the whole tensor.
_SPARSE_SHARE = 1 / 16


class FrozenWeights:
    """Holds the masked weights of a model at their present values through optimizer steps.

    Masking gradients is not enough: weight decay, momentum, Adam's moments and noise move a weight whose gradient is
    zero. So three things are done at each step: `zero_gradients` before it, `restore` and `clear_state` after it.
    `FrozenWeightsCallback` does them within a `transformers.Trainer`.

    Parameters
    ----------
    model : torch.nn.Module
        On the device it is trained on.
    mask : mapping of str to bool tensor
        By parameter name, True where frozen, as `select` returns it. Buffers (running means) are not weights: what
        holds them still is evaluation mode.

    Raises
    ------
    InputError
        If the mask does not suit the model.

    Examples
    --------
    >>> net = nn.Linear(2, 1, bias=False)
    >>> optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    >>> frozen = FrozenWeights(net, {"weight": torch.tensor([[True, False]])})
    >>> before = net.weight.detach().clone()
    >>> net(torch.ones(1, 2)).sum().backward()
    >>> frozen.zero_gradients()
    >>> optimizer.step()
    >>> (net.weight == before).tolist()  # weight decay moved what has no gradient
    [[False, False]]
    >>> frozen.restore()
    >>> frozen.clear_state(optimizer)
    >>> (net.weight == before).tolist(), frozen.moved()
    ([[True, False]], [])
    """

    def __init__(self, model: nn.Module, mask: Mapping[str, torch.Tensor]) -> None:
        self.mask = check_mask(model, mask)
        self._tensors = {
            name: _FrozenTensor(model.get_parameter(name), selected) for name, selected in self.mask.items()
        }

    @property
    def n_frozen(self) -> int:
        """Number of weights held."""
        return sum(int(selected.sum()) for selected in self.mask.values())

    @torch.no_grad()
    def zero_gradients(self) -> None:
        """Set the gradients of the frozen weights to zero; to be called before the optimizer's step."""
        for tensor in self._tensors.values():
            if tensor.parameter.grad is not None:
                tensor.zero_(tensor.parameter.grad)

    @torch.no_grad()
    def restore(self) -> None:
        """Put the frozen weights back; to be called after the optimizer's step."""
        for tensor in self._tensors.values():
            tensor.restore()

    @torch.no_grad()
    def clear_state(self, optimizer: torch.optim.Optimizer) -> None:
        """Set to zero what the optimizer keeps for each frozen weight (momentum, first and second moments).

        State of another shape than the parameter, such as Adafactor's row and column sums, belongs to no single
        weight and stays.
        """
        for tensor in self._tensors.values():
            for key, value in optimizer.state.get(tensor.parameter, {}).items():
                # A parameter without dimensions has the shape of its own step counter.
                if key != "step" and isinstance(value, torch.Tensor) and value.shape == tensor.parameter.shape:
                    tensor.zero_(value)

    @torch.no_grad()
    def moved(self) -> list[str]:
        """Names of the parameters of which a frozen weight has other bits than at the start."""
        return [name for name, tensor in self._tensors.items() if not torch.equal(tensor.now(), tensor.values())]

    @property
    def mask_sha256(self) -> str:
        """Identifies the mask: names, shapes and entries."""
        return mask_digest(self.mask)

    @property
    def values_sha256(self) -> str:
        """Identifies the values the frozen weights are held at."""
        digest = hashlib.sha256()
        for name in sorted(self._tensors):
            digest.update(f"{name}\n".encode())
            digest.update(self._tensors[name].values().cpu().numpy().tobytes())
        return digest.hexdigest()


class _FrozenTensor:
    """One parameter's frozen entries: their places and values if they are few, else bit patterns of the whole tensor.

    With many, filling by a mask costs a mispredicted branch an entry; clearing and setting bits costs none, and is as
    fast as one addition.
    """

    def __init__(self, parameter: nn.Parameter, mask: torch.Tensor) -> None:
        self.parameter = parameter
        self._mask = mask
        self._places: torch.Tensor | None = None
        current = parameter.detach()
        # By places, and never by a mask: how many a mask chooses, a device would be asked at each step.
        if current.is_contiguous() and int(mask.sum()) <= _SPARSE_SHARE * mask.numel():
            self._places = mask.reshape(-1).nonzero().view(-1)
            self._held = current[mask].clone()
        else:
            self._free_bits = (~mask).view(torch.int8).neg()  # all ones where an entry is free to move
            self._held = current.masked_fill(~mask, 0.0)

    def zero_(self, tensor: torch.Tensor) -> None:
        if self._places is None:
            _bit_view(tensor).bitwise_and_(self._free_bits)
        elif tensor.is_contiguous():
            tensor.view(-1).scatter_(0, self._places, 0.0)
        else:
            tensor.masked_fill_(self._mask, 0.0)

    def restore(self) -> None:
        parameter = self.parameter.detach()
        if self._places is None:
            _bit_view(parameter).bitwise_and_(self._free_bits).bitwise_or_(_bit_view(self._held))
        elif parameter.is_contiguous():
            parameter.view(-1).index_copy_(0, self._places, self._held)
        else:
            parameter[self._mask] = self._held

    def values(self) -> torch.Tensor:
        """The held values as bytes."""
        return _bytes(self._held if self._places is not None else self._held[self._mask])

    def now(self) -> torch.Tensor:
        """The present values as bytes: NaN equals NaN, and 0.0 is not −0.0."""
        return _bytes(self.parameter.detach()[self._mask])


def _bit_view(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory read as whole numbers of the same width."""
    return tensor.view({1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()])


def _bytes(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1).contiguous().view(torch.uint8)
