"""Early stopping as a baseline among the defences, in a form that reference models can mirror."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from hf_privacy.data import TensorDataset
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.early_stopping.config import EarlyStoppingConfig
from hf_privacy.errors import InputError
from hf_privacy.signals import compute_signals
from hf_privacy.tasks import task_of


class ValidationStopCallback(TrainerCallback):
    """Stops training when the loss on a validation set has not fallen for some epochs.

    The loss is the mean cross-entropy over its examples, of a language model over all their scored tokens, as its
    perplexity is.

    The losses stand in the trainer state's ``log_history`` ("validation_loss") and nowhere else: checkpoints carry
    them, so a resumed run stops where it would have stopped.

    Parameters
    ----------
    validation_dataset : TensorDataset
    patience : int
    min_improvement : float
    """

    def __init__(self, validation_dataset: TensorDataset, *, patience: int = 1, min_improvement: float = 0.0) -> None:
        self.validation_dataset = validation_dataset
        self.patience = patience
        self.min_improvement = min_improvement
        # Part of the recipe's hash, as every plain attribute of a callback is.
        self.validation_hash = validation_dataset.digest()

    def __deepcopy__(self, memo: dict) -> ValidationStopCallback:
        # Without state of its own; a copy for each reference model shares the rows.
        return self

    def on_step_end(self, args, state, control, *, model, **kwargs) -> None:
        # At the end of the last step, not of the epoch: a checkpoint of this step is written in between.
        if not float(state.epoch).is_integer():
            return
        signals = compute_signals(model, self.validation_dataset)
        found = task_of(model).utility_estimates({name: values[0] for name, values in signals.items()})
        loss = [found["loss"]]
        # One process decides for all: buffers, of batch norm say, differ between them.
        loss = broadcast_object_list(loss)[0] if args.world_size > 1 else loss[0]
        state.log_history.append({"validation_loss": loss, "epoch": state.epoch, "step": state.global_step})
        losses = [entry["validation_loss"] for entry in state.log_history if "validation_loss" in entry]
        if epochs_without_improvement(losses, self.min_improvement) >= self.patience:
            control.should_training_stop = True


def epochs_without_improvement(losses: list[float], min_improvement: float = 0.0) -> int:
    """How many of the last values in a row did not undercut the lowest value before them.

    Examples
    --------
    >>> epochs_without_improvement([1.0, 0.5, 0.6, 0.5])
    2
    """
    best, count = float("inf"), 0
    for loss in losses:
        if loss < best - min_improvement:
            best, count = loss, 0
        else:
            count += 1
    return count


class EarlyStoppingTrainer(PrivacyTrainer):
    """`PrivacyTrainer` that stops when the loss on a validation set falls no more, and keeps its last weights.

    The stock `transformers.EarlyStoppingCallback` serves a single model, but not an audited one: it needs an
    evaluation, which reference models do not run, and ``eval_dataset`` is the audit's non-members, on which nothing
    may be chosen. Here the validation set is one apart from members and non-members, and reference models stop by the
    same rule on the same set.

    Parameters
    ----------
    args : EarlyStoppingConfig
    validation_dataset : TensorDataset
        Rows that are no member, no non-member and no reference model's training data. In a recipe: the population.
        (None only where ``callbacks`` holds the `ValidationStopCallback` already, as for a reference model.)
    **others
        As in `PrivacyTrainer`.

    References
    ----------
    Song & Mittal (2021), "Systematic evaluation of privacy risks of machine learning models", USENIX Security, arXiv
    2003.10595, who hold defences against it. They look at the model after each epoch; here the validation loss chooses
    the epoch.

    Examples
    --------
    >>> from hf_privacy.defenses import EarlyStoppingTrainer
    >>> EarlyStoppingTrainer.defense_name
    'early_stopping'
    """

    config_class: ClassVar[type[PrivacyConfig]] = EarlyStoppingConfig
    defense_name: ClassVar[str] = "early_stopping"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Systematic Evaluation of Privacy Risks of Machine Learning Models",
        "id": "arXiv:2003.10595",
        "citation": "Liwei Song and Prateek Mittal. Systematic Evaluation of Privacy Risks of Machine Learning "
        "Models. USENIX Security 2021.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"patience": [1, 2, 3, 5]}
    needs_validation: ClassVar[bool] = True

    args: EarlyStoppingConfig

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        args: EarlyStoppingConfig | None = None,
        data_collator: Callable | None = None,
        train_dataset: Any = None,
        *,
        validation_dataset: TensorDataset | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **kwargs: Any,
    ) -> None:
        callbacks = list(callbacks or [])
        has_rule = any(isinstance(callback, ValidationStopCallback) for callback in callbacks)
        if has_rule == (validation_dataset is not None):
            raise InputError("validation_dataset is missing or given twice: pass one, or one ValidationStopCallback")
        if validation_dataset is not None and isinstance(args, EarlyStoppingConfig):
            if not isinstance(validation_dataset, TensorDataset) or len(validation_dataset) == 0:
                raise InputError("validation_dataset is empty or no TensorDataset: pass rows apart from the split")
            rule = {"patience": args.patience, "min_improvement": args.min_improvement}
            callbacks.append(ValidationStopCallback(validation_dataset, **rule))
        super().__init__(model, args, data_collator, train_dataset, callbacks=callbacks, **kwargs)
        if self.second_phase is not None:
            raise InputError(
                f"{type(self.second_phase).__name__} is set with early stopping: training would stop before its "
                "second phase; use it with another defence, and num_train_epochs as the epoch to stop at"
            )
