"""Robustness and curvature in a recipe's audit section: read, overridden, refused before anything is trained."""

from __future__ import annotations

import pytest

from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, RobustnessSettings


def recipe(task: str = "image-classification", **audit) -> Recipe:
    return Recipe.from_dict({"task": task, "audit": audit})


def test_the_command_line_sets_single_keys_and_reads_numbers_as_such():
    overridden = recipe().override({"audit.robustness.epsilon": "3e-2", "audit.robustness.norm": "l2"})
    assert overridden.audit.robustness == {"epsilon": 0.03, "norm": "l2"}
    assert RobustnessSettings.from_dict(overridden.audit.robustness).n_steps == 20


def test_robustness_and_curvature_are_off_by_default():
    assert (recipe().audit.robustness, recipe().audit.curvature) == (None, 0)


@pytest.mark.parametrize("robustness", [{"epsilon": 8}, {"epsilon": 0.03, "step_size": 2}])
def test_units_of_0_to_255_are_refused_before_the_target_is_trained(robustness):
    with pytest.raises(InputError, match="0–255 units"):
        recipe(robustness=robustness)


def test_an_l2_ball_of_pixels_and_one_of_features_may_be_larger_than_1():
    recipe(robustness={"epsilon": 2.0, "norm": "l2"})
    recipe("tabular-classification", robustness={"epsilon": 8.0})


@pytest.mark.parametrize("task", ["text-classification", "tabular-classification"])
def test_autoattack_on_anything_but_images_is_refused_before_the_target_is_trained(task):
    with pytest.raises(InputError, match="AutoAttack is for images"):
        recipe(task, robustness={"epsilon": 0.1, "autoattack": True})


def test_an_unknown_key_is_refused():
    with pytest.raises(InputError, match="unknown key 'steps' in robustness"):
        recipe(robustness={"epsilon": 0.1, "steps": 10})
