"""The one door through which names, masks and tensors for a model's weights enter this room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from hf_privacy.arguments import check_instance, seen
from hf_privacy.errors import InputError


def tied_names(model: nn.Module) -> dict[str, str]:
    """Every name under which a parameter can be reached, and the first name of that parameter.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    >>> net[1].weight = net[0].weight
    >>> tied_names(net)
    {'0.weight': '0.weight', '1.weight': '0.weight'}
    """
    first: dict[int, str] = {}
    return {
        name: first.setdefault(id(parameter), name)
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }


def check_parameters(model: nn.Module, names: Iterable[str] | None) -> dict[str, nn.Parameter]:
    """The parameters of these names, each tensor once; without names, all that need a gradient.

    Raises
    ------
    InputError
        If a name is unknown, if there is none, or if the parameter holds integers (quantised weights).

    Examples
    --------
    >>> list(check_parameters(nn.Linear(2, 2), ["weight"]))
    ['weight']
    """
    if names is not None and (isinstance(names, str) or not isinstance(names, Iterable)):
        raise InputError(f"parameters is {seen(names)}: pass a list of names")
    parameters = dict(model.named_parameters())
    if names is None:
        chosen = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
        if not chosen:
            raise InputError(f"{type(model).__name__} has no trainable parameters: name those meant with parameters=")
    else:
        tied = tied_names(model)
        names = list(names)
        unknown = [name for name in names if name not in tied]
        if unknown:
            raise InputError(f"parameters holds {_some(unknown)}: the {type(model).__name__} has none of that name")
        chosen = {tied[name]: parameters[tied[name]] for name in names}
        if not chosen:
            raise InputError("parameters is empty: pass at least one name, or None for all that are trainable")
    for name, parameter in chosen.items():
        if not parameter.is_floating_point():
            raise InputError(f"{name} has dtype {parameter.dtype}: only floating-point weights can be scored")
    return chosen


def check_tensors(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse what is no mapping of names to tensors.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_tensors("mask", {"bias": torch.tensor([True])})
    """
    check_instance(name, tensors, Mapping)
    for key, tensor in tensors.items():
        check_instance(f"{key} in {name}", tensor, torch.Tensor)


def check_mask(model: nn.Module, mask: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The mask with each tied weight once, under its first name, on the device of its weight.

    Raises
    ------
    InputError
        If it names a parameter the model lacks, has another shape than its parameter, is not boolean, is empty, or
        gives two names of one tied weight different masks.

    Examples
    --------
    >>> check_mask(nn.Linear(2, 1), {"bias": torch.tensor([True])})
    {'bias': tensor([True])}
    """
    parameters, tied = dict(model.named_parameters()), tied_names(model)
    checked: dict[str, torch.Tensor] = {}
    check_tensors("mask", mask)
    if not mask:
        raise InputError("mask is empty: pass a boolean tensor for at least one parameter")
    for name, selected in mask.items():
        if name not in tied:
            raise InputError(f"mask holds {name}: the {type(model).__name__} has no parameter of that name")
        parameter = parameters[tied[name]]
        if selected.dtype != torch.bool:
            raise InputError(f"the mask of {name} has dtype {selected.dtype}: pass booleans, as select returns them")
        if selected.shape != parameter.shape:
            raise InputError(
                f"the mask of {name} has shape {tuple(selected.shape)} and the parameter {tuple(parameter.shape)}: "
                "pass the mask of this model"
            )
        selected = selected.to(parameter.device)
        if tied[name] in checked and not torch.equal(checked[tied[name]], selected):
            raise InputError(f"{name} is tied to {tied[name]} and has another mask: pass one of the two")
        checked[tied[name]] = selected
    return checked


def find_tensor(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], name: str, *, argument: str, why: str
) -> torch.Tensor:
    """The tensor for parameter `name`, under whichever of its tied names `tensors` holds it, on its device.

    Raises
    ------
    InputError
        If `tensors` has it under none of its names, or in another shape.
    """
    parameter = model.get_parameter(name)
    tied = tied_names(model)
    check_tensors(argument, tensors)
    for alias in (name, *(other for other, first in tied.items() if first == name)):
        if alias in tensors:
            tensor = tensors[alias]
            if tensor.shape != parameter.shape:
                raise InputError(
                    f"{argument} has {alias} in shape {tuple(tensor.shape)} and the model in "
                    f"{tuple(parameter.shape)}: pass that of this model"
                )
            return tensor.detach().to(parameter.device)
    raise InputError(f"{argument} lacks {name}: {why}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
