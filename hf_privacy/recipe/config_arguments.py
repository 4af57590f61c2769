"""A section of a recipe as a trainer's config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from transformers.integrations import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

from hf_privacy.arguments import unknown_key
from hf_privacy.defenses import DEFENSES, PrivacyConfig, PrivacyTrainer, trainer_class
from hf_privacy.errors import InputError, one_line
from hf_privacy.recipe.config import checked

Config = TypeVar("Config", bound=PrivacyConfig)

# What `TrainingArguments` and the configs raise for values they cannot use.
_REFUSALS = (TypeError, ValueError, AttributeError, KeyError, RuntimeError, ImportError, OSError, OverflowError)
# What a recipe's training is unless it says otherwise: quiet, and without checkpoints.
QUIET = {"save_strategy": "no", "logging_strategy": "epoch", "report_to": "none"}
_ABOVE_ZERO = ("learning_rate", "adam_epsilon", "logging_steps", "save_steps", "eval_steps")
_MOST = {"num_train_epochs": 1e6, "learning_rate": 1e6}  # beyond, the number of steps or the weights overflow
_CHOOSING = {"load_best_model_at_end", "metric_for_best_model", "greater_is_better"}
_CHOOSING_VALUES = {"save_strategy": "best", "lr_scheduler_type": "reduce_lr_on_plateau"}


def config_from(
    values: Mapping[str, Any], config_class: type[Config], output_dir: str | Path, *, section: str
) -> Config:
    """A section of a recipe as a config, quiet and without checkpoints unless it says otherwise.

    Parameters
    ----------
    values : mapping
        Fields of ``config_class``.
    config_class : type
        `PrivacyConfig` or one made of it.
    output_dir : path
    section : str
        What messages call it.

    Raises
    ------
    InputError
        For an unknown key, a value of the wrong kind, or one that the config refuses.
    """
    known = [f.name for f in fields(config_class) if f.init]
    for key in values:
        if key not in known:
            raise unknown_key(str(key), known, f"section {section!r}")
    if "output_dir" in values:
        raise InputError(f"{section}.output_dir is set: set output_dir at the recipe's top level instead")
    kinds = get_type_hints(config_class)
    given = {key: checked(value, kinds[key], f"section {section!r} key {key!r}") for key, value in values.items()}
    for key, value in given.items():
        if key in _ABOVE_ZERO and value is not None and value <= 0:
            raise InputError(f"{section}.{key} is {value}: pass a number above 0")
        _refuse_choice(f"{section}.{key}", key, value)
    _check_trackers(f"{section}.report_to", given.get("report_to"))
    try:
        args = config_class(output_dir=str(output_dir), **{**QUIET, **given})
    except InputError as error:
        named = str(error).split(" ", 1)[0] in known  # a sentence on one of the section's keys
        raise InputError(f"{section}.{error}" if named else str(error)) from error
    except _REFUSALS as error:
        raise InputError(f"section {section!r} is refused: {one_line(error, longest=None)}") from error
    for name, most in _MOST.items():
        if getattr(args, name) > most:
            raise InputError(f"{section}.{name} is {getattr(args, name):g}: pass at most a million")
    return args


def _refuse_choice(name: str, key: str, value: Any) -> None:
    """What the Trainer chooses by its evaluation set would be chosen on the audit's non-members."""
    if (key in _CHOOSING and value) or (key in _CHOOSING_VALUES and value == _CHOOSING_VALUES[key]):
        kinds = {method: trainer_class(method) for method in DEFENSES}
        # Those that train as everyone does, and choose when to stop.
        choosing = [
            method
            for method, kind in kinds.items()
            if kind.needs_validation and kind.training_loss is PrivacyTrainer.training_loss
        ]
        validating = " or ".join(choosing)
        raise InputError(
            f"{name} is {value!r}: it chooses by the evaluation set, which is the audit's non-members, and what is "
            f"chosen on them is no longer judged by them; leave it out, or use defense {validating}, which looks at "
            "the population"
        )


def _check_trackers(name: str, value: Any) -> None:
    trackers = [value] if isinstance(value, str) else list(value or [])
    installed = get_available_reporting_integrations()
    for tracker in trackers:
        if tracker in ("none", "all", *installed):
            continue
        if tracker in INTEGRATION_TO_CALLBACK:
            raise InputError(f"{name} is {tracker!r}, which is not installed: install it, or pass none")
        raise unknown_key(str(tracker), [*INTEGRATION_TO_CALLBACK, "none"], name)
