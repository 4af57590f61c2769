"""What all ways to clipped gradients share: the factor that clips one, the sum, and the refusal of a model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from hf_privacy.errors import InputError
from hf_privacy.signals.curvature_model import full_precision

PER_SAMPLE_GRADIENTS = ("auto", "bookkeeping", "functional", "hooks", "ghost", "loop")
# From a model to call and a batch to the loss of each example.
Losses = Callable[[Callable[..., Any], dict[str, torch.Tensor]], torch.Tensor]


def clip_and_sum(samples: list[torch.Tensor | None], max_norm: float) -> list[torch.Tensor | None]:
    """Scale each example's whole gradient to at most ``max_norm`` and sum over the examples."""
    reached = [sample for sample in samples if sample is not None]
    norms = torch.stack([sample.flatten(1).float().norm(dim=1) for sample in reached]).norm(dim=0)
    factors = clip_factors(norms, max_norm)
    with exactly(factors.device):
        wide = [None if sample is None else in_full(sample) for sample in samples]
        return [None if each is None else torch.einsum("n,n...->...", factors.to(each.dtype), each) for each in wide]


def clip_factors(norms: torch.Tensor, max_norm: float) -> torch.Tensor:
    """What each example's gradient is multiplied by, [B]."""
    if not bool(torch.isfinite(norms).all()):
        raise FloatingPointError("a per-sample gradient is NaN or infinite: lower the learning rate")
    # A little below one where it binds, so that rounding never lets a norm exceed the bound.
    return (max_norm / (norms * (1 + 1e-5)).clamp(min=1e-12)).clamp(max=1.0)


def cannot_follow(way: str, reason: str) -> InputError:
    """The error of a way that a model is not to be trained in, with the others."""
    others = " or ".join(repr(other) for other in PER_SAMPLE_GRADIENTS if other not in (way, "loop"))
    return InputError(
        f"per_sample_gradients {way!r} cannot follow this model ({' '.join(reason.split())[:200]}): set it to "
        f"{others}, or to 'loop', which is slow and follows every model"
    )


def exactly(device: torch.device) -> AbstractContextManager[None]:
    """Without autocast, in which a norm is rounded to half precision and its gradient clipped by less, and TF32."""
    plain = device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return nullcontext() if plain else full_precision(device)


def in_full(values: torch.Tensor) -> torch.Tensor:
    """In float32 at least: rounded to half precision, sums of two neighbours may differ by more than the bound."""
    return values if values.dtype == torch.float64 else values.float()
