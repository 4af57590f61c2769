"""Recipes: one YAML file, checked, and made into data, split and trainer.

Reading a recipe is light: torch and transformers are imported when one is made into a trainer.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hf_privacy.recipe.audit_settings import EXTRA_ATTACKS, AuditSettings
from hf_privacy.recipe.config import DataSection, ModelSection, PushSection, Recipe, read_yaml
from hf_privacy.recipe.folder import RunFolder

_BUILD = ("DEFENSES", "Experiment", "prepare", "training_arguments")

__all__ = [
    "DEFENSES",
    "EXTRA_ATTACKS",
    "AuditSettings",
    "DataSection",
    "Experiment",
    "ModelSection",
    "PushSection",
    "Recipe",
    "RunFolder",
    "prepare",
    "read_yaml",
    "training_arguments",
]

if TYPE_CHECKING:
    from hf_privacy.recipe.build import DEFENSES, Experiment, prepare, training_arguments


def __getattr__(name: str) -> Any:
    if name not in _BUILD:
        raise AttributeError(f"module 'hf_privacy.recipe' has no attribute {name!r}")
    return getattr(import_module("hf_privacy.recipe.build"), name)
