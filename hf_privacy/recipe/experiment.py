"""A recipe made concrete: the encoded dataset, the split, and the target's trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from transformers import Trainer, get_scheduler

from hf_privacy.data import MembershipSplit, RepeatReport, TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer, trainer_class
from hf_privacy.errors import InputError, one_line
from hf_privacy.recipe.callbacks import recipe_callbacks
from hf_privacy.recipe.config import Recipe
from hf_privacy.recipe.config_arguments import config_from
from hf_privacy.reports import refuse_leaks
from hf_privacy.tasks import task_named


@dataclass
class Experiment:
    """A recipe made concrete: everything a target or its references are trained from.

    Attributes
    ----------
    recipe : Recipe
    dataset : TensorDataset
        Every row that is used, decoded and transformed once.
    split : MembershipSplit
        Members, non-members and population, as positions in ``dataset``.
    repeats : RepeatReport
        Exact and near-exact repeats in those rows.
    classes : list of str
    processor : image processor, tokenizer or None
    model_init : callable
        Gives the untrained (or pretrained) model; seeded by the trainer.
    rows : datasets.Dataset
        The rows of ``dataset`` with every column of the source: a request to forget may name one of them.
    mislabelled : bool[N]
        The rows whose label ``data.label_noise`` turned; private.
    """

    recipe: Recipe
    dataset: TensorDataset
    split: MembershipSplit
    repeats: RepeatReport | None
    classes: list[str]
    processor: Any
    model_init: Callable[[], Any]
    rows: datasets.Dataset
    mislabelled: np.ndarray

    def training_view(self, indices: np.ndarray) -> TensorDataset:
        """The rows at ``indices`` as the trainer sees them: with augmentation, if the recipe asks for it."""
        view = self.dataset.subset(indices)
        name = self.recipe.data.augmentation
        return view if name is None else view.with_augmentation(task_named(self.recipe.task).augmentation(name))

    def trainer(self, *, output_dir: str | Path | None = None) -> PrivacyTrainer:
        """The target's trainer, on the split's members."""
        kind = trainer_class(self.recipe.defense)
        args = training_arguments(self.recipe, output_dir or self.recipe.output_dir)
        trainer = kind(
            args=args,
            model_init=self.model_init,
            train_dataset=self.training_view(self.split.members),
            eval_dataset=self.dataset.subset(self.split.non_members),
            processing_class=self.processor,
            callbacks=recipe_callbacks(self.recipe, self.dataset, self.split),
            **({"validation_dataset": self.dataset.subset(self.split.population)} if kind.needs_validation else {}),
        )
        check_set_up(trainer)
        return trainer


def training_arguments(recipe: Recipe, output_dir: str | Path) -> PrivacyConfig:
    """The recipe's training section as the defence's config; an unknown key is an `InputError`."""
    kind = trainer_class(recipe.defense)
    if recipe.task not in kind.tasks:
        raise InputError(
            f"defense {recipe.defense!r} is for {', '.join(kind.tasks)}: task {recipe.task!r} needs another"
        )
    args = config_from(recipe.training, kind.config_class, output_dir, section="training")
    if args.num_train_epochs <= 0 and args.max_steps <= 0:
        raise InputError(f"training.num_train_epochs is {args.num_train_epochs}: pass a number above 0")
    if args.report_to and args.run_name is None:
        args.run_name = run_name(recipe)
    return args


def run_name(recipe: Recipe) -> str:
    """What trackers call a run of the recipe, so that training and audit have one name there."""
    return str(recipe.training.get("run_name") or recipe.name or Path(recipe.output_dir).name)


def check_set_up(trainer: PrivacyTrainer) -> None:
    """Make the optimizer's and the scheduler's settings once, as training will, and ask the callbacks.

    Raises
    ------
    InputError
        For an optimizer whose library is not installed, arguments that optimizer, scheduler or a callback refuse, or
        settings of the defence that the report may not show.
    """
    args = trainer.args
    trainer.check_run()
    refuse_leaks(trainer.describe_defense()["parameters"], name="training")
    try:
        Trainer.get_optimizer_cls_and_kwargs(args, trainer.model)
    except (ImportError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise InputError(f"training.optim {_name(args.optim)} cannot be used: {one_line(error)}") from error
    try:
        get_scheduler(
            args.lr_scheduler_type,
            torch.optim.SGD([torch.zeros(1)], lr=args.learning_rate),
            num_warmup_steps=args.get_warmup_steps(10),
            num_training_steps=10,
            scheduler_specific_kwargs=args.lr_scheduler_kwargs,
        )
    except (ValueError, TypeError, KeyError, ZeroDivisionError) as error:
        raise InputError(
            f"training.lr_scheduler_type {_name(args.lr_scheduler_type)} cannot be used: {one_line(error)}"
        ) from error


def _name(choice: Any) -> str:
    return str(getattr(choice, "value", choice))
