"""Clipped gradients by Opacus's hooks on the layers: per-sample gradients, or ghost norms and a second pass."""

from __future__ import annotations

from typing import Any

import torch

from hf_privacy.defenses.dp.clipping import Losses, cannot_follow, clip_and_sum, clip_factors


def clipped_sum_by_hooks(
    model: torch.nn.Module, batch: dict[str, torch.Tensor], max_norm: float, losses_of: Losses, hooks: Any
) -> tuple[list[torch.Tensor | None], torch.Tensor]:
    """The clipped sum of a batch from the gradients that hooks left of each example."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    losses = losses_of(model, batch)
    losses.sum().backward()
    samples = [getattr(parameter, "grad_sample", None) for parameter in parameters]
    for parameter, sample in zip(parameters, samples, strict=True):
        if sample is None and parameter.grad is not None:
            raise cannot_follow("hooks", "a weight got no gradients")
        if sample is not None and (isinstance(sample, list) or len(sample) != len(losses)):
            raise cannot_follow("hooks", f"a weight got {len(sample)} gradients for {len(losses)} examples")
    gradients = clip_and_sum(samples, max_norm)
    for parameter in parameters:
        parameter.grad_sample = None
        parameter.grad = None
    return gradients, losses.detach()


def clipped_sum_by_ghost(
    model: torch.nn.Module, batch: dict[str, torch.Tensor], max_norm: float, losses_of: Losses, hooks: Any
) -> tuple[list[torch.Tensor | None], torch.Tensor]:
    """The clipped sum of a batch by a second pass, weighted by what the norms that hooks left ask for."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    half = any(parameter.dtype in (torch.bfloat16, torch.float16) for parameter in parameters)
    if half or torch.is_autocast_enabled(parameters[0].device.type):
        raise cannot_follow("ghost", "in half precision its norms are rounded, and clip by less than they say")
    losses = losses_of(model, batch)
    losses.sum().backward(retain_graph=True)
    norms = [getattr(parameter, "_norm_sample", None) for parameter in parameters]
    if any(norm is None and p.grad is not None for norm, p in zip(norms, parameters, strict=True)) or any(
        norm is not None and len(norm) != len(losses) for norm in norms
    ):
        raise cannot_follow("ghost", "a weight got no norm for each example")
    reached = torch.stack([norm.flatten().float() for norm in norms if norm is not None])
    factors = clip_factors(reached.norm(dim=0), max_norm)
    for parameter in parameters:
        parameter.grad = None
    hooks.disable_hooks()
    (losses * factors).sum().backward()
    hooks.enable_hooks()
    gradients = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = parameter._norm_sample = None
    return gradients, losses.detach()
