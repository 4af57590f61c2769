"""The estimator that a method names, with the passes through a model that it needs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hf_privacy.signals.curvature_estimators import (
    Losses,
    by_finite_differences,
    by_hessian_products,
    by_zero_order,
)
from hf_privacy.signals.curvature_memory import examples_at_a_time
from hf_privacy.signals.curvature_model import twice_differentiable
from hf_privacy.signals.curvature_vectors import random_vectors


def estimated(
    losses: Losses,
    points: torch.Tensor,
    free: torch.Tensor | None,
    *,
    method: str,
    n_vectors: int,
    h: float | torch.Tensor,
    generator: torch.Generator | None,
    model: torch.nn.Module,
    trainable: Sequence[torch.nn.Parameter],
) -> dict[str, torch.Tensor]:
    """What `hf_privacy.signals.input_curvature` gives of `losses` at `points`, each [B].

    Parameters
    ----------
    losses, points
    free : bool tensor [B, L, 1], optional
        Which tokens of a text may move.
    method, n_vectors, h, generator
        As in `input_curvature`; a tensor `h`, [B, 1, ...], has a step a point.
    model : torch.nn.Module
        Behind the losses, with its weights frozen.
    trainable : sequence of Parameter
        Those that train otherwise.
    """
    n_drawn = 2 * n_vectors if method == "zero_order" else n_vectors
    vectors = random_vectors(points, free, n=n_drawn, generator=generator)
    if method == "finite_difference":
        return by_finite_differences(losses, points, vectors, n_vectors, h=h)
    if method == "zero_order":
        return by_zero_order(losses, points, vectors, n_vectors, h=h)
    with twice_differentiable():
        part_size = examples_at_a_time(
            losses,
            points,
            weights=[*model.parameters(), *model.buffers()],
            gradient_bytes=sum(parameter.nbytes for parameter in trainable),
        )
        return by_hessian_products(losses, points, vectors, n_vectors, part_size=part_size)
