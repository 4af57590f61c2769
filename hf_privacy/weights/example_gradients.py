"""The gradient of each example of a batch by itself, one after another or together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from hf_privacy.arguments import check_whole
from hf_privacy.errors import InputError
from hf_privacy.tasks import task_of
from hf_privacy.weights.passes import Objective, gradients


def check_at_once(model: nn.Module, examples_at_once: int) -> None:
    """Refuse more than one row of tokens at once, and less than one example.

    Raises
    ------
    InputError
    """
    if check_whole("examples_at_once", examples_at_once, at_least=1) > 1 and not task_of(model).has_classes:
        raise InputError(f"examples_at_once is {examples_at_once}: rows of tokens are taken one at a time, pass 1")


def add_per_example(
    scores: dict[str, torch.Tensor],
    model: nn.Module,
    batch: dict[str, torch.Tensor],
    parameters: dict[str, nn.Parameter],
    objective: Objective,
    reduce: Callable[[torch.Tensor], torch.Tensor],
    examples_at_once: int,
) -> None:
    """Add the sum over the batch of `reduce` of each example's gradient to the scores."""
    n = len(batch["labels"])
    for start in range(0, n, examples_at_once):
        part = {name: column[start : start + examples_at_once] for name, column in batch.items()}
        if examples_at_once == 1:
            found = gradients(objective(model, part), parameters)
            for score, gradient in zip(scores.values(), found, strict=True):
                score += reduce(gradient)
            continue
        try:
            together = _vmapped_gradients(model, part, parameters, objective)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            raise InputError(
                f"examples_at_once is {examples_at_once}, and {type(model).__name__} does not run under "
                "torch.func.vmap: pass 1"
            ) from error
        for name, gradient in together.items():
            scores[name] += reduce(gradient.to(scores[name].dtype)).sum(dim=0)


def _vmapped_gradients(
    model: nn.Module, batch: dict[str, torch.Tensor], parameters: dict[str, nn.Parameter], objective: Objective
) -> dict[str, torch.Tensor]:
    def of_one_example(weights: dict[str, torch.Tensor], example: dict[str, torch.Tensor]) -> torch.Tensor:
        # Tied weights get the one tensor under all their names.
        at_weights: Any = lambda **inputs: functional_call(model, weights, (), inputs, tie_weights=True)  # noqa: E731
        return objective(at_weights, {name: column.unsqueeze(0) for name, column in example.items()})

    weights = {name: parameter.detach() for name, parameter in parameters.items()}
    return vmap(grad(of_one_example), in_dims=(None, 0))(weights, batch)
