"""Proof that training moved the weights it was to move."""

from __future__ import annotations

import warnings

import torch
from transformers import TrainerCallback


class WeightMotionError(RuntimeError):
    """Training ran and reported, and the weights stayed where they were."""


def _fingerprints(model: torch.nn.Module) -> dict[str, tuple[float, float]]:
    """Sum and sum of squares of each trainable tensor: cheap to keep, and a step changes at least one of them."""
    return {
        name: (parameter.detach().double().sum().item(), parameter.detach().double().square().sum().item())
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.numel() > 0
    }


class WeightMotionCallback(TrainerCallback):
    """Stops a training that moves nothing, and names the trainable tensors it left where they were.

    A defence with LoRA can silently never reach the weights while an ε is reported (pytorch/opacus#820). After the
    first step with a learning rate above zero at least one trainable tensor must have moved. At the end every one
    must have: none of the adapter's moved is an error; single tensors that stayed (a pooler the loss does not use,
    say) are named in a warning.

    Raises
    ------
    WeightMotionError
        After the first effective step, or at the end, if no trainable tensor moved.
    """

    def __init__(self) -> None:
        self._start: dict[str, tuple[float, float]] | None = None
        self._checked_first_step = False
        self._step_is_effective = False

    def on_train_begin(self, args, state, control, *, model, **kwargs) -> None:
        self._start = _fingerprints(model)
        self._checked_first_step = self._step_is_effective = False
        if not self._start:
            raise WeightMotionError("the model has no trainable weights: nothing would be learnt")

    def on_step_begin(self, args, state, control, *, lr_scheduler, **kwargs) -> None:
        # A warm-up starts at a learning rate of zero, where standing still is right.
        self._step_is_effective = self._step_is_effective or max(lr_scheduler.get_last_lr()) > 0

    def on_step_end(self, args, state, control, *, model, **kwargs) -> None:
        if self._step_is_effective and not self._checked_first_step:
            self._checked_first_step = True
            self._require_motion(model, f"after step {state.global_step}")

    def on_train_end(self, args, state, control, *, model, **kwargs) -> None:
        if state.global_step == 0:
            return
        unmoved = self._require_motion(model, "at the end of training")
        if unmoved:
            shown = ", ".join(unmoved[:5]) + (f" and {len(unmoved) - 5} more" if len(unmoved) > 5 else "")
            warnings.warn(
                f"{len(unmoved)} of {len(self._start or {})} trainable tensors never moved: {shown}", stacklevel=2
            )

    def _require_motion(self, model: torch.nn.Module, when: str) -> list[str]:
        assert self._start is not None
        unmoved = [name for name, value in _fingerprints(model).items() if value == self._start.get(name)]
        if len(unmoved) == len(self._start):
            raise WeightMotionError(
                f"{when} none of the {len(self._start)} trainable tensors has moved: the optimizer does not hold them, "
                "or their gradients never arrive"
            )
        return unmoved
