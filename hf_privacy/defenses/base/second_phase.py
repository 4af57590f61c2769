"""A second phase of training, which a callback may ask the trainer for: one run, each phase with its learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch.optim.lr_scheduler import LambdaLR

from hf_privacy.errors import InputError


@runtime_checkable
class SecondPhase(Protocol):
    """What a `transformers.TrainerCallback` has that asks a `PrivacyTrainer` for a second phase.

    The trainer trains as its arguments say, and then goes on for as many steps as the callback asks for, with the
    same loss and batches. The callback does what it is there for at the step where the second phase begins, in
    ``on_step_begin``, so that whatever is saved or evaluated at the end of the step before is of the first. The
    learning rate begins again at its initial value, without warm-up, and falls to zero by a cosine.

    A callback may also have, with or without a second phase:

    - ``check_run(args, model, dataset)``: raises `InputError` for what it would refuse when training begins;
    - ``unaccounted``: a sentence on what it does with training examples that no noise hides (else None), by which a
      guarantee of differential privacy is lost;
    - ``describe_defense(host)``: the report's ``defense`` of a trainer with it, from that of the trainer alone.

    Examples
    --------
    >>> class Twice:
    ...     def second_phase_steps(self, first_steps, steps_per_epoch):
    ...         return first_steps
    ...
    ...     def on_phases_planned(self, first_steps, second_steps):
    ...         self.first_steps = first_steps
    >>> isinstance(Twice(), SecondPhase)
    True
    """

    def second_phase_steps(self, first_steps: int, steps_per_epoch: int) -> int:
        """Optimizer steps, at least 1, that are to follow ``first_steps`` of training; asked as often as needed."""

    def on_phases_planned(self, first_steps: int, second_steps: int) -> None:
        """Take note of the lengths of both phases: once a training, before ``on_train_begin``."""


class SecondPhaseMixin:
    """The part of `PrivacyTrainer` that plans a second phase; stands before `transformers.Trainer`.

    Without a callback that is a `SecondPhase` all is as in the stock Trainer. With one, epochs, steps, logs and
    checkpoints are counted through both phases, so that whatever knows how far the run is (resuming, the epoch a loss
    depends on, a privacy ledger) knows it in the second phase too.
    """

    _phases: tuple[int, int] | None = None

    @property
    def second_phase(self) -> Any:
        """The callback that asks for a second phase; None without one."""
        found = [callback for callback in self.callback_handler.callbacks if isinstance(callback, SecondPhase)]
        if len(found) > 1:
            names = " and ".join(type(callback).__name__ for callback in found)
            raise InputError(f"{len(found)} callbacks ask for a second phase of training, {names}: pass one")
        return found[0] if found else None

    def steps_of_both_phases(self, first_steps: int, steps_per_epoch: int) -> int:
        """Optimizer steps of the whole run, of which the arguments ask for the first so many."""
        asked = self.second_phase
        return first_steps + (0 if asked is None else asked.second_phase_steps(first_steps, steps_per_epoch))

    def set_initial_training_values(self, args: Any, dataloader: Any, *others: Any) -> tuple:
        """As in the stock Trainer, with epochs, examples and steps of the second phase on top."""
        values = super().set_initial_training_values(args, dataloader, *others)
        if self.second_phase is None:
            return values
        steps_per_epoch, first_steps = values[1], values[-1]
        steps = self.steps_of_both_phases(first_steps, steps_per_epoch)
        self._phases = (first_steps, steps - first_steps)
        self.second_phase.on_phases_planned(*self._phases)
        n_samples = round(values[3] * steps / first_steps)
        return (math.ceil(steps / steps_per_epoch), *values[1:3], n_samples, *values[4:-1], steps)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The arguments' schedule for the first phase; for the second, the initial learning rate and a cosine."""
        if self.second_phase is None or self._phases is None:
            return super().create_scheduler(num_training_steps, optimizer)
        again = f"the second phase of {type(self.second_phase).__name__} starts the schedule again"
        if self.lr_scheduler is not None:
            raise InputError(
                f"a learning rate scheduler is passed in optimizers: {again}, so set lr_scheduler_type instead"
            )
        scheduler = super().create_scheduler(self._phases[0], optimizer)
        if not isinstance(scheduler, LambdaLR):
            raise InputError(
                f"lr_scheduler_type is {self.args.lr_scheduler_type!s}: {again}, which this one cannot; use 'cosine', "
                "'linear' or 'constant'"
            )
        scheduler.lr_lambdas = [_then_cosine(first, *self._phases) for first in scheduler.lr_lambdas]
        return scheduler


def _then_cosine(first: Callable[[int], float], first_steps: int, second_steps: int) -> Callable[[int], float]:
    def factor(step: int) -> float:
        if step < first_steps:
            return first(step)
        return 0.5 * (1 + math.cos(math.pi * min((step - first_steps) / second_steps, 1.0)))

    return factor
