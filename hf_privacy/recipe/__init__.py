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
from hf_privacy.recipe.unlearning_section import UnlearningSection

_MODULE_OF = {
    "RETRAIN": "unlearning",
    "UnlearningRows": "forget_rows",
    "Experiment": "experiment",
    "adversarial_inputs": "audit_signals",
    "check_unlearning": "unlearning",
    "relearning_arguments": "unlearning",
    "request_of": "forget_rows",
    "requested_rows": "forget_rows",
    "start_model": "unlearning",
    "trainable_again": "unlearning",
    "unlearner": "unlearning",
    "unlearning_arguments": "unlearning",
    "unlearning_rows": "forget_rows",
    "auto_attack": "audit_signals",
    "curvature_settings": "audit_signals",
    "prepare": "build",
    "training_arguments": "experiment",
}

__all__ = [
    "EXTRA_ATTACKS",
    "RETRAIN",
    "AuditSettings",
    "DataSection",
    "Experiment",
    "ModelSection",
    "PushSection",
    "Recipe",
    "RobustnessSettings",
    "RunFolder",
    "UnlearningRows",
    "UnlearningSection",
    "adversarial_inputs",
    "auto_attack",
    "check_unlearning",
    "curvature_settings",
    "prepare",
    "read_yaml",
    "relearning_arguments",
    "request_of",
    "requested_rows",
    "start_model",
    "trainable_again",
    "training_arguments",
    "unlearner",
    "unlearning_arguments",
    "unlearning_rows",
]

if TYPE_CHECKING:
    from hf_privacy.recipe.audit_signals import adversarial_inputs, auto_attack, curvature_settings
    from hf_privacy.recipe.build import prepare
    from hf_privacy.recipe.experiment import Experiment, training_arguments
    from hf_privacy.recipe.forget_rows import UnlearningRows, request_of, requested_rows, unlearning_rows
    from hf_privacy.recipe.unlearning import (
        RETRAIN,
        check_unlearning,
        relearning_arguments,
        start_model,
        trainable_again,
        unlearner,
        unlearning_arguments,
    )


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hf_privacy.recipe' has no attribute {name!r}")
    return getattr(import_module(f"hf_privacy.recipe.{_MODULE_OF[name]}"), name)
