"""The callbacks a recipe asks for: weight edits and watching, which go with any defence."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hf_privacy.arguments import unknown_key
from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import Recipe

if TYPE_CHECKING:
    from transformers import TrainerCallback


def recipe_callbacks(recipe: Recipe, dataset: TensorDataset, split: MembershipSplit) -> list[TrainerCallback]:
    """Critical-weight rewinding and training dynamics, as far as the recipe asks for them.

    Rewinding has the population as its non-members. The audit's must not serve: what is chosen on them is no longer
    judged by them. Reference models get the same callback and the same population, which none of them is trained on.
    Dynamics are of the members, in their order in the split, and reference models do without.

    Raises
    ------
    InputError
        Without a population where the score needs one, or for an argument the callback does not take.
    """
    return [*_rewinding(recipe.critical_weight_rewind, dataset, split), *_watching(recipe.training_dynamics)]


def _watching(settings: dict[str, Any] | None) -> list[TrainerCallback]:
    if settings is None:
        return []
    from hf_privacy.defenses import CurvatureCallback, TrainingDynamicsCallback
    from hf_privacy.signals import Curvature

    every_n_epochs, n_vectors = settings.get("every_n_epochs", 1), settings.get("curvature", 0)
    callbacks: list[TrainerCallback] = [TrainingDynamicsCallback(every_n_epochs=every_n_epochs)]
    if n_vectors > 0:
        callbacks.append(CurvatureCallback(curvature=Curvature(n_vectors=n_vectors), every_n_epochs=every_n_epochs))
    return callbacks


def _rewinding(
    settings: dict[str, Any] | None, dataset: TensorDataset, split: MembershipSplit
) -> list[TrainerCallback]:
    if settings is None:
        return []
    from hf_privacy.defenses import CriticalWeightRewindCallback
    from hf_privacy.defenses.critical_weights.settings import CriticalWeightSettings

    known = [field.name for field in fields(CriticalWeightSettings)]
    for key in settings:
        if key not in known:
            raise unknown_key(str(key), known, "section 'critical_weight_rewind'")
    population = dataset.subset(split.population) if len(split.population) else None
    callback = CriticalWeightRewindCallback(**settings, reference_dataset=population)
    if callback.settings.needs_reference and population is None:
        raise InputError(
            "data.population_fraction is 0: critical_weight_rewind scores weights against the population, so set one "
            "aside, or rank them by another score"
        )
    return [callback]
