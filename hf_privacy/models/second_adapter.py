"""A second adapter on top of a trained one, and both as one."""

from __future__ import annotations

import copy

import torch
from peft import LoraConfig, PeftModel
from torch import nn

from hf_privacy.errors import InputError

FIRST, SECOND = "default", "second"


def add_second_adapter(model: nn.Module, *, seed: int) -> None:
    """Freeze the adapter of a model, its dropout too, and add another of the same kind to train on top of it.

    The new one adds nothing at first, so that the model's function stays as it is.

    Parameters
    ----------
    model : PeftModel
        Changed in place.
    seed : int
        Of the new adapter's first draw.

    Raises
    ------
    InputError
        For a model without an adapter, or with one that is no plain sum beside its base: DoRA, trained biases, trained
        rows of embeddings, or modules that are trained and saved in full.
    """
    if not isinstance(model, PeftModel) or list(model.peft_config) != [FIRST]:
        raise InputError(
            f"second_adapter is set and the {type(model).__name__} has no adapter, or several: leave it out"
        )
    config = model.peft_config[FIRST]
    sums = isinstance(config, LoraConfig) and not config.use_dora and config.bias == "none" and not config.lora_bias
    if not sums or config.modules_to_save or config.trainable_token_indices:
        raise InputError(
            "second_adapter is set and the model's adapter is no plain LoRA: DoRA, trained biases, "
            "trainable_token_indices and modules_to_save do not add up with another; leave it out, and the adapter "
            "itself is trained"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.add_adapter(SECOND, copy.deepcopy(config))
    model.base_model.set_adapter([FIRST, SECOND])
    for module in model.modules():
        for kind in ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"):
            adapters = getattr(module, kind, {})
            if FIRST in adapters:
                adapters[FIRST].requires_grad_(False)
        if FIRST in getattr(module, "lora_dropout", {}):
            module.lora_dropout[FIRST] = nn.Identity()


def first_adapter_alone(model: PeftModel) -> PeftModel:
    """The model itself with the second adapter off and nothing to train."""
    model.base_model.set_adapter(FIRST)
    model.requires_grad_(False)
    return model


def join_adapters(model: PeftModel) -> None:
    """Make one adapter of both, exactly: its rank is the sum of theirs, and it is saved and loaded as any other."""
    both = model.base_model
    # peft gives the joined one the α of a plain LoRA, of scale 1: under rsLoRA's rule its scale would be √rank.
    both.peft_config[FIRST].use_rslora = False
    both.add_weighted_adapter([FIRST, SECOND], [1.0, 1.0], "joined", combination_type="cat")
    both.set_adapter("joined")
    for name in (FIRST, SECOND):
        model.delete_adapter(name)
    both.add_weighted_adapter(["joined"], [1.0], FIRST, combination_type="cat")
    model.set_adapter(FIRST)
    model.delete_adapter("joined")
