"""What the stages after training would refuse, refused before it: unlearning, audit, and the trainer's own set-up."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import Trainer, get_scheduler

from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError, one_line
from hf_privacy.recipe.audit_signals import adversarial_inputs
from hf_privacy.recipe.config import Recipe, unknown_key
from hf_privacy.recipe.forget_rows import request_of, requested_rows, unlearning_rows
from hf_privacy.recipe.unlearning import UNLEARNERS, check_unlearning
from hf_privacy.reports import refuse_leaks

if TYPE_CHECKING:
    from hf_privacy.recipe.build import Experiment


def check_later_sections(recipe: Recipe) -> None:
    """Refuse an unlearning section that no data are needed to refuse; without a method, what none of them takes.

    Raises
    ------
    InputError
        As `check_unlearning`, and for a request of no form.
    """
    if recipe.unlearning.method is not None:
        check_unlearning(recipe)
    known = {field.name for _, config in UNLEARNERS.values() for field in fields(config)}
    for key in recipe.unlearning.training:
        if key not in known:
            raise unknown_key(str(key), sorted(known), "section 'unlearning.training'")
    if recipe.unlearning.request:
        request_of(recipe.unlearning.request)


def check_later_stages(experiment: Experiment, model: torch.nn.Module) -> None:
    """Refuse what audit and unlearning would refuse once they have model and rows.

    Parameters
    ----------
    experiment : Experiment
    model : torch.nn.Module
        An untrained model of the recipe.

    Raises
    ------
    InputError
        For an attack on inputs that cannot be made, more canaries than there are rows, a population too small for the
        audit, or a request to forget that names no member.
    """
    recipe, split = experiment.recipe, experiment.split
    options = recipe.audit
    adversarial_inputs(options, model, experiment.processor, experiment.dataset)
    n_outside = len(experiment.dataset) - len(split.members)
    if options.canary_kind == "mislabelled" and options.canaries > n_outside:
        raise InputError(
            f"audit.canaries is {options.canaries:,} and {n_outside:,} rows lie outside the training set: ask for "
            "fewer, or for audit.canary_kind 'random'"
        )
    if recipe.unlearning.method is not None and recipe.unlearning.request:
        forget = requested_rows(experiment, request_of(recipe.unlearning.request))
        unlearning_rows(experiment, np.asarray(forget))


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
