"""Evaluation of a language model: its loss over all tokens of the evaluation set, however they are batched."""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers.trainer_utils import EvalLoopOutput


class TokenEvaluationMixin:
    """Gives a trainer an evaluation loss that no batch size moves, and perplexity.

    The stock Trainer averages the losses of batches by their rows: of a mean over tokens, another figure for each
    batch size.
    """

    _token_totals: torch.Tensor | None = None  # the sum of the losses, and how many tokens they are of

    def evaluation_loss(self, outputs: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The task's plain loss on one batch, the mean that `loss_average` says."""
        if self.loss_average == "example":
            return self.task.mean_loss(outputs, inputs, average="example")
        losses = self.task.token_losses(outputs, inputs)
        if self._token_totals is not None:
            on_cpu = losses.detach().cpu().double()  # not every accelerator has float64
            self._token_totals += torch.stack([on_cpu.sum(), torch.tensor(float(len(on_cpu)))])
        return losses.mean()

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """As in the stock Trainer; of a language model with the loss over all tokens, and its exponential."""
        self._token_totals = torch.zeros(2, dtype=torch.float64)
        try:
            output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
            totals = self._token_totals
        finally:
            self._token_totals = None
        if self.task.has_classes:
            return output
        name = f"{metric_key_prefix}_loss"
        if self.loss_average == "token":
            if self.args.world_size > 1:
                totals = self.accelerator.gather(totals.to(self.args.device, torch.float32)[None]).sum(dim=0)
            if float(totals[1]):
                output.metrics[name] = float(totals[0] / totals[1])
        if name in output.metrics:
            output.metrics[f"{metric_key_prefix}_perplexity"] = math.exp(min(output.metrics[name], 700.0))
        return output
