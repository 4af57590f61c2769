"""A model after four-bit quantisation, on any device: what was pushed only a little falls back to its old value."""

from __future__ import annotations

import copy

import torch
from torch import nn

from hf_privacy.arguments import check_whole
from hf_privacy.errors import InputError

# NF4: the quantiles of a normal distribution, with an exact zero; as published with QLoRA.
NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)


def in_four_bits(model: nn.Module, *, block_size: int = 64) -> nn.Module:
    """A copy whose linear layers hold what NF4 leaves of their weights; computed with as before.

    The output head stays as it is, as transformers leaves it, and so do embeddings and norms. Of an adapter the base's
    layers are quantised and the adapter is not, as it is served on a quantised base; to have both quantised pass
    the merged model (``merge_and_unload``).

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is.
    block_size : int, default 64
        Weights that share one scale, their largest magnitude. The scale itself stays in float32: quantising it too
        ("double quantisation") moves weights by a thousandth of it.

    Raises
    ------
    InputError
        If no linear layer is found.

    References
    ----------
    Dettmers et al., "QLoRA: efficient finetuning of quantized LLMs", NeurIPS 2023 (arXiv 2305.14314). That it brings
    back what was unlearned: Zhang et al., "Catastrophic failure of LLM unlearning via quantization", ICLR 2025
    (arXiv 2410.16454).

    Examples
    --------
    >>> layer = nn.Sequential(nn.Linear(2, 1, bias=False))
    >>> _ = layer[0].weight.data.copy_(torch.tensor([[2.0, 0.9]]))
    >>> in_four_bits(layer)[0].weight
    Parameter containing:
    tensor([[2.0000, 0.8814]], requires_grad=True)
    """
    check_whole("block_size", block_size, at_least=1)
    quantised = copy.deepcopy(model)
    head = getattr(quantised, "get_output_embeddings", lambda: None)()
    layers = [
        module
        for name, module in quantised.named_modules()
        if isinstance(module, nn.Linear) and module is not head and "lora_" not in name
    ]
    if not layers:
        raise InputError(f"{type(model).__name__} has no linear layer to be quantised")
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(nf4(layer.weight, block_size=block_size))
    return quantised


def nf4(weight: torch.Tensor, *, block_size: int = 64) -> torch.Tensor:
    """Each weight rounded to the nearest of 16 values, in units of its block's largest magnitude.

    Examples
    --------
    >>> nf4(torch.tensor([1.0, -0.02, 0.5]))
    tensor([1.0000, 0.0000, 0.4407])
    """
    flat = weight.detach().float().flatten()
    blocks = nn.functional.pad(flat, (0, -len(flat) % block_size)).view(-1, block_size)
    scale = blocks.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    values = torch.tensor(NF4, device=weight.device)
    borders = (values[1:] + values[:-1]) / 2
    nearest = values[torch.bucketize(blocks / scale, borders)] * scale
    return nearest.flatten()[: len(flat)].view_as(weight).to(weight.dtype)
