"""A second device without a GPU: tensors that say they lie on "meta", and refuse to meet those that lie on the CPU.

What a GPU would refuse is refused here: an operation on tensors of both devices (a number, that is a CPU tensor
without dimensions, may meet any), and a look at the values without a copy to the CPU. Values are computed on the CPU,
so that they are the CPU's to the bit.
"""

from __future__ import annotations

import contextlib
import copy
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only
from transformers import TrainerCallback

DEVICE = torch.device("meta")
_aten = torch.ops.aten
# What may bring tensors of one device to the other, or be indexed by numbers from the CPU.
_MAY_MIX = (_aten._to_copy.default, _aten.copy_.default, _aten.index.Tensor, _aten.index_put_.default)


_AUTOCAST, _GENERATOR = torch.autocast, torch.Generator


# For what a GPU makes the host wait: the value of a number, how many there are of something, a copy to the host.
_WAITED_FOR = (
    *(_aten._local_scalar_dense, _aten.is_nonzero, _aten.item, _aten.equal),
    *(_aten.nonzero, _aten.masked_select, _aten.bincount, _aten.repeat_interleave),
    *(_aten._unique2, _aten.unique_dim, _aten.unique_consecutive),
)
# Where each was asked for, since the list was last emptied.
_WAITS: list[str] = []


class StepWaits(TrainerCallback):
    """Counts for each step of a training on the second device what the host would wait for.

    From the end of one step to the end of the next, without what is waited for when a step is logged.

    Attributes
    ----------
    of_steps : list of list of str
        Of each step, the places in the code.
    """

    def __init__(self) -> None:
        self.of_steps: list[list[str]] = []

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.of_steps = []
        _WAITS.clear()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.of_steps.append(list(_WAITS))
        _WAITS.clear()


def _waits(func: Any, args: Any, kwargs: dict[str, Any], there: list, here: list) -> bool:
    if func is _aten.repeat_interleave.Tensor and kwargs.get("output_size") is not None:
        return False
    if func.overloadpacket in _WAITED_FOR:
        return bool(there)
    if func in (_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default):
        indices = [index for index in args[1] if index is not None]
        # A mask has to be counted, and numbers from the host are copied first.
        return isinstance(args[0], There) and any(
            index.dtype in (torch.bool, torch.uint8) or not isinstance(index, There) for index in indices
        )
    if func is _aten._to_copy.default and kwargs.get("device") is not None and not kwargs.get("non_blocking"):
        return isinstance(args[0], There) != (torch.device(kwargs["device"]).type == DEVICE.type)
    if func is _aten.copy_.default and not (kwargs.get("non_blocking") or (len(args) > 2 and args[2])):
        return args[1].ndim > 0 and isinstance(args[0], There) != isinstance(args[1], There)
    return False


def _asked_from() -> str:
    """The place in the package, or in a library, that asks."""
    frames = [frame for frame in traceback.extract_stack() if "second_device" not in frame.filename]
    ours = [frame for frame in frames if "hf_privacy" in frame.filename]
    shown = [*ours[-1:], *[f for f in frames[-6:] if "_dynamo" not in f.filename]]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(shown))


class TwoDevicesError(RuntimeError):
    """Tensors of two devices in one operation."""


