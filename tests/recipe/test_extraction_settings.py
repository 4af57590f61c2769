"""The settings of extraction: on for language models, refused for models with classes, read strictly."""

from __future__ import annotations

import pytest

from hf_privacy.errors import InputError
from hf_privacy.recipe import AuditSettings, ExtractionSettings, Recipe


def recipe(extraction, task="image-classification"):
    return Recipe.from_dict({"task": task, "audit": {"extraction": extraction}})


@pytest.mark.parametrize("given", [None, True])
def test_nothing_said_is_the_defaults(given):
    assert ExtractionSettings.of(given) == ExtractionSettings()


def test_a_recipe_and_the_command_line_say_it():
    made = Recipe.from_dict({}).override({"audit.extraction": "false"})
    assert made.audit.extraction is False
    assert "extraction" not in made.audit.sections
    assert "extraction" in AuditSettings().sections
    with pytest.raises(InputError, match="the task is image-classification: only causal language models"):
        Recipe.from_dict({}).override({"audit.extraction.suffix_tokens": "30"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sufix_tokens": 3}, "did you mean 'suffix_tokens'"),
        ({"suffix_tokens": 0}, "extraction.suffix_tokens is 0"),
        ({"prefix_tokens": True}, "extraction.prefix_tokens is True"),
        ({"temperature": 0}, "extraction.temperature is 0"),
        ({"top_k": 0}, "extraction.top_k is 0"),
        ({"top_p": 1.5}, "extraction.top_p is 1.5"),
        ({"generated": -1}, "extraction.generated is -1"),
        ({"suffix_tokens": None}, "extraction.suffix_tokens is None"),
        ("all", "extraction is 'all'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(given, message):
    with pytest.raises(InputError, match=message):
        AuditSettings(extraction=given).check()


def test_a_task_with_classes_refuses_it():
    for given in (None, False):
        recipe(given)
    with pytest.raises(InputError, match="leave it out"):
        recipe(True)
    with pytest.raises(InputError, match="leave it out"):
        recipe({"top_k": 5})
