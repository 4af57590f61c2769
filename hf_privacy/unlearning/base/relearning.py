"""How fast a model learns again what it was to forget."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass, replace

import torch
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_callback import ProgressCallback

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.unlearning.base.stop_rule import mean_loss


@dataclass(frozen=True)
class Relearning:
    """What learning the forget set again took.

    Attributes
    ----------
    steps : int
        Optimizer steps made.
    regained : bool
        Whether the target was reached; otherwise ``steps`` is the cap.
    """

    steps: int
    regained: bool


class _UntilRegained(TrainerCallback):
    """Stops as soon as the mean loss on the forget set is back at its target."""

    def __init__(self, dataset: TensorDataset, target_loss: float) -> None:
        self.dataset, self.target_loss = dataset, target_loss
        self.regained = False

    def on_step_end(self, args, state, control, model=None, **kwargs) -> None:
        if mean_loss(model, self.dataset) <= self.target_loss:
            self.regained = control.should_training_stop = True


def relearning_steps(
    model: torch.nn.Module, forget_dataset: TensorDataset, *, args: PrivacyConfig, target_loss: float, max_steps: int
) -> Relearning:
    """Train a copy of the model on the forget set alone until its mean loss is back at the original model's.

    A model that never saw the forget set needs a certain number of steps; one that needs far fewer has it still.

    Parameters
    ----------
    model : torch.nn.Module
        An unlearned or retrained one; it is left as it is.
    forget_dataset : TensorDataset
    args : PrivacyConfig
        The recipe's optimizer; number of epochs and steps are replaced by the cap.
    target_loss : float ≥ 0
        Mean loss of the original model on the forget set.
    max_steps : int
        The cap, at least 1.

    Raises
    ------
    InputError
        For a cap below 1 or a target that is no loss.
    """
    if max_steps < 1:
        raise InputError(f"max_steps is {max_steps}: allow at least one step")
    if not 0 <= target_loss < float("inf"):
        raise InputError(f"target_loss is {target_loss}: pass the original model's mean loss on the forget set")
    plain = forget_dataset if forget_dataset.augmentation is None else forget_dataset.with_augmentation(None)
    if mean_loss(model, plain) <= target_loss:
        return Relearning(0, True)
    watch = _UntilRegained(plain, target_loss)
    trainer = _trained_copy(model, forget_dataset, replace(args, max_steps=max_steps), [watch])
    return Relearning(trainer.state.global_step, watch.regained)


def relearned(model: torch.nn.Module, dataset: TensorDataset, *, args: PrivacyConfig) -> torch.nn.Module:
    """A copy trained on a little more: on some of what was to be forgotten, or on other text.

    What comes back although it was not trained on was never gone. The retrained model, treated alike, says what a
    model learns from those rows that never knew the rest.

    Parameters
    ----------
    model : torch.nn.Module
        Unlearned or retrained; it is left as it is.
    dataset : TensorDataset
    args : PrivacyConfig
        Optimizer, epochs or steps, and seed.

    References
    ----------
    Hu et al., "Unlearning or obfuscating? Jogging the memory of unlearned LLMs via benign relearning", ICLR 2025
    (arXiv 2406.13356).
    """
    return _trained_copy(model, dataset, args, []).model


def _trained_copy(
    model: torch.nn.Module, dataset: TensorDataset, args: PrivacyConfig, callbacks: list[TrainerCallback]
) -> PrivacyTrainer:
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(args, output_dir=folder, save_strategy="no", eval_strategy="no")
        trainer = PrivacyTrainer(copy.deepcopy(model), settings, train_dataset=dataset, callbacks=callbacks)
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        trainer.train()
    return trainer
