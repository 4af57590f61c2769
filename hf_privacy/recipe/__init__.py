"""Recipes: one YAML file, checked, and made into data, split and trainer."""

from hf_privacy.recipe.audit_settings import AuditSettings
from hf_privacy.recipe.build import DEFENSES, Experiment, prepare, training_arguments
from hf_privacy.recipe.config import DataSection, ModelSection, PushSection, Recipe, read_yaml
from hf_privacy.recipe.folder import RunFolder

__all__ = [
    "DEFENSES",
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
