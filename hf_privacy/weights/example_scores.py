"""Scores of weights that need the gradient of each example by itself: sensitivities and the Fisher diagonal."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from hf_privacy.errors import InputError
from hf_privacy.tasks import task_of
from hf_privacy.weights.checks import check_parameters
from hf_privacy.weights.example_gradients import add_per_example, check_at_once
from hf_privacy.weights.passes import (
    Batch,
    Loss,
    Objective,
    accumulators,
    forward,
    gradients,
    loss_of,
    on_device,
    outputs_of,
    prepared,
)


def mas_sensitivity(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    parameters: Iterable[str] | None = None,
    per_example: bool = True,
    examples_at_once: int = 1,
    show_progress: bool = False,
) -> dict[str, torch.Tensor]:
    """Sensitivity of the model function, Ω = mean over examples of |∂‖f(x)‖²/∂w|, f the logits.

    The model is in evaluation mode. Labels play no part.

    Parameters
    ----------
    model, batches, parameters, show_progress
        As in `taylor`; `batches` is the forget set.
    per_example : bool
        True takes the magnitude of each example's gradient. False takes that of each batch's mean gradient, then the
        mean weighted by batch size: one backward pass a batch, but gradients of opposite sign cancel.
    examples_at_once : int
        With 1, a backward pass an example, for any model. More go through `torch.func.vmap` together: faster on a
        GPU, needs that many times the memory of the weights, and is refused where vmap cannot run the model (GPT-2;
        BERT with an attention mask).

    Returns
    -------
    dict of float32 tensor
        Nonnegative, of each weight's shape, by name; float64 for float64 weights.

    Raises
    ------
    InputError
        For unknown names, no batch, a batch without labels, or `examples_at_once` below 1.

    References
    ----------
    Memory-aware synapses (arXiv 1711.09601), equation 4 with the squared norm; the sensitivity of fine-grained
    parameter perturbation (arXiv 2401.04385).

    Examples
    --------
    >>> net = nn.Linear(2, 1, bias=False)
    >>> _ = net.weight.data.fill_(1.0)
    >>> batch = {"input": torch.tensor([[1.0, 2.0]]), "labels": torch.tensor([0])}
    >>> mas_sensitivity(net, [batch])["weight"]  # 2 · f(x) · x, with f(x) = 3
    tensor([[ 6., 12.]])
    """
    if not task_of(model).has_classes:
        raise InputError(
            f"{type(model).__name__} has logits at every token, and no figure of them all is an example's: rank its "
            "weights by likelihood_sensitivity"
        )

    def squared_norm(model: nn.Module, batch: Batch) -> torch.Tensor:
        return forward(model, batch).square().sum()

    return _mean_magnitude(
        model,
        batches,
        squared_norm,
        description="MAS sensitivity",
        parameters=parameters,
        per_example=per_example,
        examples_at_once=examples_at_once,
        show_progress=show_progress,
    )


def likelihood_sensitivity(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    parameters: Iterable[str] | None = None,
    per_example: bool = True,
    examples_at_once: int = 1,
    show_progress: bool = False,
) -> dict[str, torch.Tensor]:
    """Sensitivity of what the model says of its labels, Ω = mean over examples of |∂ log p(y|x)/∂w|.

    For a row of tokens log p is the sum over those that are scored, so that a long row counts for more than a short
    one. The model is in evaluation mode.

    Parameters
    ----------
    model, batches, parameters, show_progress
        As in `taylor`; `batches` is the forget set.
    per_example, examples_at_once
        As in `mas_sensitivity`; rows of tokens are taken one at a time.

    Returns
    -------
    dict of float32 tensor
        Nonnegative, of each weight's shape, by name; float64 for float64 weights.

    Raises
    ------
    InputError
        As `mas_sensitivity`, and for rows of tokens with `examples_at_once` above 1.

    References
    ----------
    The sensitivity of fine-grained parameter perturbation (arXiv 2401.04385), with the log-likelihood as the model
    function, which is our choice for language models: their logits have no norm of their own.

    Examples
    --------
    >>> net = nn.Linear(1, 2, bias=False)
    >>> _ = net.weight.data.zero_()
    >>> batch = {"input": torch.tensor([[3.0]]), "labels": torch.tensor([0])}
    >>> likelihood_sensitivity(net, [batch])["weight"]  # |onehot − p| · x
    tensor([[1.5000],
            [1.5000]])
    """
    task = task_of(model)

    def summed_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        # The mean over all that is scored in the batch, times how many there are.
        mean = task.mean_loss(outputs_of(task, model, batch), batch, average="token")
        return mean * task.count(batch, average="token")

    return _mean_magnitude(
        model,
        batches,
        summed_loss,
        description="likelihood sensitivity",
        parameters=parameters,
        per_example=per_example,
        examples_at_once=examples_at_once,
        show_progress=show_progress,
    )


def _mean_magnitude(
    model: nn.Module,
    batches: Iterable[Batch],
    summed: Objective,
    *,
    description: str,
    parameters: Iterable[str] | None,
    per_example: bool,
    examples_at_once: int,
    show_progress: bool,
) -> dict[str, torch.Tensor]:
    """Mean over examples of the magnitude of the gradient of `summed`, a figure added up over examples."""
    chosen = check_parameters(model, parameters)
    check_at_once(model, examples_at_once)
    scores = accumulators(chosen)
    n_examples = 0
    with prepared(model, chosen.values()):
        for batch in on_device(model, batches, description=description, show_progress=show_progress):
            n_examples += len(batch["labels"])
            if per_example:
                add_per_example(scores, model, batch, chosen, summed, torch.abs, examples_at_once)
            else:  # n · |∂(mean)/∂w| = |∂(sum)/∂w|
                for score, gradient in zip(scores.values(), gradients(summed(model, batch), chosen), strict=True):
                    score += gradient.abs_()
    return {name: score.div_(n_examples) for name, score in scores.items()}


def fisher(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    loss_function: Loss | None = None,
    empirical: bool = True,
    parameters: Iterable[str] | None = None,
    examples_at_once: int = 1,
    show_progress: bool = False,
) -> dict[str, torch.Tensor]:
    """Diagonal of the Fisher information: mean over examples of the squared gradient of each one's loss.

    The model is in evaluation mode. Gradients are squared example by example; the square of a batch's gradient, as
    some codes take it, shrinks with the batch.

    Parameters
    ----------
    model, batches, parameters, show_progress
        As in `taylor`.
    loss_function : callable, optional
        From logits [B, C] and labels [B] to the mean loss, by default that of the model's task; used with
        ``empirical=True``.
    empirical : bool
        True squares ∂ℓ/∂w at the given labels (the empirical Fisher, which SSD uses). False takes the expectation of
        (∂ log p(c|x)/∂w)² over the model's own distribution of classes c, exactly: C backward passes an example.
    examples_at_once : int
        As in `mas_sensitivity`.

    Returns
    -------
    dict of float32 tensor
        Nonnegative, of each weight's shape, by name; float64 for float64 weights.

    Raises
    ------
    InputError
        As `mas_sensitivity`, and if ``empirical=False`` comes with a loss function, which it would not use.

    References
    ----------
    SSD (arXiv 2308.07707), section 3; Golatkar et al. (arXiv 1911.04933) for Fisher unlearning.

    Examples
    --------
    >>> net = nn.Linear(1, 2)
    >>> _ = [parameter.data.zero_() for parameter in net.parameters()]
    >>> batch = {"input": torch.tensor([[1.0], [-1.0]]), "labels": torch.tensor([0, 0])}
    >>> fisher(net, [batch])["bias"]  # gradients are p − onehot = (−½, ½), in the weights with the sign of x
    tensor([0.2500, 0.2500])
    """
    if not empirical and loss_function is not None:
        raise InputError("empirical is False with a loss_function: the exact Fisher needs none, leave it out")
    if not empirical and not task_of(model).has_classes:
        raise InputError(
            f"empirical is False: the exact Fisher takes a pass for each of the tokens {type(model).__name__} may say "
            "at each place; leave it True"
        )
    loss = loss_of(model, loss_function)
    chosen = check_parameters(model, parameters)
    check_at_once(model, examples_at_once)
    scores = accumulators(chosen)
    n_examples = 0
    with prepared(model, chosen.values()):
        for batch in on_device(model, batches, description="Fisher information", show_progress=show_progress):
            n_examples += len(batch["labels"])
            if empirical:
                add_per_example(scores, model, batch, chosen, loss, torch.square, examples_at_once)
                continue
            with torch.no_grad():
                n_classes = forward(model, batch).shape[-1]
            for label in range(n_classes):
                # The gradient of √p · log p with p held fixed is √p times that of log p: its square is weighted by p.
                expected = {**batch, "labels": torch.full_like(batch["labels"], label)}
                add_per_example(scores, model, expected, chosen, _weighted_log_p, torch.square, examples_at_once)
    return {name: score.div_(n_examples) for name, score in scores.items()}


def _weighted_log_p(model: nn.Module, batch: Batch) -> torch.Tensor:
    log_p = forward(model, batch).log_softmax(dim=-1).gather(-1, batch["labels"][:, None])
    return (log_p.detach() / 2).exp().mul(log_p).sum()
