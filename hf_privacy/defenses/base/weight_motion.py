"""Proof that training moved the weights it was to move."""

from __future__ import annotations

import warnings

import torch
from transformers import TrainerCallback


class WeightMotionError(RuntimeError):
    """Training ran and reported, and the weights stayed where they were."""


def _fingerprints(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[float, ...]]:
    """Sum and sum of squares of each: cheap to keep, and a step changes at least one of them.

    All are read from the device at once: one by one, each would wait for it.
    """
    pairs: list[torch.Tensor] = []
    for tensor in tensors.values():
        values = tensor.detach().double()
        pair = torch.stack([values.sum(), values.square().sum()])
        if hasattr(pair, "full_tensor"):  # a DTensor: weights are sharded over processes (FSDP2)
            pair = pair.full_tensor()
        pairs.append(pair if not pairs else pair.to(pairs[0].device))
    read = torch.stack(pairs).tolist() if pairs else []
    return dict(zip(tensors, map(tuple, read), strict=True))


class WeightMotionCallback(TrainerCallback):
    """Stops a training that moves nothing, and names the trainable tensors it left where they were.

    A defence with LoRA can silently never reach the weights while an ε is reported (pytorch/opacus#820). After the
    first step with a learning rate above zero at least one trainable tensor must have moved. At the end every one
    must have: none of the adapter's moved is an error; single tensors that stayed (a pooler the loss does not use,
    one that is frozen, or so coarse that a step is lost in its rounding) are named in a warning.

    Parameters
    ----------
    every : bool
        Whether training means to move every trainable tensor, as with noise on each: then the optimizer must hold all.

    Raises
    ------
    WeightMotionError
        After the first effective step, or at the end, if no trainable tensor moved; before training, with ``every``,
        if the optimizer does not hold one of them.
    """

    def __init__(self, *, every: bool = False) -> None:
        self.every = every
        self._n_tensors = 0
        # Fingerprints of the tensors not yet seen to move, as they were when training began.
        self._unmoved: dict[str, tuple[float, ...]] = {}
        self._has_stepped = False
        self._checked_first_step = False
        self._step_is_effective = False

    def on_train_begin(self, args, state, control, *, model, optimizer=None, **kwargs) -> None:
        self._unmoved = _fingerprints(
            {
                name: parameter
                for name, parameter in model.named_parameters()
                if parameter.requires_grad and parameter.numel() > 0
            }
        )
        self._n_tensors = len(self._unmoved)
        self._has_stepped = self._checked_first_step = self._step_is_effective = False
        if not self._unmoved:
            raise WeightMotionError("the model has no trainable weights: nothing would be learnt")
        if self.every and optimizer is not None:
            held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
            trained = dict(model.named_parameters())
            lost = [name for name in self._unmoved if id(trained[name]) not in held]
            if lost:
                raise WeightMotionError(
                    f"the optimizer does not hold {len(lost)} of {self._n_tensors} trainable tensors, to each of "
                    f"which noise is added: {_listed(lost)}; make it of the model's own parameters, or leave it to "
                    "the trainer"
                )

    def on_step_begin(self, args, state, control, *, lr_scheduler, **kwargs) -> None:
        # A warm-up starts at a learning rate of zero, where standing still is right.
        self._step_is_effective = self._step_is_effective or max(lr_scheduler.get_last_lr()) > 0

    def on_step_end(self, args, state, control, *, model, optimizer, **kwargs) -> None:
        self._has_stepped = True
        # With fp16 the first steps are skipped until the loss scale fits; they say nothing.
        if self._step_is_effective and not self._checked_first_step and not optimizer.step_was_skipped:
            self._checked_first_step = True
            self._require_motion(model, f"after step {state.global_step}")

    def on_epoch_end(self, args, state, control, *, model, **kwargs) -> None:
        # Not left to the end of training, where the best checkpoint, maybe that resumed from, has been put back.
        self._forget_moved(model)

    def on_train_end(self, args, state, control, *, model, **kwargs) -> None:
        # A finished run that is resumed has no step left to take.
        if not self._has_stepped:
            return
        if not self._step_is_effective:
            raise WeightMotionError(
                "the learning rate was 0 at every step, so nothing was learnt: shorten the warm-up (warmup_steps), or "
                "train for more steps"
            )
        self._require_motion(model, "at the end of training")
        if self._unmoved:
            warnings.warn(
                f"{len(self._unmoved)} of {self._n_tensors} trainable tensors never moved: "
                f"{_listed(list(self._unmoved))}",
                stacklevel=2,
            )

    def _forget_moved(self, model: torch.nn.Module) -> None:
        if self._unmoved:
            now = dict(model.named_parameters())
            seen = _fingerprints({name: now[name] for name in self._unmoved})
            self._unmoved = {name: old for name, old in self._unmoved.items() if seen[name] == old}

    def _require_motion(self, model: torch.nn.Module, when: str) -> None:
        self._forget_moved(model)
        if len(self._unmoved) == self._n_tensors:
            raise WeightMotionError(
                f"{when} none of the {self._n_tensors} trainable tensors has moved: the optimizer does not hold them, "
                "or their gradients never arrive"
            )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
