"""Reference adapters of one base trained side by side: the base is run once for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from peft import PeftModel
from transformers import Trainer

from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base.lean_loop import why_not_lean
from hf_privacy.launch import available_cores
from hf_privacy.models import bare_model
from hf_privacy.models.adapter_stack import AdapterStack, why_not_one
from hf_privacy.models.shared_base import share_frozen
from hf_privacy.references.side_by_side import OneOfSeveral, alike, backward
from hf_privacy.references.stack_trial import most_at_once, try_stack
from hf_privacy.said_once import warn_once

MOST = 8  # side by side, where nobody says how many
# Whoever has its own of these does more in training than its loss says.
_OF_TRAINING = ("train", "_inner_training_loop", "compute_loss", "get_batch_samples")


def is_adapter(trainer: PrivacyTrainer) -> bool:
    """Whether what is trained is an adapter on a frozen base."""
    return isinstance(bare_model(trainer.model), PeftModel)


def why_not_stacked(trainer: PrivacyTrainer) -> str | None:
    """What keeps a trainer's references from training side by side, after "the references"; None where nothing shows.

    What only shows once they run, `train_stacked` finds.
    """
    args, kind = trainer.args, type(trainer)
    own = [name for name in _OF_TRAINING if getattr(kind, name, None) is not getattr(PrivacyTrainer, name, None)]
    reasons = {
        "are no adapters of one base": not is_adapter(trainer),
        "are differentially private": trainer.is_private,
        f"train in their own way ({kind.__name__}.{own[0] if own else ''})": bool(own),
        f"take steps of their own ({kind.__name__}.training_step)": not trainer.step_is_its_loss,
        "have gradient_checkpointing": args.gradient_checkpointing,
        "have neftune_noise_alpha": args.neftune_noise_alpha is not None,
        "have use_liger_kernel": args.use_liger_kernel,
        "train in another version of transformers": not hasattr(Trainer, "_run_epoch"),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def most_stacked(trainer: PrivacyTrainer, missing: int, stack: int | None = None) -> int:
    """How many of the missing references of a trainer to train side by side; 1 where they cannot be, with a warning.

    ``stack`` says so, or by default all up to 8, of a fair share: on a CPU, processes that train references beside
    this one have what this one's threads leave of the cores.
    """
    if stack == 1 or missing < 2 or not is_adapter(trainer):
        return 1
    reason = why_not_stacked(trainer)
    if reason is not None:
        _say(reason)
        return 1
    if stack is not None:
        return stack
    processes = 1
    if trainer.args.device.type == "cpu":
        processes = max(1, available_cores() // torch.get_num_threads())
    return max(1, min(MOST, math.ceil(missing / processes)))


def trained_side_by_side(clones: Sequence[PrivacyTrainer]) -> bool:
    """`train_stacked`; what keeps them from it is said once in a process, in a warning."""
    reason = train_stacked(clones)
    if reason is not None:
        _say(reason)
    return reason is None


def _say(reason: str) -> None:
    warn_once(f"references are trained one after another, not side by side: they {reason}", stacklevel=4)


def train_stacked(clones: Sequence[PrivacyTrainer]) -> str | None:
    """Train the clones of one trainer side by side, each to the weights that ``train`` gives it, to rounding.

    Each has its own batches, random numbers, loss, clipping, schedule and optimizer; the pass through the model is
    made for all at once. One that has fewer steps leaves the others. With dropout, batches of different shapes are
    passed one after another, so that each model draws what it would draw alone. A first batch is tried both ways.

    Parameters
    ----------
    clones : sequence of PrivacyTrainer
        As `reference_trainer` makes them.

    Returns
    -------
    str or None
        Why they cannot be, after "the references"; then none is trained, and all are to be made anew.
    """
    before = torch.get_rng_state()
    try:
        reasons = [
            why_not_stacked(clones[0]),
            *(f"cannot, since {why}" for clone in clones if (why := why_not_lean(clone))),
        ]
        if any(reasons):
            return next(reason for reason in reasons if reason)
        trainings = [OneOfSeveral(clone) for clone in clones]
        for training in trainings:
            if not training.advance():
                return "take no step"
            share_frozen(training.clone.model, clones[0].model)
        if len(clones) == 1:
            return _train(trainings)
        reason = why_not_one([clone.model for clone in clones]) or _why_not_head(clones[0])
        if reason is not None:
            return reason
        try:
            width = most_at_once(trainings[0])
        except (RuntimeError, AttributeError) as error:
            return f"have a loss that cannot be tried ({type(error).__name__})"
        # What one part cannot, the first part cannot: nothing is trained in vain.
        for start in range(0, len(trainings), width):
            reason = _train(trainings[start : start + width])
            if reason is not None:
                return reason
        return None
    finally:
        torch.set_rng_state(before)


def _train(trainings: Sequence[OneOfSeveral]) -> str | None:
    for number, training in enumerate(trainings):
        training.number = number
    stack = AdapterStack([training.clone.model for training in trainings])
    try:
        reason, draws = try_stack(stack, trainings) if len(trainings) > 1 else (None, False)
        live = list(trainings)
        while live and reason is None:
            for group in alike(live, draws=draws):
                backward(stack, group, [training.inputs for training in group], draws=draws)
            live = [training for training in live if training.advance()]
        return reason
    finally:
        stack.dissolve()


def _why_not_head(clone: PrivacyTrainer) -> str | None:
    """A language model's head is applied to each model's tokens apart, and must be the base's."""
    head = None if clone.task.has_classes else bare_model(clone.model).get_output_embeddings()
    trained = head is not None and any(weight.requires_grad for weight in head.parameters())
    return "train the model's head" if trained else None
