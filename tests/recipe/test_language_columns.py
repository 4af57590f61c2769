"""What a recipe says of the rows of a causal language model, and what it may not say."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset

from hf_privacy.data import find_repeats
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe

TALK = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me!"}]


def recipe(**data) -> Recipe:
    return Recipe.from_dict({"task": "causal-lm", "data": data})


def test_defaults_are_those_of_rows_without_classes_and_survive_a_round_trip(tmp_path):
    data = recipe().data
    assert (data.input_columns, data.stratify, data.max_length) == ([], False, 1024)
    named = recipe(prompt_column="question", completion_column="answer", max_length=64)
    assert named.data.input_columns == ["question", "answer"]
    named.save(tmp_path / "r.yaml")
    assert Recipe.load(tmp_path / "r.yaml") == named == named.override({})
    assert recipe(input_column="body").data.input_columns == ["body"]
    assert recipe(messages_column="chat").data.input_columns == ["chat"]
    assert Recipe.from_dict({}).data.max_length == 128


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"prompt_column": "q"}, "data names prompt_column: name"),
        ({"completion_column": "a"}, "data names completion_column: name"),
        ({"input_column": "text", "messages_column": "chat"}, "data names input_column and messages_column"),
        (
            {"prompt_column": "q", "completion_column": "a", "messages_column": "m"},
            "prompt_column and completion_column and messages_column",
        ),
        ({"input_column": ["q", "a"]}, "pass one column"),
        ({"label_column": "y"}, "data.label_column is set .* no classes"),
        ({"label_names": ["a", "b"]}, "data.label_names is set"),
        ({"stratify": True}, "data.stratify is set"),
        ({"label_noise": 0.1}, "data.label_noise is set"),
        ({"member_column": "m", "split_file": "s"}, "data.member_column and data.split_file"),
    ],
)
def test_what_does_not_go_together_or_needs_classes_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        recipe(**data)


def test_a_classifier_s_recipe_takes_none_of_these_columns():
    with pytest.raises(InputError, match=r"data.prompt_column is set and the task is text-classification"):
        Recipe.from_dict({"task": "text-classification", "data": {"input_column": "text", "prompt_column": "p"}})


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"text": ["a"], "id": [1]}, ["text"]),
        ({"prompt": ["a"], "completion": ["b"]}, ["prompt", "completion"]),
        ({"messages": [TALK]}, ["messages"]),
    ],
)
def test_columns_are_found_in_the_rows_where_none_is_named(columns, found):
    assert recipe().data.found_in(Dataset.from_dict(columns)).input_columns == found


def test_repeats_are_found_over_prompt_and_completion_and_in_messages():
    rows = Dataset.from_dict({"q": ["Who?", "Who?", "who", "Who?"], "a": ["Me", "You", "me!", "Me"]})
    report = find_repeats(rows, column=["q", "a"])
    assert (report.exact_repeats, report.near_repeats) == (1, 1)
    other = [{"role": "user", "content": "who"}, {"role": "assistant", "content": "me"}]
    chats = Dataset.from_dict({"messages": [TALK, TALK, other, TALK[:1]]})
    report = find_repeats(chats, column="messages")
    assert (report.exact_repeats, report.near_repeats) == (1, 1)
    assert report.keep().tolist() == [0, 3]
    assert np.array_equal(find_repeats(chats, column="messages", near=False).keep(), [0, 2, 3])
