"""An adapter added to the weights it stands on: the model as one without it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import ModulesToSaveWrapper
from torch import nn

from hf_privacy.errors import InputError
from hf_privacy.models.push_guard import guard_push


def adapted_weights(model: nn.Module) -> list[str]:
    """The weights that an adapter changes, by their names in the model without it; none of a model without adapter.

    Those of the layers it adds to, and of the modules that are trained and saved in full beside it.
    """
    if not isinstance(model, PeftModel):
        return []
    names = []
    for path, module in model.get_base_model().named_modules():
        if isinstance(module, BaseTunerLayer):
            names.append(f"{path}.weight")
        elif isinstance(module, ModulesToSaveWrapper):
            names += [f"{path}.{name}" for name, _ in module.original_module.named_parameters()]
    return names


@torch.no_grad()
def merged_adapter(model: PeftModel) -> tuple[Any, dict[str, torch.Tensor]]:
    """A copy of the model with its adapter added to the base's weights, and these weights without it.

    The model itself, and the base it may share, stay as they are.

    Returns
    -------
    model : PreTrainedModel
        Of the same function but for rounding, with those weights trainable that the adapter changed.
    base : dict of str to tensor
        Each layer's weight before the adapter is added to it, by its name in the copy: the model's own tensors, not to
        be changed. The modules saved in full are not among them.

    Raises
    ------
    InputError
        For a base in four bits, whose weights cannot take what would be added.
    """
    if getattr(model.get_base_model(), "is_loaded_in_4bit", False):
        raise InputError(
            "the base is in four bits, which round away most of what an adapter would add to them: leave the adapter "
            "as it is, or open the base without model.quantization"
        )
    changed = set(adapted_weights(model))
    base = {
        f"{path}.weight": module.get_base_layer().weight.detach()
        for path, module in model.get_base_model().named_modules()
        if isinstance(module, BaseTunerLayer)
    }
    merged = guard_push(copy.deepcopy(model).merge_and_unload())
    merged.train(model.training)
    for name, parameter in merged.named_parameters():
        parameter.requires_grad_(name in changed)
    return merged, base
