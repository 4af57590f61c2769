"""A section of a recipe as a trainer's config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from transformers.integrations import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

from hf_privacy.defenses import PrivacyConfig
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import checked, unknown_key

Config = TypeVar("Config", bound=PrivacyConfig)

# What `TrainingArguments` and the configs raise for values they cannot use.
_REFUSALS = (TypeError, ValueError, AttributeError, KeyError, RuntimeError, ImportError, OSError, OverflowError)
_SEED = (0, 2**32 - 1, "a whole number from 0 to 2³² − 1")
_COUNT = (1, 2**31, "a whole number from 1 up")
_FROM_ZERO = (0, math.inf, "0 or more")
_SHARE = (0, 1, "a number in [0, 1]")
_RANGES = {
    "seed": _SEED,
    "data_seed": _SEED,
    "num_train_epochs": (0, 1e6, "a number above 0 and below a million"),
    "max_steps": (-1, 1e9, "a number of steps, or -1 for as many as num_train_epochs takes"),
    "learning_rate": (0, 1e6, "a number above 0"),
    "per_device_train_batch_size": _COUNT,
    "per_device_eval_batch_size": _COUNT,
    "gradient_accumulation_steps": _COUNT,
    "eval_accumulation_steps": _COUNT,
    "save_total_limit": _COUNT,
    "logging_steps": _FROM_ZERO,
    "save_steps": _FROM_ZERO,
    "eval_steps": _FROM_ZERO,
    "eval_delay": _FROM_ZERO,
    "warmup_steps": _FROM_ZERO,
    "warmup_ratio": _SHARE,
    "weight_decay": _FROM_ZERO,
    "max_grad_norm": _FROM_ZERO,
    "adam_beta1": (0, 1 - 1e-12, "a number in [0, 1)"),
    "adam_beta2": (0, 1 - 1e-12, "a number in [0, 1)"),
    "adam_epsilon": _FROM_ZERO,
    "label_smoothing_factor": (0, 1 - 1e-12, "a number in [0, 1)"),
    "dataloader_num_workers": _FROM_ZERO,
}
_ABOVE_ZERO = {"learning_rate", "logging_steps", "save_steps", "eval_steps", "adam_epsilon"}
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
            raise unknown_key(key, known, f"section {section!r}")
    if "output_dir" in values:
        raise InputError(f"{section}.output_dir is set: set output_dir at the recipe's top level instead")
    kinds = get_type_hints(config_class)
    given = {key: checked(value, kinds[key], f"section {section!r} key {key!r}") for key, value in values.items()}
    for key, value in given.items():
        _check_range(f"{section}.{key}", key, value)
        _refuse_choice(f"{section}.{key}", key, value)
    _check_trackers(f"{section}.report_to", given.get("report_to"))
    defaults = {"save_strategy": "no", "logging_strategy": "epoch", "report_to": "none"}
    try:
        args = config_class(output_dir=str(output_dir), **{**defaults, **given})
    except InputError:
        raise
    except _REFUSALS as error:
        raise InputError(f"section {section!r} is refused: {' '.join(str(error).split())}") from error
    return args


def _check_range(name: str, key: str, value: Any) -> None:
    """Refuse a number that no training can run with; `TrainingArguments` checks hardly any."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not math.isfinite(value):
        raise InputError(f"{name} is {value}: pass a finite number")
    low, high, words = _RANGES.get(key, (-math.inf, math.inf, ""))
    above = key in _ABOVE_ZERO
    if not low <= value <= high or (above and value <= 0):
        raise InputError(f"{name} is {value}: pass {words or 'a number above 0'}")


def _refuse_choice(name: str, key: str, value: Any) -> None:
    """What the Trainer chooses by its evaluation set would be chosen on the audit's non-members."""
    if (key in _CHOOSING and value) or (key in _CHOOSING_VALUES and value == _CHOOSING_VALUES[key]):
        raise InputError(
            f"{name} is {value!r}: it chooses by the evaluation set, which is the audit's non-members, and what is "
            "chosen on them is no longer judged by them; leave it out, or use defense early_stopping, which looks at "
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
