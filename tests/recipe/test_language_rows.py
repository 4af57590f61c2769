"""From a recipe to the rows of a causal language model: which are used, who is a member, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset
from tiny_tokenizers import byte_level, saved_language_model

from hf_privacy.data import dataset_fingerprint
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, prepare

CONTEXT = 24


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"max_position_embeddings": CONTEXT, "bos_token_id": 0, "eos_token_id": 0}
    return saved_language_model(tmp_path_factory.mktemp("base"), byte_level(pad="<pad>"), "llama", **sizes)


@pytest.fixture
def make(base, tmp_path):
    def recipe(columns: dict, **data) -> Recipe:
        path = tmp_path / "rows.parquet"
        Dataset.from_dict(columns).to_parquet(str(path))
        return Recipe.from_dict(
            {
                "task": "causal-lm",
                "output_dir": str(tmp_path / "run"),
                "model": {"name_or_path": str(base)},
                "data": {"name_or_path": str(path), **data},
                "training": {"use_cpu": True},
                "audit": {"depth": "quick"},
            }
        )

    return recipe


QUESTIONS = [f"who is {n}?" for n in range(12)]
ANSWERS = [f"it is {n}." for n in range(12)]
AUTHORS = [f"author {n // 3}" for n in range(12)]


def test_named_columns_are_read_and_the_others_stay_beside_them(make):
    columns = {"question": QUESTIONS, "answer": ANSWERS, "author": AUTHORS, "label": ["x"] * 12}
    names = {"prompt_column": "question", "completion_column": "answer", "group_column": "author"}
    experiment = prepare(make(columns, **names))
    assert experiment.dataset.texts == ANSWERS
    assert experiment.classes == []
    assert experiment.repeats.columns == ("question", "answer")
    assert experiment.rows["author"][:] == AUTHORS
    split = experiment.split
    sides = [{AUTHORS[row] for row in part} for part in (split.members, split.non_members)]
    assert not sides[0] & sides[1]
    assert split.dataset_fingerprint == dataset_fingerprint(
        Dataset.from_dict({k: columns[k] for k in ("question", "answer")})
    )


@pytest.mark.parametrize("columns", [{"text": ANSWERS}, {"prompt": QUESTIONS, "completion": ANSWERS}], ids=str)
def test_columns_are_found_and_the_saved_recipe_stays_as_it_was_given(make, columns):
    recipe = make(columns, population_fraction=0.25, member_seed=3)
    experiment = prepare(recipe)
    assert experiment.dataset.texts == ANSWERS
    assert experiment.recipe == recipe
    assert len(experiment.split.population) == 3


def test_repeats_are_dropped_and_rows_are_chosen_before_the_split(make):
    repeated = [*ANSWERS, "It is 3!", *ANSWERS[:2]]
    experiment = prepare(make({"text": repeated}, repeats="drop", max_examples=8))
    assert len(experiment.dataset) == 8
    assert set(experiment.dataset.texts) <= set(ANSWERS)


def test_a_column_says_who_is_a_member(make):
    seen = [n in (1, 5, 6) for n in range(12)]
    experiment = prepare(make({"text": ANSWERS, "seen": seen}, member_column="seen"))
    assert experiment.split.members.tolist() == [1, 5, 6]
    assert np.array_equal(experiment.split.non_members, np.setdiff1d(np.arange(12), [1, 5, 6]))
    whole = prepare(make({"text": ANSWERS, "seen": [int(value) for value in seen]}, member_column="seen"))
    assert whole.split.hash == experiment.split.hash


def test_rows_are_cut_where_the_model_ends_and_counted(make):
    experiment = prepare(make({"text": [*ANSWERS, "xyz" * 30]}))
    assert experiment.dataset.truncated == 1
    assert experiment.dataset.column("input_ids").shape[1] == CONTEXT
    assert prepare(make({"text": ANSWERS}, max_length=4)).dataset.column("input_ids").shape[1] == 4


TALK = [{"role": "user", "content": "who"}, {"role": "assistant", "content": "me"}]


@pytest.mark.parametrize(
    ("columns", "data", "message"),
    [
        ({"body": ANSWERS}, {}, "none of text"),
        ({"text": ANSWERS, "messages": [TALK] * 12}, {}, "more than one of text, messages"),
        ({"question": QUESTIONS, "answer": ANSWERS}, {"prompt_column": "q", "completion_column": "answer"}, "'q'"),
        ({"prompt": QUESTIONS, "completion": [*ANSWERS[:11], ""]}, {}, "1 rows with an empty completion"),
        (
            {"prompt": ["x y z " * 20, *QUESTIONS[1:]], "completion": ANSWERS},
            {},
            "1 of 12 rows have no scored token, 1",
        ),
        ({"messages": [TALK] * 12}, {}, "no chat template"),
        ({"text": ANSWERS, "seq_lengths": [[1]] * 12}, {}, "packed rows have"),
        ({"text": [1] * 12}, {}, "holds int64 values"),
        ({"text": ANSWERS, "seen": [True] * 12}, {"member_column": "seen"}, "no non-members"),
        ({"text": ANSWERS, "seen": [True, None] * 6}, {"member_column": "seen"}, "true and false"),
        ({"text": ANSWERS, "seen": [True, False] * 6}, {"member_column": "sen"}, "did you mean 'seen'"),
        (
            {"text": ANSWERS, "seen": [True, False] * 6, "author": AUTHORS},
            {"member_column": "seen", "group_column": "author"},
            "have rows in members and in",
        ),
    ],
)
def test_what_is_of_no_use_is_refused_before_training(make, columns, data, message):
    with pytest.raises(InputError, match=message) as refused:
        prepare(make(columns, **data))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("lora", [None, {"r": 2}], ids=["full", "lora"])
def test_a_trainer_makes_its_model_anew_from_the_recipe(make, lora):
    experiment = prepare(make({"text": ANSWERS}).override({"model.lora": lora}))
    trained = [name for name, weight in experiment.trainer().model.named_parameters() if weight.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained) == (lora is not None)
