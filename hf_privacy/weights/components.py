"""Rank-1 components of LoRA adapters, ΔW = s · Σ_i b_i a_iᵀ: each is a map of its own, as no entry of A or B is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from hf_privacy.errors import InputError


def lora_components(model: nn.Module) -> dict[str, str]:
    """Names of the trained matrices B, whose columns are the components, and of the A whose rows belong to them.

    Parameters
    ----------
    model : torch.nn.Module
        With or without an adapter.

    Returns
    -------
    dict of str
        In the order of ``model.named_parameters()``; empty without LoRA. Component i is column i of B and row i of A,
        convolutions and embeddings included.

    Examples
    --------
    >>> from peft import LoraConfig, get_peft_model
    >>> adapted = get_peft_model(nn.Sequential(nn.Linear(3, 2)), LoraConfig(r=1, target_modules=["0"]))
    >>> lora_components(adapted)
    {'base_model.model.0.lora_B.default.weight': 'base_model.model.0.lora_A.default.weight'}
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {}
    for module in model.modules():
        if not isinstance(module, LoraLayer):
            continue
        for below, above in ((module.lora_A, module.lora_B), (module.lora_embedding_A, module.lora_embedding_B)):
            for adapter in above:
                a, b = (
                    part if isinstance(part := side[adapter], nn.Parameter) else part.weight for side in (below, above)
                )
                if b.requires_grad:
                    found[names[id(b)]] = names[id(a)]
    return {name: found[name] for name in names.values() if name in found}


def component_mask(model: nn.Module, selected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The mask of the weights that components are made of, for `rewind`, `zero` and `FrozenWeights`.

    Parameters
    ----------
    model : torch.nn.Module
        With a LoRA adapter.
    selected : mapping of str to bool tensor of shape [r]
        By name of B, as `select` returns it from the scores of columns; an A that is not trained stays out.

    Raises
    ------
    InputError
        For a name that is no trained B of the model, or a mask of another length.

    Examples
    --------
    >>> from peft import LoraConfig, get_peft_model
    >>> adapted = get_peft_model(nn.Sequential(nn.Linear(3, 2)), LoraConfig(r=2, target_modules=["0"]))
    >>> (name,) = lora_components(adapted)
    >>> b, a = component_mask(adapted, {name: torch.tensor([False, True])}).values()
    >>> b.tolist(), a.tolist()
    ([[False, True], [False, True]], [[False, False, False], [True, True, True]])
    """
    pairs, mask = lora_components(model), {}
    for name, chosen in selected.items():
        if name not in pairs:
            raise InputError(f"selected holds {name}: the {type(model).__name__} has no LoRA components of that name")
        a, b = model.get_parameter(pairs[name]), model.get_parameter(name)
        if chosen.dtype != torch.bool or chosen.shape != b.shape[1:2]:
            raise InputError(
                f"the components selected of {name} have dtype {chosen.dtype} and shape {tuple(chosen.shape)}: pass "
                f"{b.shape[1]} booleans"
            )
        own = chosen.to(b.device)
        mask[name] = own.reshape(1, -1, *[1] * (b.ndim - 2)).expand_as(b).clone()
        if a.requires_grad:
            mask[pairs[name]] = own.reshape(-1, *[1] * (a.ndim - 1)).expand_as(a).clone()
    return mask


def component_norms(model: nn.Module) -> dict[str, torch.Tensor]:
    """The Frobenius norm ‖b_i‖·‖a_i‖ of each component [r], by name of B, without LoRA's factor s.

    Examples
    --------
    >>> from peft import LoraConfig, get_peft_model
    >>> adapted = get_peft_model(nn.Sequential(nn.Linear(3, 2)), LoraConfig(r=2, target_modules=["0"]))
    >>> [norms.tolist() for norms in component_norms(adapted).values()]  # B is zero at first
    [[0.0, 0.0]]
    """
    norms = {}
    for name_b, name_a in lora_components(model).items():
        a, b = (model.get_parameter(name).detach() for name in (name_a, name_b))
        a, b = (part if part.dtype == torch.float64 else part.float() for part in (a, b))
        norms[name_b] = b.transpose(0, 1).flatten(1).norm(dim=1) * a.flatten(1).norm(dim=1)
    return norms
