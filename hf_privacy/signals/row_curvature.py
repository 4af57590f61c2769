"""Curvature of the loss of a causal language model's rows, in the embeddings of their scored tokens."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hf_privacy.errors import InputError
from hf_privacy.models import IGNORED, score_tokens
from hf_privacy.models.modes import float32_weights, no_parameter_gradients
from hf_privacy.signals.curvature_estimators import smallest_step
from hf_privacy.signals.curvature_model import cross_entropies, full_precision
from hf_privacy.signals.curvature_passes import estimated
from hf_privacy.tasks import task_of

# Of `hf_privacy.signals.input_curvature`: those that grow with the number of coordinates, and with its root.
_SQUARES, _ROOTS = ("trace", "squared_norm"), ("norm", "zero_order")


def row_curvature(
    model: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    labels: torch.Tensor,
    *,
    n_vectors: int = 10,
    h: float = 1e-3,
    method: str = "hvp",
    generator: torch.Generator | None = None,
) -> dict[str, torch.Tensor]:
    """Curvature of each row's summed loss in the embeddings of its scored tokens, per coordinate.

    ℓ is Σ −ln p over a row's n scored tokens, x what the model's embedding layer gives for these same tokens, n · d
    numbers (where an architecture scales its embeddings within that layer, as Gemma 3 does, they are scaled already);
    the prompt's embeddings and the padding's do not move. The last scored token is told by what precedes it and tells
    nothing, so a row with that one alone has curvature 0. ``trace`` and ``squared_norm`` are divided by n · d and
    ``norm`` and ``zero_order`` by its root, so that rows of other lengths and models of other widths compare.

    Parameters
    ----------
    model : torch.nn.Module
        A causal language model in evaluation mode; may be adapted or wrapped. It runs in float32 at least.
    inputs : mapping of str to tensor[B, L]
        "input_ids" and "attention_mask", padded on the right.
    labels : int64 tensor of shape [B, L]
        The token where it is scored, else −100.
    n_vectors, method, generator
        As in `hf_privacy.signals.input_curvature`.
    h : float
        Step of the differences as a share of the root mean square of the row's scored embeddings.

    Returns
    -------
    dict of str to float64 tensor [B]

    Raises
    ------
    InputError
        For a model that is no causal language model or answers otherwise for embeddings than for their tokens, rows
        without a scored token, or a step that rounding would drown.
    """
    task = task_of(model)
    if task.has_classes:
        raise InputError(
            f"labels has shape {list(labels.shape)} and {type(model).__name__} is for {task.name}: pass one class "
            "number for each example"
        )
    device = next(model.parameters()).device
    # cloned: autograd refuses tensors that were made in inference mode
    ids, labels = (tensor.detach().to(device, torch.int64).clone() for tensor in (inputs["input_ids"], labels))
    mask = inputs.get("attention_mask")
    mask = torch.ones_like(ids) if mask is None else mask.detach().to(device).clone()
    if labels.shape != ids.shape:
        raise InputError(
            f"labels has shape {list(labels.shape)} and input_ids {list(ids.shape)}: pass one label for each token"
        )
    with full_precision(device), float32_weights(model) as bare, no_parameter_gradients(model) as trainable:
        with torch.no_grad():
            points = bare.get_input_embeddings()(ids).detach().clone()
        fixed = points = points if points.dtype == torch.float64 else points.float()
        free = (labels != IGNORED)[:, :, None]
        free[:, 0] = False  # told by nothing, never scored

        def losses(points: torch.Tensor, rows: slice) -> torch.Tensor:
            points = torch.where(free[rows], points, fixed[rows])  # no gradient in what does not move
            return _row_losses(bare, {"inputs_embeds": points, "attention_mask": mask[rows]}, labels[rows])

        _check_embeddings(bare, losses(points[:1], slice(0, 1)), ids[:1], mask[:1], labels[:1])
        coordinates = free.sum(dim=(1, 2)).double() * points.shape[-1]
        scale = ((points * free).double().square().sum(dim=(1, 2)) / coordinates).sqrt()
        _check_step(method, h, points, scale)
        found = estimated(
            losses,
            points,
            free,
            method=method,
            n_vectors=n_vectors,
            h=(h * scale)[:, None, None].to(points.dtype),
            generator=generator,
            model=bare,
            trainable=trainable,
        )
    divisors = dict.fromkeys(_SQUARES, coordinates) | dict.fromkeys(_ROOTS, coordinates.sqrt())
    return {name: values / divisors[name].to(values) for name, values in found.items()}


def _row_losses(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Σ −ln p over each row's scored tokens, in float64 [B]."""
    scored = score_tokens(model, inputs, labels)
    return scored.row_sums(scored.map(lambda logits, targets: (cross_entropies(logits, targets),))[0])


def _check_embeddings(
    model: torch.nn.Module, embedded: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor
) -> None:
    with torch.no_grad():
        from_tokens = _row_losses(model, {"input_ids": ids, "attention_mask": mask}, labels)
    if not torch.allclose(embedded.detach(), from_tokens, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise InputError(
            f"model is a {type(model).__name__}, whose loss for the embeddings of a row is {float(embedded):.4g} and "
            f"for its tokens {float(from_tokens):.4g}: curvature needs one that answers the same for both"
        )


def _check_step(method: str, h: float, points: torch.Tensor, scale: torch.Tensor) -> None:
    if method == "hvp":
        return
    largest = float((points.abs().amax(dim=(1, 2)) / scale).max())
    least = smallest_step(method, points.dtype, largest)
    if h < least:
        raise InputError(
            f"h is {h:g}, too small for {method} in {str(points.dtype).removeprefix('torch.')}: rounding would drown "
            f"the difference; pass h={1.05 * least:.2g} or more"
        )
