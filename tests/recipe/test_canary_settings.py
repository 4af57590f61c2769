"""The section of canaries, and the keys of version 0.1 that still lead to it."""

from __future__ import annotations

import pytest

from hf_privacy.errors import InputError
from hf_privacy.recipe import AuditSettings, CanarySettings, Recipe

WHOLE = CanarySettings(n=64, kind="random", guesses=[4, 8], delta=1e-3)


def canaries(recipe: Recipe) -> CanarySettings:
    return recipe.audit.canaries


@pytest.mark.parametrize(
    "audit",
    [
        {"canaries": {"n": 64, "kind": "random", "guesses": [4, 8], "delta": 1e-3}},
        {"canaries": 64, "canary_kind": "random", "canary_guesses": [4, 8], "delta": 1e-3},
        {"canaries": {"n": 64, "kind": "random"}, "canary_guesses": [4, 8], "delta": 1e-3},
    ],
)
def test_a_recipe_says_them_in_a_section_or_with_the_keys_of_version_0_1(audit, tmp_path):
    recipe = Recipe.from_dict({"audit": audit})
    assert canaries(recipe) == WHOLE
    recipe.save(tmp_path / "resolved.yaml")
    assert Recipe.load(tmp_path / "resolved.yaml") == recipe


@pytest.mark.parametrize("prefix", ["audit.canary_kind", "audit.canaries.kind"])
def test_the_command_line_changes_one_key_and_leaves_the_rest(prefix):
    recipe = Recipe.from_dict({"audit": {"canaries": 30, "delta": 1e-3}}).override({prefix: "random"})
    assert canaries(recipe) == CanarySettings(n=30, kind="random", delta=1e-3)
    assert canaries(recipe.override({"audit.canaries": "64"})) == CanarySettings(n=64, kind="random", delta=1e-3)
    assert canaries(recipe.override({"audit.canaries": {"n": 20}})) == CanarySettings(n=20)


def test_in_python_a_number_a_mapping_and_the_settings_are_the_same():
    assert AuditSettings(canaries=64).canaries == AuditSettings(canaries={"n": 64}).canaries == CanarySettings(n=64)
    assert AuditSettings(canaries=WHOLE).canaries is WHOLE


def test_an_unknown_key_is_refused():
    with pytest.raises(InputError, match="unknown key 'kinds' in section 'canaries': did you mean 'kind'"):
        Recipe.from_dict({"audit": {"canaries": {"kinds": "random"}}})
    with pytest.raises(InputError, match="unknown key 'kinds' in canaries: did you mean 'kind'"):
        AuditSettings(canaries={"kinds": "random"})


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        ("causal-lm", "random", "a causal language model takes 'random_tokens' or 'suffix' or 'new_last_token'"),
        ("image-classification", "suffix", "a model with classes takes 'mislabelled' or 'random'"),
    ],
)
def test_kinds_belong_to_tasks(task, kind, message):
    with pytest.raises(InputError, match=message):
        AuditSettings(canaries={"n": 20, "kind": kind}).check_task(task)
    AuditSettings(canaries=20).check_task(task)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"secret_tokens": 0}, "canaries.secret_tokens is 0"),
        ({"repetitions": 0}, "canaries.repetitions is 0"),
        ({"exposure_references": -1}, "canaries.exposure_references is -1"),
    ],
)
def test_settings_of_words_are_read_strictly(settings, message):
    with pytest.raises(InputError, match=message):
        AuditSettings(canaries={"n": 20, **settings}).check()
