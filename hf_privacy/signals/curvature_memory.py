"""How many examples a Hessian-vector product may take at a time without needing more memory than a training step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch.autograd.graph import saved_tensors_hooks

from hf_privacy.signals.curvature_estimators import Losses, total

# Measured on a ResNet-18 and a small ViT. A training step keeps 1.4 to 1.7 times what a frozen model keeps for the
# gradient of its inputs; the peak of a double backward is 1.25 to 1.6 times what its graphs keep.
_TRAINING_STEP, _DOUBLE_BACKWARD = 1.4, 1.6


def examples_at_a_time(
    losses: Losses,
    points: torch.Tensor,
    *,
    weights: Iterable[torch.Tensor],
    gradient_bytes: int,
) -> int:
    """Examples whose double backward needs about the memory of one training step on the whole batch.

    Bytes that autograd keeps are counted for the first example, in the graph of its loss and in that of its gradient.
    Small images in a large network go all at once; where activations outweigh the weights, in two to four parts.

    Parameters
    ----------
    losses : callable
        From points and their rows to losses, with the model's weights frozen.
    points : tensor [B, ...]
    weights : iterable of tensor
        Weights and buffers, which are there anyway and not counted.
    gradient_bytes : int
        Size of the gradients of the weights that train.

    Returns
    -------
    int
        From 1 to B, such that the parts are about equal.

    Examples
    --------
    >>> from torch import nn
    >>> layers = nn.Sequential(*[nn.Tanh() for _ in range(8)])
    >>> losses = lambda points, rows: layers(points).sum(1)
    >>> examples_at_a_time(losses, torch.zeros(12, 1000), weights=(), gradient_bytes=0)
    4
    >>> examples_at_a_time(losses, torch.zeros(12, 1000), weights=(), gradient_bytes=10**7)
    12
    """
    if len(points) == 1:
        return 1
    ours = {weight.untyped_storage().data_ptr() for weight in weights}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ours:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = points[:1].detach().clone().requires_grad_(True)
    with saved_tensors_hooks(note, lambda tensor: tensor):
        loss = total(losses(x, slice(0, 1)))
        by_loss = sum(kept.values())
        gradient = torch.autograd.grad(loss, x, create_graph=True)
        by_both = sum(kept.values())
    del loss, gradient
    step = gradient_bytes + _TRAINING_STEP * by_loss * len(points)
    n_parts = math.ceil(_DOUBLE_BACKWARD * by_both * len(points) / max(step, 1))
    return math.ceil(len(points) / min(max(n_parts, 1), len(points)))