class There(torch.Tensor):
    """A tensor on the second device; `values` holds what is in it."""

    values: torch.Tensor

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> There:
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device=DEVICE,
        )
        self.values = values.detach()
        return self

    def __repr__(self) -> str:  # type: ignore[override]
        return f"There({self.values})"

    def tolist(self) -> Any:
        """As of any tensor: a copy."""
        _WAITS.append(f"tolist: {_asked_from()}")
        return self.values.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        """As a GPU's tensors do."""
        raise TypeError("can't convert a tensor of the second device to numpy: copy it to the CPU first")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, There)]
    wanted = kwargs.get("device")
    goes_there = wanted is not None and torch.device(wanted).type == DEVICE.type
    here = [tensor for tensor in tensors if not isinstance(tensor, There) and tensor.ndim > 0]
    if _waits(func, args, kwargs, there, here):
        _WAITS.append(f"{func}: {_asked_from()}")
    if there and here and func not in _MAY_MIX:
        raise TwoDevicesError(f"{func} meets tensors of two devices: {[tuple(each.shape) for each in tensors]}")
    plain_args, plain_kwargs = tree_map_only(There, lambda tensor: tensor.values, (args, kwargs))
    if "device" in kwargs and kwargs["device"] is not None:
        plain_kwargs["device"] = torch.device("cpu")
    if plain_kwargs.get("pin_memory"):
        plain_kwargs["pin_memory"] = False
    result = func(*plain_args, **plain_kwargs)
    if func is _aten._to_copy.default:
        stays = bool(there) if wanted is None else goes_there
    elif func in (_aten.copy_.default,):
        return args[0]
    else:
        stays = goes_there if wanted is not None else bool(there)
    if not stays:
        return result
    # What was changed in place is itself again.
    known = {id(tensor.values): tensor for tensor in there}
    return tree_map_only(
        torch.Tensor, lambda tensor: known[id(tensor)] if id(tensor) in known else There(tensor), result
    )


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _autocast(device_type: str, *args: Any, **kwargs: Any) -> Any:
    return _AUTOCAST("cpu" if device_type == DEVICE.type else device_type, *args, **kwargs)


def _of_the_cpu(ask: Any) -> Any:
    """Of a function of a device's type that does not know "meta"."""
    return lambda *kind: ask(*("cpu" if each == DEVICE.type else each for each in kind))


def _inference_mode(mode: bool) -> Any:
    """Its tensors have no version counter, which wrapped ones need."""
    return torch.no_grad() if mode else torch.enable_grad()


def _made_here(make: Any) -> Any:
    """Of a function that makes an empty tensor on "meta": the values first, then the device."""

    def made(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        tensor = make(data, *args, **kwargs)
        return tensor if device is None else tensor.to(device)

    return made


@contextlib.contextmanager
def _trainers_on(device: torch.device) -> Iterator[None]:
    from accelerate import Accelerator
    from transformers import TrainingArguments

    here = property(lambda self: device)
    with mock.patch.object(TrainingArguments, "device", here), mock.patch.object(Accelerator, "device", here):
        yield


def _generator(device: Any = "cpu") -> torch.Generator:
    """Of the second device too: what it draws is computed on the CPU."""
    return _GENERATOR("cpu" if torch.device(device) == DEVICE else device)


@contextlib.contextmanager
def second_device(*, training: bool = False) -> Iterator[torch.device]:
    """Inside, ``tensor.to(device)`` and ``device=device`` go to the second device, ``module.to(device)`` too.

    With ``training`` trainers and accelerate take it for theirs.
    """
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with (
            mock.patch.object(torch, "autocast", _autocast),
            mock.patch.object(torch, "is_autocast_enabled", _of_the_cpu(torch.is_autocast_enabled)),
            mock.patch.object(torch, "get_autocast_dtype", _of_the_cpu(torch.get_autocast_dtype)),
            mock.patch.object(torch, "Generator", _generator),
            mock.patch.object(torch._C, "_InferenceMode", _inference_mode),
            mock.patch.object(torch, "tensor", _made_here(torch.tensor)),
            mock.patch.object(torch, "as_tensor", _made_here(torch.as_tensor)),
            _trainers_on(DEVICE) if training else contextlib.nullcontext(),
            _Mode(),
        ):
            yield DEVICE
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


def assert_trains_alike(start: torch.nn.Module, trained: Callable[[torch.nn.Module], dict[str, torch.Tensor]]) -> None:
    """From one start ``trained`` gives the same tensors, by their names in it, on both devices, and moves some."""
    here = trained(copy.deepcopy(start))
    with second_device(training=True) as device:
        there = trained(copy.deepcopy(start).to(device))
    before = start.state_dict()
    assert any(not torch.equal(values, before[key]) for key, values in here.items())
    for key, values in here.items():
        torch.testing.assert_close(there[key], values)
