"""Recipes: one YAML file, checked, and made into data, split and trainer.

Reading a recipe is light: torch and transformers are imported when one is made into a trainer.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hf_privacy.recipe.audit_settings import EXTRA_ATTACKS, AuditSettings
from hf_privacy.recipe.config import DataSection, ModelSection, PushSection, Recipe, read_yaml
from hf_privacy.recipe.folder import RunFolder
from hf_privacy.recipe.robustness_settings import RobustnessSettings

_MODULE_OF = {
    "DEFENSES": "build",
    "Experiment": "build",
    "adversarial_inputs": "audit_signals",
    "auto_attack": "audit_signals",
    "curvature_settings": "audit_signals",
    "prepare": "build",
    "training_arguments": "build",
}

__all__ = [
    "DEFENSES",
    "EXTRA_ATTACKS",
    "AuditSettings",
    "DataSection",
    "Experiment",
    "ModelSection",
    "PushSection",
    "Recipe",
    "RobustnessSettings",
    "RunFolder",
    "adversarial_inputs",
    "auto_attack",
    "curvature_settings",
    "prepare",
    "read_yaml",
    "training_arguments",
]

if TYPE_CHECKING:
    from hf_privacy.recipe.audit_signals import adversarial_inputs, auto_attack, curvature_settings
    from hf_privacy.recipe.build import DEFENSES, Experiment, prepare, training_arguments


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hf_privacy.recipe' has no attribute {name!r}")
    return getattr(import_module(f"hf_privacy.recipe.{_MODULE_OF[name]}"), name)
