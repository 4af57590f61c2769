"""What every score that needs gradients shares: the model as it is meant to stand, batches, and loss gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from hf_privacy.errors import InputError
from hf_privacy.models.modes import evaluation_mode
from hf_privacy.progress import progress
from hf_privacy.tasks import Task, task_of

# From logits and labels of a batch to the mean over its examples.
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Batch = Mapping[str, torch.Tensor]
# From a model and a batch to a number, whose gradient is taken.
Objective = Callable[[nn.Module, Batch], torch.Tensor]


def loss_of(model: nn.Module, given: Loss | None = None) -> Objective:
    """The mean of the losses that the model's task gives each example; or a loss given of logits and labels.

    Examples
    --------
    >>> net = nn.Linear(1, 2)
    >>> _ = [parameter.data.zero_() for parameter in net.parameters()]
    >>> loss_of(net)(net, {"input": torch.ones(3, 1), "labels": torch.tensor([0, 1, 1])}).exp().round(decimals=4)
    tensor(2., grad_fn=<RoundBackward1>)
    """
    if given is not None:
        return lambda model, batch: given(forward(model, batch), batch["labels"])
    task = task_of(model)
    return lambda model, batch: task.example_losses(outputs_of(task, model, batch), batch).mean()


def outputs_of(task: Task, model: nn.Module, batch: Batch) -> Any:
    """What the task makes of the model and a batch; of a bare tensor, a dict with "logits"."""
    outputs = task.forward(model, batch)
    return {"logits": outputs} if isinstance(outputs, torch.Tensor) else outputs


@contextmanager
def prepared(model: nn.Module, parameters: Iterable[nn.Parameter], *, training: bool = False) -> Iterator[None]:
    """Every module in evaluation (or training) mode and the parameters with gradients; afterwards all as it was.

    Buffers that a forward pass in training mode changes, such as running means, are put back too.
    """
    needed = [(parameter, parameter.requires_grad) for parameter in parameters]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()] if training else []
    try:
        for parameter, _ in needed:
            parameter.requires_grad_(True)
        with evaluation_mode(model), torch.enable_grad():
            model.train(training)
            yield
    finally:
        for parameter, requires_grad in needed:
            parameter.requires_grad_(requires_grad)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


def on_device(
    model: nn.Module, batches: Iterable[Batch], *, description: str, show_progress: bool
) -> Iterator[dict[str, torch.Tensor]]:
    """The batches on the device of the model.

    Raises
    ------
    InputError
        If there is no batch, or one has no "labels".
    """
    device = next(model.parameters()).device
    n_batches = 0
    for batch in progress(batches, description=description, enabled=show_progress):
        if "labels" not in batch:
            raise InputError(f"a batch has the columns {', '.join(batch)}: pass batches with 'labels'")
        n_batches += 1
        yield {name: column.to(device) for name, column in batch.items()}
    if n_batches == 0:
        raise InputError("batches is empty: pass at least one batch (a generator can be gone through only once)")


def logits_of(outputs: Any) -> torch.Tensor:
    """The logits of a transformers output, a dict with "logits" or a bare tensor."""
    return outputs if isinstance(outputs, torch.Tensor) else outputs["logits"]


def forward(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Logits of a batch; the model is run without the labels, so that it computes no loss of its own."""
    return logits_of(model(**{name: column for name, column in batch.items() if name != "labels"}))


def gradients(output: torch.Tensor, parameters: Mapping[str, nn.Parameter], **options: Any) -> list[torch.Tensor]:
    """∂output/∂w in float32 (float64 where the weights are), zeros where `output` does not depend on a weight.

    Nothing is added to any ``.grad``.
    """
    if not output.requires_grad:
        raise InputError("the loss depends on none of the scored weights: pass parameters the model uses")
    found = torch.autograd.grad(output, list(parameters.values()), allow_unused=True, **options)
    return [
        torch.zeros_like(parameter, dtype=accumulator_type(parameter))
        if gradient is None
        else gradient.to(accumulator_type(parameter))
        for gradient, parameter in zip(found, parameters.values(), strict=True)
    ]


def accumulators(parameters: Mapping[str, nn.Parameter], *, columns: bool = False) -> dict[str, torch.Tensor]:
    """A zero for each weight, or for each column of each matrix, in float32 (float64 for float64 weights).

    Raises
    ------
    InputError
        If columns are asked for of a weight that has none.
    """
    if columns:
        for name, parameter in parameters.items():
            if parameter.ndim < 2:
                raise InputError(f"columns is True and {name} has none: name matrices in parameters")
    return {
        name: parameter.new_zeros(
            parameter.shape[1] if columns else parameter.shape, dtype=accumulator_type(parameter)
        )
        for name, parameter in parameters.items()
    }


def accumulator_type(parameter: torch.Tensor) -> torch.dtype:
    """float64 for float64 weights, float32 for all others: bfloat16 sums stop growing after a few hundred terms."""
    return torch.float64 if parameter.dtype == torch.float64 else torch.float32
