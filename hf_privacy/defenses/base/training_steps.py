"""A training whose passes through the model somebody else makes: for several that take them side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from transformers import enable_full_determinism, set_seed

from hf_privacy.defenses.base.lean_loop import LeanEpoch


def training_steps(trainer: Any) -> Iterator[tuple[dict[str, torch.Tensor], float]]:
    """All that ``trainer.train_lean()`` does, but for forward and backward passes.

    Parameters
    ----------
    trainer : PrivacyTrainer
        With a ``model_init``, and nothing to resume; `why_not_lean` has no reason against it.

    Yields
    ------
    inputs : dict of tensor
        A batch on the device. Before the next is asked for, the gradients of its loss are to be added to those of the
        weights.
    share : float
        What the loss, a mean over the batch, is to be multiplied by: its share of the step of the optimizer.
    """
    args = trainer.args
    trainer.is_in_train = True
    # As the stock `train` begins, where there is a model_init.
    enable_full_determinism(args.seed) if args.full_determinism else set_seed(args.seed)
    trainer.model = trainer.call_model_init()
    trainer.optimizer = trainer.lr_scheduler = None
    if trainer.place_model_on_device:
        trainer._move_model_to_device(trainer.model, args.device)
    trainer.model_wrapped = trainer.model
    loader = trainer.get_train_dataloader()
    n_epochs, n_updates, _, _, _, n_batches, max_steps = trainer.set_initial_training_values(args, loader)
    trainer._init_training_state(max_steps, n_updates, n_epochs, None, None)
    model, loader = trainer._prepare_for_training(max_steps, loader, None)
    trainer._tr_loss = torch.tensor(0.0, device=args.device)
    trainer._total_loss_scalar, trainer._initial_global_step, trainer._globalstep_last_logged = 0.0, 0, 0
    facts: dict[str, Any] = {"steps_in_epoch": n_batches, "num_update_steps_per_epoch": n_updates}
    facts |= {"trial": None, "ignore_keys_for_eval": None, "start_time": time.time()}
    model.zero_grad()
    on = trainer.callback_handler
    trainer.control = on.on_train_begin(args, trainer.state, trainer.control)
    for epoch in range(n_epochs):
        trainer.control = on.on_epoch_begin(args, trainer.state, trainer.control)
        of_epoch = LeanEpoch(trainer, model, loader, {**facts, "epoch": epoch})
        for inputs, _, count, _ in of_epoch.steps():
            share = 1.0 if count is None else trainer.task.count(inputs, average=trainer.loss_average) / count
            yield trainer._prepare_inputs(inputs), share
        if trainer.control.should_training_stop:
            break
    trainer.control = on.on_train_end(args, trainer.state, trainer.control)
    trainer.is_in_train = False
