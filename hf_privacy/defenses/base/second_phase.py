"""How a trainer makes room for critical weight rewinding: one run of two phases, each with its own learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from torch.optim.lr_scheduler import LambdaLR

from hf_privacy.defenses.base.config import own_arguments
from hf_privacy.defenses.critical_weights.callback import CriticalWeightRewindCallback
from hf_privacy.errors import InputError


class SecondPhaseMixin:
    """The part of `PrivacyTrainer` that plans a fine-tuning after training; stands before `transformers.Trainer`.

    Without a `CriticalWeightRewindCallback` among ``callbacks`` all is as in the stock Trainer. With one, epochs,
    steps, logs and checkpoints are counted through both phases, so that whatever knows how far the run is (resuming,
    the epoch a loss depends on, a privacy ledger) knows it in the second phase too.
    """

    @property
    def critical_weight_rewind(self) -> CriticalWeightRewindCallback | None:
        """The callback whose fine-tuning follows the training; None without one."""
        found = [
            callback
            for callback in self.callback_handler.callbacks
            if isinstance(callback, CriticalWeightRewindCallback)
        ]
        if len(found) > 1:
            raise InputError(f"{len(found)} CriticalWeightRewindCallback were passed: pass one")
        return found[0] if found else None

    def steps_of_both_phases(self, first_steps: int, steps_per_epoch: int) -> int:
        """Optimizer steps of the whole run, of which the arguments ask for the first so many."""
        rewind = self.critical_weight_rewind
        return first_steps + (0 if rewind is None else rewind.settings.second_steps(first_steps, steps_per_epoch))

    def set_initial_training_values(self, args: Any, dataloader: Any, *others: Any) -> tuple:
        """As in the stock Trainer, with epochs, examples and steps of the fine-tuning on top."""
        values = super().set_initial_training_values(args, dataloader, *others)
        rewind = self.critical_weight_rewind
        if rewind is None:
            return values
        steps_per_epoch, first_steps = values[1], values[-1]
        steps = rewind.plan(first_steps, steps_per_epoch)
        n_samples = round(values[3] * steps / first_steps)
        return (math.ceil(steps / steps_per_epoch), *values[1:3], n_samples, *values[4:-1], steps)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The arguments' schedule for the training; for the fine-tuning, the initial learning rate and a cosine."""
        rewind = self.critical_weight_rewind
        if rewind is None or rewind.first_steps is None:
            return super().create_scheduler(num_training_steps, optimizer)
        if self.lr_scheduler is not None:
            raise InputError(
                "a learning rate scheduler is passed in optimizers: critical weight rewinding starts the schedule "
                "again, so set lr_scheduler_type instead"
            )
        scheduler = super().create_scheduler(rewind.first_steps, optimizer)
        if not isinstance(scheduler, LambdaLR):
            raise InputError(
                f"lr_scheduler_type is {self.args.lr_scheduler_type!s}: critical weight rewinding starts the schedule "
                "again, which this one cannot; use 'cosine', 'linear' or 'constant'"
            )
        scheduler.lr_lambdas = [
            _then_cosine(first, rewind.first_steps, rewind.second_steps) for first in scheduler.lr_lambdas
        ]
        return scheduler

    def describe_defense(self) -> dict[str, Any]:
        """Name, parameters and paper of the defence, as in the report's ``defense``."""
        described = {
            "name": self.defense_name,
            "parameters": own_arguments(self.args, also=self.paper_defaults),
            "paper": None if self.paper is None else {"title": self.paper["title"], "id": self.paper["id"]},
        }
        rewind = self.critical_weight_rewind
        return described if rewind is None else with_rewind(described, rewind)


def with_rewind(host: dict[str, Any], rewind: CriticalWeightRewindCallback) -> dict[str, Any]:
    """The report's ``defense`` of a trainer with critical weight rewinding, from that of the trainer alone.

    Examples
    --------
    >>> cwrf = CriticalWeightRewindCallback(score="magnitude", fraction=0.05)
    >>> with_rewind({"name": "relax_loss", "parameters": {"alpha": 1.0}, "paper": None}, cwrf)["name"]
    'relax_loss+cwrf'
    """
    settings = {name: value for name, value in asdict(rewind.settings).items() if value is not None}
    if not rewind.settings.needs_reference:
        for name in ("pve_weight", "pve_epochs", "pve_learning_rate", "pve_start", "temperature", "entanglement"):
            del settings[name]
    settings["kinds"] = " ".join(rewind.settings.kinds)
    papers = [paper for paper in (host["paper"], rewind.paper) if paper is not None]
    return {
        "name": "cwrf" if host["name"] == "none" else f"{host['name']}+cwrf",
        "parameters": {**host["parameters"], **{f"cwrf_{name}": value for name, value in settings.items()}},
        "paper": {key: "; ".join(paper[key] for paper in papers) for key in ("title", "id")},
    }


def _then_cosine(first: Callable[[int], float], first_steps: int, second_steps: int) -> Callable[[int], float]:
    def factor(step: int) -> float:
        if step < first_steps:
            return first(step)
        return 0.5 * (1 + math.cos(math.pi * min((step - first_steps) / second_steps, 1.0)))

    return factor
