"""What a model knew before it was fine-tuned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from peft import PeftModel
from torch import nn

from hf_privacy.errors import InputError
from hf_privacy.models.modes import bare_model

Model = TypeVar("Model", bound=nn.Module)


@contextmanager
def base_of(model: Model) -> Iterator[Model]:
    """Inside, the model with its adapter off: the checkpoint it was fine-tuned from, without a second copy of it.

    Modules saved in full beside the adapter (``modules_to_save``) are the checkpoint's own inside, too.

    Parameters
    ----------
    model : PeftModel
        May be wrapped (:func:`bare_model`).

    Yields
    ------
    PeftModel
        The same object. On leaving, adapter and ``requires_grad`` are as they were.

    Raises
    ------
    InputError
        For a model without adapter, or one whose adapter trains biases: these are the base's own, changed in place.

    Examples
    --------
    >>> import torch
    >>> from peft import LoraConfig, get_peft_model
    >>> adapted = get_peft_model(nn.Sequential(nn.Linear(1, 1)), LoraConfig(target_modules=["0"]))
    >>> _ = nn.init.ones_(adapted.base_model.model[0].lora_B["default"].weight)
    >>> x = torch.ones(1, 1)
    >>> with base_of(adapted) as base:
    ...     before = base(x)
    >>> bool(torch.equal(before, adapted(x))), bool(torch.equal(before, adapted.unload()(x)))
    (False, True)
    """
    bare = bare_model(model)
    if not isinstance(bare, PeftModel):
        raise InputError(
            f"model is a {type(bare).__name__} without an adapter to take off: load the checkpoint that it was "
            "fine-tuned from"
        )
    config = bare.peft_config[bare.active_adapter]
    if getattr(config, "bias", "none") != "none":
        raise InputError(
            f"the adapter trains biases (bias: {config.bias}), which stay changed with the adapter off: "
            "load the base checkpoint"
        )
    # peft asks gradients of every adapter it switches on.
    asked = [(parameter, parameter.requires_grad) for parameter in bare.parameters()]
    try:
        with bare.disable_adapter():
            yield model
    finally:
        for parameter, requires_grad in asked:
            parameter.requires_grad_(requires_grad)
