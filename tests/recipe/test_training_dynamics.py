"""Training dynamics as a section of the recipe."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from hf_privacy.defenses import CurvatureCallback, TrainingDynamicsCallback, read_training_dynamics
from hf_privacy.errors import InputError
from hf_privacy.recipe import RunFolder, prepare
from hf_privacy.references import plan_references, recipe_hash


def watching(trainer) -> list:
    kinds = (TrainingDynamicsCallback, CurvatureCallback)
    return [callback for callback in trainer.callback_handler.callbacks if isinstance(callback, kinds)]


def test_without_the_section_nothing_watches(make_recipe):
    assert watching(prepare(make_recipe(), with_repeats=False).trainer()) == []


def test_an_empty_section_keeps_every_epoch_and_no_curvature(make_recipe):
    (callback,) = watching(prepare(make_recipe(training_dynamics={}), with_repeats=False).trainer())
    assert isinstance(callback, TrainingDynamicsCallback)
    assert callback.every_n_epochs == 1


def test_the_sections_settings_reach_both_callbacks(make_recipe):
    recipe = make_recipe(training_dynamics={"every_n_epochs": 3, "curvature": 5})
    dynamics, curvature = watching(prepare(recipe, with_repeats=False).trainer())
    assert (dynamics.every_n_epochs, curvature.every_n_epochs, curvature.curvature.n_vectors) == (3, 3, 5)


def test_the_members_are_watched_in_their_order(make_recipe, tmp_path):
    experiment = prepare(make_recipe(training_dynamics={"curvature": 1}), with_repeats=False)
    experiment.trainer().train()
    found = read_training_dynamics(tmp_path / "run")
    assert found["loss"].shape == found["curvature_norm"].shape == (1, len(experiment.split.members))
    again = prepare(make_recipe(training_dynamics={}, output_dir=tmp_path / "again"), with_repeats=False)
    again.trainer().train()
    np.testing.assert_array_equal(read_training_dynamics(tmp_path / "again")["loss"], found["loss"])


def test_references_of_a_watched_recipe_are_those_of_an_unwatched_one(make_recipe):
    plan = plan_references(np.arange(40) % 3, n_models=2)
    hashes = {
        recipe_hash(prepare(recipe, with_repeats=False).trainer(), plan, dataset_fingerprint="f", pool_hash="p")
        for recipe in (make_recipe(), make_recipe(training_dynamics={"every_n_epochs": 2}))
    }
    assert len(hashes) == 1


def test_the_section_may_be_added_after_training(make_recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.start(make_recipe())
    folder.check(make_recipe(training_dynamics={"curvature": 1}))


def test_the_section_is_kept_in_the_resolved_recipe(make_recipe, tmp_path):
    make_recipe(training_dynamics={"curvature": 2}).save(tmp_path / "recipe.yaml")
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text())["training_dynamics"] == {"curvature": 2}


def test_it_can_be_switched_on_from_the_command_line(make_recipe):
    assert make_recipe().override({"training_dynamics.curvature": "10"}).training_dynamics == {"curvature": 10}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"every_n_epoch": 2}, "unknown key 'every_n_epoch' in section 'training_dynamics': .*'every_n_epochs'"),
        ({"every_n_epochs": 0}, r"training_dynamics\.every_n_epochs is 0: pass a whole number from 1 up"),
        ({"every_n_epochs": 1.5}, "section 'training_dynamics' key 'every_n_epochs' is 1.5: pass int"),
        ({"curvature": -1}, r"training_dynamics\.curvature is -1: pass a whole number from 0 up"),
        ({"curvature": True}, "section 'training_dynamics' key 'curvature' is True: pass int"),
        (3, "training_dynamics is 3: pass dict or nothing"),
    ],
    ids=str,
)
def test_what_the_section_cannot_be_is_said_when_the_recipe_is_read(make_recipe, section, said):
    with pytest.raises(InputError, match=said):
        make_recipe(training_dynamics=section)
