"""What kind of layer each weight belongs to: convolution, linear, attention, norm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from peft import PeftModel
from torch import nn

from hf_privacy.arguments import seen
from hf_privacy.errors import InputError
from hf_privacy.models.head import class_parameters
from hf_privacy.models.modes import bare_model
from hf_privacy.tasks import task_of

KINDS = ("conv", "linear", "attention", "norm", "embedding", "other")

_ATTENTION = re.compile("attention|attn", re.IGNORECASE)
_BIAS = re.compile(r"(^|_)bias(_|$)")
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
_NORM = re.compile(r"norm(act)?(\dd)?$", re.IGNORECASE)


def weight_kinds(model: nn.Module) -> dict[str, str]:
    """The kind of layer that each parameter belongs to, biases included.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    dict of str
        By parameter name, in the order of ``model.named_parameters()``; a tied weight stands once, under its first
        name. The kinds:

        - ``"norm"``: batch, layer, group, instance and RMS norms, inside attention blocks too;
        - ``"linear"``: fully connected layers outside attention (the head is one), and every LoRA matrix;
        - ``"attention"``: projections of attention blocks, told by "attention" or "attn" in the name of a module
          around the layer or of its class;
        - ``"conv"``: convolutions of any dimension;
        - ``"embedding"``: tables of `torch.nn.Embedding`;
        - ``"other"``: what is left, such as class tokens, position embeddings and layer scales.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, affine=False), nn.Flatten(), nn.Linear(2, 2))
    >>> weight_kinds(net)
    {'0.weight': 'conv', '0.bias': 'conv', '3.weight': 'linear', '3.bias': 'linear'}
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    return {name: _kind(name, modules) for name, _ in model.named_parameters()}


def which_weights(
    model: nn.Module,
    *,
    kinds: Sequence[str] = ("conv", "linear", "attention", "norm"),
    biases: bool = False,
    head: bool = True,
    trainable_only: bool = True,
) -> list[str]:
    """Names of the parameters to rank: by default the weights of all layers, the head's included, without biases.

    Parameters
    ----------
    model : torch.nn.Module
    kinds : sequence of str
        Kinds of layer to take, see `weight_kinds`.
    biases : bool
        Whether the biases of these layers are taken too.
    head : bool
        Whether the last layer is taken: a language model's output embeddings, and the input's where they are tied to
        them, or the layer that scores the classes.
    trainable_only : bool
        Leave out parameters that need no gradient: under LoRA, the base model.

    Returns
    -------
    list of str
        In the order of ``model.named_parameters()``.

    Raises
    ------
    InputError
        For an unknown kind, or if no parameter is left.

    References
    ----------
    CWRF (arXiv 2603.13186) ranks convolution, linear, attention and norm weights; leaving out biases is our default.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    >>> which_weights(net)
    ['0.weight', '1.weight', '2.weight']
    >>> which_weights(net, kinds=["linear"], biases=True)
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    if not isinstance(kinds, (list, tuple)) or not kinds or not all(kind in KINDS for kind in kinds):
        raise InputError(f"kinds is {seen(kinds)}: pass a list of {', '.join(KINDS)}")
    parameters = dict(model.named_parameters())
    left_out = set() if head else _head_parameters(model)
    names = [
        name
        for name, kind in weight_kinds(model).items()
        if kind in kinds
        and (biases or not _is_bias(name))
        and (parameters[name].requires_grad or not trainable_only)
        and name not in left_out
    ]
    if not names:
        which = "trainable weights" if trainable_only else "weights"
        raise InputError(f"kinds is {list(kinds)}: {type(model).__name__} has no {which} of such layers, pass others")
    return names


def _head_parameters(model: nn.Module) -> set[str]:
    if task_of(model).has_classes:
        return class_parameters(model)
    bare = bare_model(model)
    base: Any = bare.get_base_model() if isinstance(bare, PeftModel) else bare
    own = {id(parameter) for parameter in base.get_output_embeddings().parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


def _kind(name: str, modules: dict[str, nn.Module]) -> str:
    path, _, _ = name.rpartition(".")
    owner = modules[path]
    parts = path.split(".")
    # A LoRA matrix on a convolution is a convolution to PyTorch; it is a linear map between low ranks all the same.
    if any(part.startswith("lora_") for part in parts):
        return "linear"
    # Models bring norms of their own (LlamaRMSNorm, T5LayerNorm), which share no base class.
    if isinstance(owner, _NORMS) or _NORM.search(type(owner).__name__):
        return "norm"
    if isinstance(owner, nn.modules.conv._ConvNd):
        return "conv"
    # GPT-2's Conv1D is a transposed linear layer, and no convolution.
    if isinstance(owner, (nn.Linear, nn.Bilinear, nn.MultiheadAttention)) or type(owner).__name__ == "Conv1D":
        # The whole model's own class name says nothing of the layer: SomeAttentionNet has linear layers too.
        around = [".".join(parts[: depth + 1]) for depth in range(len(parts))] if path else []
        names = [*parts, *(type(modules[module]).__name__ for module in around)]
        return "attention" if any(_ATTENTION.search(part) for part in names) else "linear"
    if isinstance(owner, (nn.Embedding, nn.EmbeddingBag)):
        return "embedding"
    return "other"


def _is_bias(name: str) -> bool:
    return _BIAS.search(name.rpartition(".")[2]) is not None
