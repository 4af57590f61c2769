"""When to stop forgetting: past the loss of unseen examples, forgetting gives membership away again."""

from __future__ import annotations

import torch
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from hf_privacy.data import TensorDataset
from hf_privacy.signals import compute_signals


class HeldoutLossStopCallback(TrainerCallback):
    """Stops training once the mean loss on the forget set is at least that on the held-out set.

    Both losses stand in the trainer state's ``log_history``, which checkpoints carry.

    Parameters
    ----------
    forget_dataset, heldout_dataset : TensorDataset
    every_n_steps : int
    """

    def __init__(self, forget_dataset: TensorDataset, heldout_dataset: TensorDataset, *, every_n_steps: int) -> None:
        self.forget_dataset = forget_dataset
        self.heldout_dataset = heldout_dataset
        self.every_n_steps = every_n_steps

    def on_step_end(self, args, state, control, *, model, **kwargs) -> None:
        if state.global_step % self.every_n_steps:
            return
        forget = mean_loss(model, self.forget_dataset, args.world_size)
        heldout = mean_loss(model, self.heldout_dataset, args.world_size)
        state.log_history.append({"forget_loss": forget, "heldout_loss": heldout, "step": state.global_step})
        if forget >= heldout:
            control.should_training_stop = True


def mean_loss(model: torch.nn.Module, dataset: TensorDataset, world_size: int = 1) -> float:
    """Mean loss of a model on a dataset, in evaluation mode; one process decides for all, whose buffers may differ."""
    loss = [float(compute_signals(model, dataset)["loss"].mean())]
    return broadcast_object_list(loss)[0] if world_size > 1 else loss[0]
