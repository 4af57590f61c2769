"""A section of a recipe as a trainer's config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from hf_privacy.defenses import PrivacyConfig
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import checked, unknown_key

Config = TypeVar("Config", bound=PrivacyConfig)


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
    given = {
        key: checked(value, kinds[key], f"section {section!r} key {key!r}") if _is_scalar(kinds[key]) else value
        for key, value in values.items()
    }
    defaults = {"save_strategy": "no", "logging_strategy": "epoch", "report_to": "none"}
    try:
        args = config_class(output_dir=str(output_dir), **{**defaults, **given})
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"section {section!r} is refused: {' '.join(str(error).split())}") from error
    for name in ("learning_rate", "per_device_train_batch_size", "gradient_accumulation_steps"):
        if getattr(args, name) <= 0:
            raise InputError(f"{section}.{name} is {getattr(args, name)}: pass a number above 0")
    return args


def _is_scalar(kind: Any) -> bool:
    """Whether a field takes plain numbers only, which `TrainingArguments` does not check."""
    return set(get_args(kind) or (kind,)) <= {int, float, bool, type(None)}
