"""Evaluation of a language model: its loss over all tokens of the evaluation set, however they are batched."""

from __future__ import annotations

from typing import Any

import torch
from transformers.trainer_utils import EvalLoopOutput

from hf_privacy.tasks import perplexity


class TokenEvaluationMixin:
    """Gives a trainer an evaluation loss that no batch size moves, and perplexity.

    The stock Trainer averages the losses of batches by their rows: of a mean over tokens, another figure for each
    batch size. Perplexity is over all tokens, as an audit's is, whatever the loss is the mean over: that of one model
    is one figure, whichever trainer is asked.
    """

    wants_predictions = False  # whether this step of evaluation is asked for more than its loss
    _token_totals: torch.Tensor | None = None  # the sum of the losses, and how many tokens they are of

    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Any, Any, Any]:
        """As in the stock Trainer."""
        self.wants_predictions = not prediction_loss_only
        try:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        finally:
            self.wants_predictions = False

    def evaluation_loss(self, outputs: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The task's plain loss on one batch, the mean that `loss_average` says."""
        if self.task.has_classes:
            return self.task.mean_loss(outputs, inputs, average="example")
        losses = self.task.example_losses(outputs, inputs)
        counts = self.task.example_counts(inputs)
        if self._token_totals is not None:
            rows = torch.stack([losses.detach() * counts, counts.to(losses.dtype)], dim=1)
            if self.args.world_size > 1:
                rows = self.accelerator.gather_for_metrics(rows)  # without the rows that make batches even
            self._token_totals += rows.cpu().double().sum(dim=0)  # not every accelerator has float64
        return losses.mean() if self.loss_average == "example" else (losses * counts).sum() / counts.sum()

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """As in the stock Trainer; of a language model with the loss of the whole set, and perplexity."""
        self._token_totals = torch.zeros(2, dtype=torch.float64)
        try:
            output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
            total, n_tokens = self._token_totals.tolist()
        finally:
            self._token_totals = None
        if n_tokens:
            mean = total / n_tokens
            if self.loss_average == "token":
                output.metrics[f"{metric_key_prefix}_loss"] = mean
            output.metrics[f"{metric_key_prefix}_perplexity"] = perplexity(mean)
        return output
