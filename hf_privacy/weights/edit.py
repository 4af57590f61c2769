"""Edits of the weights under a mask, in place: rewind, zero, re-initialise, perturb, dampen.

Every edit changes masked entries only; all others keep their bits. Weights keep their dtype and device, and a tied
weight is edited once.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from hf_privacy.arguments import check_number
from hf_privacy.errors import InputError
from hf_privacy.weights.checks import check_mask, find_tensor


@torch.no_grad()
def rewind(model: nn.Module, mask: Mapping[str, torch.Tensor], initial_state: Mapping[str, torch.Tensor]) -> None:
    """Put masked weights back to what they were before training: θ ← ¬B ⊙ θ + B ⊙ θ_init.

    Parameters
    ----------
    model : torch.nn.Module
    mask : mapping of str to bool tensor
        By parameter name, True where the weight is to be edited, as `select` returns it.
    initial_state : mapping of str to tensor
        ``state_dict()`` of the network before training; it must hold every parameter of the mask. Buffers in it, such
        as running means, are left alone: they are no weights.

    Raises
    ------
    InputError
        If the mask does not suit the model, or the initial state lacks a parameter. Nothing is changed then.

    References
    ----------
    CWRF (arXiv 2603.13186).

    Examples
    --------
    >>> net = nn.Linear(2, 1, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[1.0, 2.0]]))
    >>> rewind(net, {"weight": torch.tensor([[False, True]])}, {"weight": torch.tensor([[7.0, 8.0]])})
    >>> net.weight.tolist()
    [[1.0, 8.0]]
    """
    checked = check_mask(model, mask)
    why = "pass the state_dict() of this model before it was trained"
    initial = {name: find_tensor(model, initial_state, name, argument="initial_state", why=why) for name in checked}
    for name, selected in checked.items():
        _put(model.get_parameter(name), selected, initial[name][selected])


@torch.no_grad()
def zero(model: nn.Module, mask: Mapping[str, torch.Tensor]) -> None:
    """Set masked weights to zero.

    Examples
    --------
    >>> net = nn.Linear(2, 1, bias=False)
    >>> zero(net, {"weight": torch.tensor([[True, True]])})
    >>> net.weight.tolist()
    [[0.0, 0.0]]
    """
    for name, selected in check_mask(model, mask).items():
        model.get_parameter(name).masked_fill_(selected, 0.0)


@torch.no_grad()
def reinitialise(
    model: nn.Module,
    mask: Mapping[str, torch.Tensor],
    *,
    std: float | None = None,
    generator: torch.Generator | None = None,
) -> None:
    """Draw masked weights anew, as their layer draws them when it is made, or from N(0, std²).

    Parameters
    ----------
    model, mask
        As in `rewind`.
    std : float, optional
        Above 0. Without it each layer's own ``reset_parameters`` decides, which for layers of transformers models is
        PyTorch's initialisation and not the model's (often std 0.02).
    generator : torch.Generator, optional
        Source of the draws; by default PyTorch's global one.

    Raises
    ------
    InputError
        If the mask does not suit the model, std is not above 0, or a layer has no ``reset_parameters`` and no std is
        given. Nothing is changed then.

    Examples
    --------
    >>> net = nn.Linear(100, 1, bias=False)
    >>> before = net.weight.detach().clone()
    >>> reinitialise(net, {"weight": torch.arange(100)[None] < 50}, generator=torch.Generator().manual_seed(0))
    >>> int((net.weight != before).sum()), float(net.weight.abs().max()) <= 0.1
    (50, True)
    """
    checked = check_mask(model, mask)
    if std is not None:
        std = check_number("std", std, 0.0, low_open=True)
        for name, selected in checked.items():
            _put(model.get_parameter(name), selected, std * _normal(selected, generator))
        return
    for name in checked:
        layer = model.get_submodule(name.rpartition(".")[0])
        if not callable(getattr(layer, "reset_parameters", None)):
            raise InputError(f"{name} belongs to a {type(layer).__name__}, which cannot reset itself: pass std")
    fresh = _fresh_layers(model, sorted({name.rpartition(".")[0] for name in checked}), generator)
    for name, selected in checked.items():
        path, _, own_name = name.rpartition(".")
        _put(model.get_parameter(name), selected, fresh[path].get_parameter(own_name)[selected])


@torch.no_grad()
def perturb(
    model: nn.Module,
    mask: Mapping[str, torch.Tensor],
    *,
    sigma: float | Mapping[str, torch.Tensor],
    generator: torch.Generator | None = None,
    noise: str = "gaussian",
) -> None:
    """Add noise to masked weights, in proportion to the spread of each layer or of a given size for each weight.

    Parameters
    ----------
    model, mask
        As in `rewind`.
    sigma : float or mapping of str to tensor
        A float above 0: the noise is N(0, (σ · s)²), s the standard deviation of all entries of the weight's tensor
        before the edit (divisor n). A tensor whose entries are all equal has s = 0 and stays as it is. Tensors by
        parameter name: the standard deviation of each weight's own noise, not scaled (Fisher unlearning).
    generator : torch.Generator, optional
        Source of the noise; by default PyTorch's global one.
    noise : {"gaussian"}

    Raises
    ------
    InputError
        If the mask does not suit the model, or sigma is not above 0 (tensors: negative or not finite, or one is
        missing). Nothing is changed then.

    References
    ----------
    Fine-grained parameter perturbation (arXiv 2401.04385), Top-K and Random-k; the scale is our default.

    Examples
    --------
    >>> net = nn.Linear(3, 1, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
    >>> mask = {"weight": torch.tensor([[False, False, True]])}
    >>> perturb(net, mask, sigma=0.5, generator=torch.Generator().manual_seed(0))
    >>> net.weight[0, :2].tolist(), bool(net.weight[0, 2] != 3.0)
    ([1.0, 2.0], True)
    """
    if noise != "gaussian":
        raise InputError(f"noise is {noise!r}: pass 'gaussian'")
    checked = check_mask(model, mask)
    spreads: dict[str, torch.Tensor] = {}
    if isinstance(sigma, Mapping):
        for name, selected in checked.items():
            own = find_tensor(model, sigma, name, argument="sigma", why="pass a tensor for each masked parameter")
            spreads[name] = own[selected]
            if not bool(((spreads[name] >= 0) & spreads[name].isfinite()).all()):
                raise InputError(f"sigma of {name} holds negative, NaN or infinite values: pass standard deviations")
    else:
        sigma = check_number("sigma", sigma, 0.0, low_open=True)
        for name in checked:
            spreads[name] = sigma * _wide(model.get_parameter(name)).std(correction=0)
    for name, selected in checked.items():
        parameter = model.get_parameter(name)
        change = _normal(selected, generator) * spreads[name]
        _put(parameter, selected, _wide(parameter[selected]) + change)


@torch.no_grad()
def dampen(model: nn.Module, mask: Mapping[str, torch.Tensor], factors: Mapping[str, torch.Tensor]) -> None:
    """Multiply masked weights by factors in [0, 1].

    Parameters
    ----------
    model, mask
        As in `rewind`.
    factors : mapping of str to tensor
        By parameter name, of its shape.

    Raises
    ------
    InputError
        If the mask does not suit the model, or a factor under it is missing or outside [0, 1]. Nothing is changed
        then.

    References
    ----------
    SSD (arXiv 2308.07707): where F_forget > α F_all, w × min(λ F_all / F_forget, 1).

    Examples
    --------
    >>> net = nn.Linear(2, 1, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[2.0, 4.0]]))
    >>> dampen(net, {"weight": torch.tensor([[False, True]])}, {"weight": torch.tensor([[0.5, 0.25]])})
    >>> net.weight.tolist()
    [[2.0, 1.0]]
    """
    checked = check_mask(model, mask)
    chosen: dict[str, torch.Tensor] = {}
    for name, selected in checked.items():
        factor = find_tensor(model, factors, name, argument="factors", why="pass a tensor for each masked parameter")
        chosen[name] = factor[selected]
        if not bool(((chosen[name] >= 0) & (chosen[name] <= 1)).all()):
            raise InputError(f"factors of {name} lie outside [0, 1]: pass shares of the weight that are to stay")
    for name, selected in checked.items():
        parameter = model.get_parameter(name)
        _put(parameter, selected, _wide(parameter[selected]) * chosen[name])


def _put(parameter: nn.Parameter, selected: torch.Tensor, values: torch.Tensor) -> None:
    parameter[selected] = values.to(device=parameter.device, dtype=parameter.dtype)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    """In float32, or float64 as it is: bfloat16 has no room for a small change until it is added."""
    return tensor.detach() if tensor.dtype == torch.float64 else tensor.detach().float()


def _normal(selected: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """A standard normal number for each masked entry."""
    device = generator.device if generator is not None else selected.device
    return torch.randn(int(selected.sum()), generator=generator, device=device).to(selected.device)


def _fresh_layers(model: nn.Module, paths: list[str], generator: torch.Generator | None) -> dict[str, nn.Module]:
    layers = {path: copy.deepcopy(model.get_submodule(path)) for path in paths}
    if generator is None:
        for layer in layers.values():
            layer.reset_parameters()  # type: ignore[operator]
        return layers
    # reset_parameters draws from the global generator: it is seeded from ours, and put back afterwards.
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    devices = {tensor.device for layer in layers.values() for tensor in layer.parameters() if tensor.is_cuda}
    with torch.random.fork_rng(devices=sorted(devices, key=str)):
        torch.manual_seed(seed)
        for layer in layers.values():
            layer.reset_parameters()  # type: ignore[operator]
    return layers
