"""Clipped gradients by `torch.func.vmap`: one example's gradient by construction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from hf_privacy.defenses.dp.clipping import Losses, clip_and_sum
from hf_privacy.defenses.dp.row_units import Units

# What vmap hands a text model in place of the mask of 0 and 1, at whose values models look: what is added to the
# attention's weights, without or with the future of a decoder; or nothing, which will do for a decoder on texts padded
# on the right. `ClippedSum.check` takes the first that gives an example's own gradients.
MASKS = ("open", "causal", "none")
# Per-sample gradients held at a time: what a CPU's cache is good for, and what a GPU has to spare.
_CPU_BYTES, _GPU_BYTES = 16 * 2**20, 2 * 2**30
_SHARES = "privacy_shares"


def clipped_sum_by_vmap(
    model: torch.nn.Module,
    batch: dict[str, torch.Tensor],
    max_norm: float,
    losses_of: Losses,
    units: Units | None,
    *,
    mask: str,
) -> tuple[list[torch.Tensor | None], torch.Tensor]:
    """The clipped sum of a batch, and each loss; dropout draws afresh for each example."""
    n_rows = len(batch["labels"])
    rows, shares = (torch.arange(n_rows)[:, None], torch.ones(n_rows, 1)) if units is None else _places(units)
    rows, shares = rows.to(batch["labels"].device), shares.to(batch["labels"].device)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    fixed = {name: p for name, p in model.named_parameters() if not p.requires_grad} | dict(model.named_buffers())

    def loss_of(weights: dict[str, torch.Tensor], unit: dict[str, torch.Tensor]) -> torch.Tensor:
        def call(**inputs: torch.Tensor) -> Any:
            return torch.func.functional_call(model, {**fixed, **weights}, kwargs=inputs)

        losses = losses_of(call, {name: values for name, values in unit.items() if name != _SHARES})
        return (losses * unit[_SHARES]).sum()

    per_example = torch.func.vmap(torch.func.grad_and_value(loss_of), in_dims=(None, 0), randomness="different")
    with _plain_attention(model):
        of_units = {name: values[rows] for name, values in _with_mask(batch, mask).items()}
        return _in_chunks(per_example, weights, {**of_units, _SHARES: shares}, max_norm)


def _places(units: Units) -> tuple[torch.Tensor, torch.Tensor]:
    """Row numbers [U, G] of each unit, filled up with a row of a share of 0, and the shares."""
    n_rows = len(units.shares)
    places = units.rows.clamp(max=n_rows - 1)
    return places, units.shares[places] * (units.rows < n_rows)


def _in_chunks(
    per_example: Callable[..., Any], weights: dict[str, torch.Tensor], batch: dict[str, torch.Tensor], max_norm: float
) -> tuple[list[torch.Tensor | None], torch.Tensor]:
    """The clipped sum and the losses, over so few examples at a time that their gradients stay small."""
    total_bytes = sum(weight.numel() * weight.element_size() for weight in weights.values())
    n_examples = len(batch["labels"])
    allowed = _CPU_BYTES if batch["labels"].device.type == "cpu" else _GPU_BYTES
    chunk = max(1, min(n_examples, allowed // max(total_bytes, 1)))
    sums: list[torch.Tensor | None] = []
    losses = []
    for start in range(0, n_examples, chunk):
        part = {name: values[start : start + chunk] for name, values in batch.items()}
        gradients, part_losses = per_example(weights, part)
        clipped = clip_and_sum([gradients[name] for name in weights], max_norm)
        sums = clipped if not sums else [total + added for total, added in zip(sums, clipped, strict=True)]
        losses.append(part_losses.detach())
    return sums, torch.cat(losses)


def _with_mask(batch: dict[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    """The batch with its texts' mask as one of `MASKS`."""
    mask = batch.get("attention_mask")
    if mask is None or mask.ndim != 2:
        return batch
    if kind == "none":
        return {name: values for name, values in batch.items() if name != "attention_mask"}
    seen = (mask != 0)[:, None, None, :]
    if kind == "causal":
        seen = seen & torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool, device=mask.device).tril()
    added = torch.zeros(seen.shape, device=mask.device).masked_fill(~seen, torch.finfo(torch.float32).min)
    return {**batch, "attention_mask": added}


@contextmanager
def _plain_attention(model: torch.nn.Module) -> Iterator[None]:
    """Eager attention, which takes a mask that is added."""
    config = model.config
    earlier = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = earlier
