"""A ball around each example of a batch: random points in it, the way back into it, the steepest way out."""

from __future__ import annotations

from collections.abc import Callable

import torch

Draw = Callable[[torch.Size], torch.Tensor]


def uniform_in_ball(
    points: torch.Tensor,
    *,
    epsilon: float,
    norm: str,
    free: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Differences from `points`, uniform in the ball of each example over the entries that may move.

    Parameters
    ----------
    points : tensor [B, ...]
        For shape, dtype and device.
    epsilon : float
        Radius.
    norm : {"linf", "l2"}
    free : bool tensor, broadcastable to `points`, optional
        Entries that may move; the others get 0 and do not count as dimensions.
    generator : torch.Generator, optional
        By default torch's global one of the device of `points`.

    Examples
    --------
    >>> noise = uniform_in_ball(torch.zeros(5, 3), epsilon=0.1, norm="l2")
    >>> noise.shape, bool((noise.norm(dim=1) <= 0.1).all())
    (torch.Size([5, 3]), True)
    """
    device = points.device if generator is None else generator.device
    return drawn_in_ball(
        points,
        epsilon=epsilon,
        norm=norm,
        free=free,
        uniform=lambda shape: _sent(torch.rand(shape, device=device, generator=generator), points.device),
        normal=lambda shape: _sent(torch.randn(shape, device=device, generator=generator), points.device),
    )


def _sent(drawn: torch.Tensor, device: torch.device) -> torch.Tensor:
    return drawn.to(device, non_blocking=device.type not in ("cpu", "mps"))


def drawn_in_ball(
    points: torch.Tensor, *, epsilon: float, norm: str, free: torch.Tensor | None, uniform: Draw, normal: Draw
) -> torch.Tensor:
    """As `uniform_in_ball`, from numbers of one's own.

    Parameters
    ----------
    uniform, normal : callable
        From a shape to float32 numbers uniform in [0, 1) and standard Gaussian, on the device of `points`.
    """
    if norm == "linf":
        return epsilon * _held(uniform(points.shape).mul_(2).sub_(1), free)
    direction = _held(normal(points.shape), free)
    share = uniform(points.shape[:1])
    if free is None:
        n_entries = torch.full_like(share, points[0].numel())
    else:
        n_entries = free.expand_as(points).flatten(1).sum(dim=1).clamp(min=1).to(share.dtype)
    # The volume within radius r grows as r^d, so the share of it within a uniform point's radius is uniform.
    return epsilon * _along(share ** (1 / n_entries), points) * _unit(direction)


def projected(differences: torch.Tensor, *, epsilon: float, norm: str) -> torch.Tensor:
    """The nearest differences of norm at most `epsilon`, example by example.

    Examples
    --------
    >>> projected(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), epsilon=1.0, norm="l2")
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    if norm == "linf":
        return differences.clamp(-epsilon, epsilon)
    length = torch.linalg.vector_norm(differences.flatten(1), dim=1)
    return differences * _along((epsilon / length.clamp(min=epsilon)), differences)


def steepest(gradient: torch.Tensor, *, norm: str, free: torch.Tensor | None = None) -> torch.Tensor:
    """The step of norm 1 along which a function of this gradient rises fastest.

    0 where the gradient is 0, and NaN where it is not finite.

    Examples
    --------
    >>> steepest(torch.tensor([[3e-30, -4e-30], [0.0, 0.0]]), norm="l2")
    tensor([[ 0.6000, -0.8000],
            [ 0.0000,  0.0000]])
    """
    gradient = _held(gradient, free)
    if norm == "l2":
        return _unit(gradient)
    return gradient.sign() + 0 * gradient  # sign alone would take NaN for 0, and a broken model for a robust one


def _held(values: torch.Tensor, free: torch.Tensor | None) -> torch.Tensor:
    """0 where an entry may not move (also for gradients that are infinite there)."""
    return values if free is None else torch.where(free, values, 0.0)


def _unit(values: torch.Tensor) -> torch.Tensor:
    """Each example divided by its L2 norm, 0 where that is 0; by its largest entry first, whose square may be 0."""
    largest = values.flatten(1).abs().amax(dim=1)
    scaled = values / _along(torch.where(largest > 0, largest, 1.0), values)
    return scaled / _along(torch.linalg.vector_norm(scaled.flatten(1), dim=1).clamp(min=1.0), values)


def _along(per_example: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return per_example.reshape(-1, *[1] * (like.ndim - 1))
