"""Scores of weights that look at the loss of whole batches, or at no data: Taylor, saliency, magnitude, random."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from hf_privacy.weights.checks import check_parameters
from hf_privacy.weights.passes import Batch, Loss, accumulators, gradients, loss_of, on_device, prepared


def taylor(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    loss_function: Loss | None = None,
    squared: bool = False,
    parameters: Iterable[str] | None = None,
    columns: bool = False,
    training: bool = False,
    show_progress: bool = False,
) -> dict[str, torch.Tensor]:
    """First-order Taylor score Σ_t |g_t ⊙ w|: how much each batch's loss would change if the weight were zero.

    Parameters
    ----------
    model : torch.nn.Module
        A classifier or causal language model; it leaves as it came: modes, ``requires_grad``, ``.grad`` and buffers.
    batches : iterable of dict of tensor
        Columns of a batch by name, with "labels".
    loss_function : callable, optional
        From logits and labels to the mean loss of the batch; g_t is its gradient. By default the mean of what the
        model's task gives each example: cross-entropy, for a row of tokens the mean over those that are scored.
    squared : bool
        Σ_t (g_t · w)² instead, the control.
    parameters : iterable of str, optional
        Names of the weights to score; by default all that need a gradient. `which_weights` leaves out biases.
    columns : bool
        Score each column of each matrix as one: |∂ℓ/∂c|, c = 1 a factor in front of the column. Of the matrices B of
        a LoRA adapter these are its rank-1 components (`lora_components`).
    training : bool
        Run the model in training mode: with dropout and batch statistics.
    show_progress : bool

    Returns
    -------
    dict of float32 tensor
        Nonnegative, of each weight's shape (of its number of columns), by name; float64 for float64 weights. The sum
        over batches depends on how examples are batched; ranks are meant, not values.

    Raises
    ------
    InputError
        For unknown names, no batch, a batch without labels, or a loss that depends on no weight.

    References
    ----------
    CWRF (arXiv 2603.13186), the learnability score S_tfo, there summed over the iterations of training. Here the
    weights stand still over the batches.

    Examples
    --------
    >>> net = nn.Linear(2, 2)
    >>> batch = {"input": torch.eye(2), "labels": torch.tensor([0, 1])}
    >>> scores = taylor(net, [batch], parameters=["weight"])
    >>> scores["weight"].shape, bool((scores["weight"] >= 0).all()), net.weight.grad
    (torch.Size([2, 2]), True, None)
    """
    loss = loss_of(model, loss_function)
    chosen = check_parameters(model, parameters)
    scores = accumulators(chosen, columns=columns)
    with prepared(model, chosen.values(), training=training):
        for batch in on_device(model, batches, description="Taylor score", show_progress=show_progress):
            found = gradients(loss(model, batch), chosen)
            with torch.no_grad():
                for (name, parameter), gradient in zip(chosen.items(), found, strict=True):
                    add_taylor_(scores[name], gradient, parameter, squared=squared, columns=columns)
    return scores


def add_taylor_(
    score: torch.Tensor,
    gradient: torch.Tensor,
    weight: torch.Tensor,
    *,
    squared: bool = False,
    columns: bool = False,
) -> None:
    """Add |g ⊙ w|, or its square, to the score; of each column as one, |Σ_j g_j · w_j|."""
    product = gradient * weight.detach().to(gradient.dtype)
    if columns:
        product = product.transpose(0, 1).flatten(1).sum(dim=1)
    score += product.square_() if squared else product.abs_()


def saliency(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    loss_function: Loss | None = None,
    parameters: Iterable[str] | None = None,
    training: bool = False,
    show_progress: bool = False,
) -> dict[str, torch.Tensor]:
    """Saliency |∇ℓ|, ℓ the mean loss over all examples of all batches.

    The magnitude is taken once, at the end: examples whose gradients cancel leave a weight unsalient, and the result
    does not depend on the cut into batches.

    Parameters
    ----------
    model, batches, loss_function, parameters, training, show_progress
        As in `taylor`.

    Returns
    -------
    dict of float32 tensor
        As in `taylor`.

    Raises
    ------
    InputError
        As in `taylor`.

    References
    ----------
    SalUn (arXiv 2310.12508), equation 3, with the batches the forget set.

    Examples
    --------
    >>> batch = {"input": torch.eye(2), "labels": torch.tensor([0, 1])}
    >>> sorted(saliency(nn.Linear(2, 2), [batch]))
    ['bias', 'weight']
    """
    loss = loss_of(model, loss_function)
    chosen = check_parameters(model, parameters)
    scores = accumulators(chosen)
    n_examples = 0
    with prepared(model, chosen.values(), training=training):
        for batch in on_device(model, batches, description="saliency", show_progress=show_progress):
            found = gradients(loss(model, batch), chosen)
            for score, gradient in zip(scores.values(), found, strict=True):
                score.add_(gradient, alpha=len(batch["labels"]))
            n_examples += len(batch["labels"])
    return {name: score.abs_().div_(n_examples) for name, score in scores.items()}


def magnitude(model: nn.Module, *, parameters: Iterable[str] | None = None) -> dict[str, torch.Tensor]:
    """The magnitude |w| of each weight.

    Examples
    --------
    >>> net = nn.Linear(1, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[-3.0], [2.0]]))
    >>> magnitude(net)["weight"].flatten()
    tensor([3., 2.])
    """
    chosen = check_parameters(model, parameters)
    scores = accumulators(chosen)
    return {name: score.copy_(chosen[name].detach()).abs_() for name, score in scores.items()}


def random(
    model: nn.Module, *, generator: torch.Generator, parameters: Iterable[str] | None = None
) -> dict[str, torch.Tensor]:
    """Uniform numbers in [0, 1): selecting by them draws a random mask (Random-k).

    They are drawn on the generator's device and in float64, which keeps ties out of a hundred million of them.

    Examples
    --------
    >>> net, again = nn.Linear(2, 2), torch.Generator()
    >>> first = random(net, generator=again.manual_seed(0))
    >>> torch.equal(first["weight"], random(net, generator=again.manual_seed(0))["weight"])
    True
    """
    return {
        name: torch.rand(
            parameter.shape, generator=generator, device=generator.device, dtype=torch.float64, requires_grad=False
        ).to(parameter.device)
        for name, parameter in check_parameters(model, parameters).items()
    }
