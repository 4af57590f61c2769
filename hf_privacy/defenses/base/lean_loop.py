"""An epoch of training without the machinery around it: the same steps, and nothing else at each of them.

The stock Trainer's loop costs as much as a step of a small model: it wraps batches and optimizer, saves and restores
random states, calls every callback for every event and sets every module's mode anew. For a model of which nothing is
logged and nobody watches a step, as for a reference, `LeanLoopMixin` takes its place. What is computed stays the
trainer's own: its loss, batches, optimizer, schedule, callbacks and checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import IntervalStrategy, TrainOutput
from transformers.training_args import OptimizerNames

from hf_privacy.data import TensorDataset, collate_batch
from hf_privacy.defenses.base.cpu_linear import linear_by_onednn
from hf_privacy.defenses.base.static_steps import StaticSteps, as_graph, make_recordable, why_not_recordable
from hf_privacy.errors import InputError

# Those of torch itself: no modes, no learning rate that `backward` would have to know.
_OPTIMIZERS = (
    OptimizerNames.SGD,
    OptimizerNames.ADAMW_TORCH,
    OptimizerNames.ADAMW_TORCH_FUSED,
    OptimizerNames.ADAGRAD,
    OptimizerNames.RMSPROP,
)
# Whoever overrides one of these has a step of its own, which is then called whole.
_OF_A_STEP = (
    "training_step",
    "compute_loss",
    "compute_loss_context_manager",
    "autocast_smart_context_manager",
    "_prepare_inputs",
    "_prepare_input",
)


def why_not_lean(trainer: Any) -> str | None:
    """What a trainer has that the lean loop does not know, in words that follow "since"; None where it knows all."""
    args, accelerator = trainer.args, trainer.accelerator
    scheduler = getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)
    own_optimizer = trainer.optimizer_cls_and_kwargs
    reasons = {
        f"the trainer runs on {args.world_size} processes": args.world_size > 1,
        "the weights are sharded (FSDP or DeepSpeed)": trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled,
        f"accelerate runs it as {accelerator.distributed_type}": str(accelerator.distributed_type).endswith("NO")
        is False,
        "torch_compile is set": args.torch_compile,
        "fp16 scales the loss": args.fp16,
        "auto_find_batch_size is set": args.auto_find_batch_size,
        "torch_empty_cache_steps is set": args.torch_empty_cache_steps is not None,
        "include_num_input_tokens_seen is set": args.include_num_input_tokens_seen not in ("no", False),
        f"lr_scheduler_type is {scheduler!r}": scheduler in ("reduce_lr_on_plateau", "greedy"),
        f"optim is {args.optim.value!r}": own_optimizer is None and args.optim not in _OPTIMIZERS,
        "the optimizer is none of torch's": own_optimizer is not None
        and not own_optimizer[0].__module__.startswith("torch.optim"),
        "training is evaluated": str(getattr(args.eval_strategy, "value", args.eval_strategy)) != "no",
        "this version of transformers has no _run_epoch": not hasattr(Trainer, "_run_epoch"),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


class LeanLoopMixin:
    """The part of `PrivacyTrainer` that can run its epochs by the lean loop; stands before `transformers.Trainer`."""

    _lean = False
    # Of this training, where its steps are repeated as they were recorded; they outlive an epoch.
    _static_steps: StaticSteps | None = None

    def train_lean(self, resume_from_checkpoint: str | None = None) -> TrainOutput:
        """As ``train``, each epoch by the lean loop: the same weights, from the same seeds.

        Raises
        ------
        InputError
            For what the loop does not know (`why_not_lean`), and as ``train``.
        """
        reason = why_not_lean(self)
        if reason is not None:
            raise InputError(f"the lean loop cannot train this, since {reason}: call train")
        self._lean, self._static_steps = True, None
        try:
            return self.train(resume_from_checkpoint=resume_from_checkpoint)
        finally:
            self._lean, self._static_steps = False, None

    def _inner_training_loop(self, *given: Any, **kwargs: Any) -> TrainOutput:
        # The model is there by now. A step of the trainer's own may look at its layers, as DP's does.
        by_onednn = self._lean and self.args.device.type == "cpu" and _has_stock_step(self)
        with linear_by_onednn(self.model) if by_onednn else nullcontext():
            return super()._inner_training_loop(*given, **kwargs)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # A resumed epoch skips batches and puts random states back, once a training: left to the stock loop.
        resumed = kwargs.get("resume_from_checkpoint") is not None and kwargs["epoch"] == kwargs["epochs_trained"]
        if args or resumed or not self._lean:
            super()._run_epoch(*args, **kwargs)
        else:
            LeanEpoch(self, kwargs["model"], kwargs["train_dataloader"], kwargs).run()


class LeanEpoch:
    """One epoch of one trainer, with what its steps need looked up once."""

    def __init__(self, trainer: Any, model: torch.nn.Module, loader: DataLoader, facts: dict[str, Any]) -> None:
        self.trainer, self.model, self.loader, self.facts = trainer, model, loader, facts
        self.device = trainer.args.device
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.has_stock_step = _has_stock_step(trainer)
        self.has_stock_batches = _is_of_base(trainer, "get_batch_samples")
        self.has_stock_norm = _is_of_base(trainer, "_clip_grad_norm") and _is_of_base(trainer, "_get_grad_norm")
        rows = loader.dataset
        # Fetching what may draw random numbers is the trainer's, which gives each step a state of its own for it.
        self.may_draw = (
            getattr(type(rows), "__getitems__", None) is not TensorDataset.__getitems__
            or rows.augmentation is not None
            or trainer.data_collator is not collate_batch
        )
        self.average = trainer.loss_average
        self.logs = trainer.args.logging_strategy != IntervalStrategy.NO or trainer.args.logging_first_step
        self.events = _events(trainer)
        self.optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
        self.repeated: StaticSteps | None = None

    def run(self) -> None:
        """Take the epoch's steps; on a GPU on a stream of their own, which a recorded step needs."""
        if self.device.type != "cuda":
            self._run()
            return
        stream, current = torch.cuda.Stream(self.device), torch.cuda.current_stream(self.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            self._run()
        current.wait_stream(stream)

    def _run(self) -> None:
        trainer = self.trainer
        trainer._static_steps = self.repeated = trainer._static_steps or self._repeated_steps()
        synced = trainer.accelerator.gradient_state._set_sync_gradients
        for inputs, n_samples, count, is_last in self.steps():
            if self.repeated is not None:
                trainer._tr_loss += self.repeated(trainer._prepare_inputs(inputs), trainer.loss_phase())
            elif self.has_stock_step:
                trainer._tr_loss += self._backward(inputs, n_samples, count)
            else:
                synced(is_last)
                trainer._tr_loss += trainer.training_step(self.model, inputs, count)

    def steps(self) -> Iterator[tuple[dict[str, torch.Tensor], int, Any, bool]]:
        """All but the passes: whoever goes through adds the gradients of each batch's loss before the next.

        A batch, how many its optimizer step has, what they count (None for one alone), and whether it is the last of
        them.
        """
        trainer, args, state = self.trainer, self.trainer.args, self.trainer.state
        epoch, steps_in_epoch = self.facts["epoch"], self.facts["steps_in_epoch"]
        accumulation, n_updates = args.gradient_accumulation_steps, self.facts["num_update_steps_per_epoch"]
        synced = trainer.accelerator.gradient_state._set_sync_gradients
        # What schedulers ask of the optimizer that is wrapped for the stock loop.
        trainer.optimizer._opt_called = True
        if hasattr(self.loader, "set_epoch"):
            self.loader.set_epoch(epoch)
        batches = self._batches()
        self.model.train()
        step, norm, rate = -1, None, None
        for update in range(n_updates):
            wanted = accumulation if update < n_updates - 1 else steps_in_epoch - accumulation * (n_updates - 1)
            samples, count = self._samples(batches, wanted)
            trainer.current_gradient_accumulation_steps = len(samples)
            for position, inputs in enumerate(samples):
                step += 1
                is_last = position == len(samples) - 1
                if position == 0:
                    self._begin_step()
                if not self.model.training:  # a callback has evaluated it
                    self.model.train()
                yield inputs, len(samples), count, is_last
                if not is_last:
                    self._call("on_substep_end")
                    continue
                if self.repeated is None:
                    synced(True)
                    norm = self._clip()
                    self._call("on_pre_optimizer_step")
                    self.optimizer.step()
                    self._call("on_optimizer_step")
                rate = trainer._get_learning_rate() if self.logs else None
                trainer.lr_scheduler.step()
                for parameter in self.parameters:
                    parameter.grad = None
                state.global_step += 1
                state.epoch = epoch + (step + 1) / steps_in_epoch
                self._call("on_step_end")
                self._log_and_save(norm, rate)
                if trainer.control.should_epoch_stop or trainer.control.should_training_stop:
                    break
            if trainer.control.should_epoch_stop or trainer.control.should_training_stop:
                break
        if step < 0:
            trainer.control.should_training_stop = True
        self._call("on_epoch_end")
        self._log_and_save(norm, rate)

    # ---- batches ----

    def _batches(self) -> Iterator[Any]:
        """The loader's batches, without its own machinery where it fetches them in this process."""
        # Made in any case, since making it draws from the random state that dropout draws from.
        iterator = iter(self.loader)
        if self.loader.num_workers or self.loader.pin_memory or not hasattr(self.loader.dataset, "__getitems__"):
            return iterator
        fetch, collate = self.loader.dataset.__getitems__, self.loader.collate_fn
        return (collate(fetch(rows)) for rows in self.loader.batch_sampler)

    def _samples(self, batches: Iterator[Any], wanted: int) -> tuple[list[Any], Any]:
        trainer = self.trainer
        if self.may_draw or not self.has_stock_batches:
            return trainer.get_batch_samples(batches, wanted, self.device)
        if trainer.state.global_step >= trainer.state.max_steps:
            return [], 0
        samples = [trainer.located(batch) for batch in islice(batches, wanted)]
        if len(samples) == 1 and self.has_stock_step:
            return samples, None  # its share of the step is all
        return samples, sum(trainer.task.count(batch, average=self.average) for batch in samples)

    # ---- a step ----

    def _begin_step(self) -> None:
        control = self.trainer.control
        control.should_log = control.should_evaluate = control.should_save = False
        self._call("on_step_begin")

    def _backward(self, inputs: dict[str, torch.Tensor], n_samples: int, count: Any) -> torch.Tensor:
        """`PrivacyTrainer.compute_loss` and the stock step around it, on one process."""
        trainer = self.trainer
        if self.repeated is None and self.device.type != "cpu":
            inputs = trainer._prepare_inputs(inputs)
        loss, _ = trainer.training_loss(self.model, inputs)
        if count is not None:
            share = trainer.task.count(inputs, average=self.average) / count
            loss = loss * (share * n_samples) / n_samples
        loss.backward()
        return loss.detach()

    def _repeated_steps(self) -> StaticSteps | None:
        """Whole steps that are recorded once and repeated, where nothing has a hand in them on the way."""
        calls = [call for event in ("on_pre_optimizer_step", "on_optimizer_step") for call in self.events[event][0]]
        is_plain = self.has_stock_step and self.has_stock_norm and not self.logs and not calls
        if not is_plain or why_not_recordable(self.trainer, self.optimizer) is not None:
            return None
        make_recordable(self.optimizer, self.device)

        def step(batch: dict[str, torch.Tensor]) -> torch.Tensor:
            for parameter in self.parameters:
                parameter.grad = None
            loss = self._backward(batch, 1, None)
            self._clip()
            self.optimizer.step()
            return loss

        return StaticSteps(step, record=as_graph)

    def _clip(self) -> Any:
        trainer = self.trainer
        most = trainer.args.max_grad_norm
        if not self.has_stock_norm:
            norm = trainer._clip_grad_norm(self.model) if most > 0 else None
            return trainer._get_grad_norm(self.model, grad_norm=norm)
        return torch.nn.utils.clip_grad_norm_(self.parameters, most) if most > 0 else None

    def _log_and_save(self, norm: Any, rate: float | None) -> None:
        control = self.trainer.control
        if control.should_log or control.should_evaluate or control.should_save:
            self.trainer._maybe_log_save_evaluate(
                self.trainer._tr_loss,
                norm,
                self.model,
                self.facts["trial"],
                self.facts["epoch"],
                self.facts["ignore_keys_for_eval"],
                self.facts["start_time"],
                learning_rate=rate,
            )

    def _call(self, event: str) -> None:
        calls, given = self.events[event]
        for call in calls:
            changed = call(self.trainer.args, self.trainer.state, self.trainer.control, **given)
            if changed is not None:
                self.trainer.control = changed


def _events(trainer: Any) -> dict[str, tuple[list[Callable], dict[str, Any]]]:
    """By event, the callbacks that do something at it, and what the stock Trainer's handler gives them."""
    handler = trainer.callback_handler
    names = ("model", "processing_class", "optimizer", "lr_scheduler", "train_dataloader", "eval_dataloader")
    given = {name: getattr(handler, name) for name in names}
    events = ("step_begin", "substep_end", "pre_optimizer_step", "optimizer_step", "step_end", "epoch_end")
    return {
        f"on_{event}": (
            [
                getattr(callback, f"on_{event}")
                for callback in handler.callbacks
                if getattr(type(callback), f"on_{event}") is not getattr(TrainerCallback, f"on_{event}")
            ],
            given,
        )
        for event in events
    }


def _has_stock_step(trainer: Any) -> bool:
    return all(_is_of_base(trainer, name) for name in _OF_A_STEP)


def _is_of_base(trainer: Any, name: str) -> bool:
    """Whether a method is what `PrivacyTrainer` has, and no defence's or user's."""
    base = next(kind for kind in type(trainer).__mro__ if LeanLoopMixin in kind.__bases__)
    return name not in vars(trainer) and getattr(type(trainer), name) is getattr(base, name)
