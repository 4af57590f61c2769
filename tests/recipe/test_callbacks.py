"""Critical-weight rewinding as a section of the recipe."""

from __future__ import annotations

import pytest

from hf_privacy.defenses import CriticalWeightRewindCallback
from hf_privacy.errors import InputError
from hf_privacy.recipe import Experiment, Recipe, prepare
from hf_privacy.references import plan_references, recipe_hash


@pytest.fixture
def recipe(tmp_path) -> Recipe:
    return Recipe.from_dict(
        {
            "output_dir": str(tmp_path / "run"),
            "model": {
                "name_or_path": "resnet",
                "from_scratch": True,
                "kwargs": {"num_channels": 1, "embedding_size": 8, "hidden_sizes": [8], "depths": [1]},
            },
            "data": {"max_examples": 100, "population_fraction": 0.2, "near_repeats": False},
            "training": {"use_cpu": True},
            "critical_weight_rewind": {"fraction": 0.05},
        }
    )


def test_the_trainer_gets_the_callback_with_the_population_as_non_members(recipe):
    experiment = prepare(recipe, with_repeats=False)
    (callback,) = [
        c for c in experiment.trainer().callback_handler.callbacks if isinstance(c, CriticalWeightRewindCallback)
    ]
    assert callback.settings.fraction == 0.05
    population = experiment.dataset.subset(experiment.split.population)
    assert callback.reference_dataset.column("labels").tolist() == population.column("labels").tolist()


def test_reference_models_start_with_the_same_callback(recipe):
    (callback,) = prepare(recipe, with_repeats=False).trainer().initial_callbacks
    assert (callback.settings.fraction, len(callback.reference_dataset)) == (0.05, 20)


def test_without_a_population_it_is_refused(recipe):
    with pytest.raises(InputError, match="population_fraction is 0: critical_weight_rewind"):
        prepare(recipe.override({"data.population_fraction": 0.0}), with_repeats=False).trainer()


def test_a_score_that_looks_at_no_other_data_needs_no_population(recipe):
    changed = recipe.override({"data.population_fraction": 0.0, "critical_weight_rewind.score": "random"})
    (callback,) = prepare(changed, with_repeats=False).trainer().initial_callbacks
    assert callback.reference_dataset is None


def test_references_of_other_settings_are_other_references(recipe):
    def hash_of(experiment: Experiment) -> str:
        labels = experiment.dataset.column("labels")[experiment.split.pool].numpy()
        plan = plan_references(labels, n_models=2)
        return recipe_hash(experiment.trainer(), plan, dataset_fingerprint="f", pool_hash="p")

    changes = [{}, {"critical_weight_rewind.fraction": 0.1}, {"critical_weight_rewind": None}, {"training.seed": 3}]
    hashes = [hash_of(prepare(recipe.override(change), with_repeats=False)) for change in changes]
    assert hashes[3] == hashes[0]  # a target's seed is no part of what its references are
    assert len(set(hashes[:3])) == 3


def test_an_unknown_argument_is_refused(recipe):
    wrong = recipe.override({"critical_weight_rewind": {"fracton": 0.1}})
    with pytest.raises(InputError, match=r"unknown key 'fracton' in section 'critical_weight_rewind'.*'fraction'"):
        prepare(wrong, with_repeats=False).trainer()


def test_members_of_another_seed_come_from_the_same_pool(recipe):
    splits = [prepare(recipe.override({"data.member_seed": seed}), with_repeats=False).split for seed in (None, 0, 1)]
    assert len({split.hash for split in splits}) == 3
    assert len({(tuple(split.pool), tuple(split.population)) for split in splits}) == 1
