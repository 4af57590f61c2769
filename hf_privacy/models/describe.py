"""What there is to say about a model: sizes and names."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from hf_privacy.errors import InputError


def describe_model(
    model: PreTrainedModel | PeftModel, *, base_model: str | Path | None = None, base_revision: str | None = None
) -> dict[str, Any]:
    """The model's identity for a report.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
    base_model : str or Path, optional
        What it was fine-tuned from; an adapter knows its own. Given back as it is: for publication see
        `hf_privacy.reports.public_name`.
    base_revision : str, optional
        The base's revision on the Hub.

    Returns
    -------
    dict
        ``architecture`` (class name, with timm's own name for timm models), ``base_model``, ``base_revision``,
        ``n_parameters``, ``n_trainable_parameters`` (those that require gradients), ``adapter`` (``"lora"`` or None).

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))
    >>> describe_model(model)["n_parameters"]
    67
    """
    adapter = None
    inner = model
    if isinstance(model, PeftModel):
        config = model.peft_config[model.active_adapter]
        inner = model.get_base_model()
        adapter = str(config.peft_type.value).lower()
        base_model = base_model or config.base_model_name_or_path
        base_revision = base_revision or config.revision
    if not isinstance(inner, PreTrainedModel):
        raise InputError(f"model is a {type(model).__name__}: pass a transformers model or a PEFT adapter on one")
    architecture = type(inner).__name__
    if inner.config.model_type == "timm_wrapper":
        architecture = f"{architecture} ({inner.config.architecture})"
    return {
        "architecture": architecture,
        "base_model": None if base_model is None else str(base_model),
        "base_revision": base_revision,
        "n_parameters": sum(_size(parameter) for parameter in model.parameters()),
        "n_trainable_parameters": sum(_size(parameter) for parameter in model.parameters() if parameter.requires_grad),
        "adapter": adapter,
    }


def _size(parameter: torch.Tensor) -> int:
    """Number of values; in four bits (bitsandbytes) two lie in a byte, and the shape stands beside them."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else math.prod(packed.shape)
