"""A recipe's unlearning section of a language model: every method, groups, and the base that an adapter stands on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_tokenizers import byte_level, saved_language_model
from transformers import AutoModelForCausalLM

from hf_privacy.data import ForgetRequest
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, prepare, requested_rows, start_model, unlearner, unlearning_rows
from hf_privacy.recipe.forget_rows import unit_of
from hf_privacy.tasks import LANGUAGE_MODELS
from hf_privacy.unlearning import UNLEARNERS, unlearner_class

OF_LANGUAGE = [name for name in sorted(UNLEARNERS) if set(LANGUAGE_MODELS) & set(unlearner_class(name).tasks)]
SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SIZES |= {"max_position_embeddings": 48, "bos_token_id": 0, "eos_token_id": 0}
N_EACH = 4


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved_language_model(tmp_path_factory.mktemp("base"), byte_level(pad="<pad>"), "llama", **SIZES)


@pytest.fixture
def make(base, tmp_path):
    """``make(method="npo")``: a checked recipe of 12 authors of four rows each."""

    def recipe(*, data=(), **section) -> Recipe:
        path = tmp_path / "rows.parquet"
        rows = {
            "question": [f"who is {n}?" for n in range(48)],
            "answer": [f"it is {n}." for n in range(48)],
            "author": [n // N_EACH for n in range(48)],
        }
        Dataset.from_dict(rows).to_parquet(str(path))
        columns = {"prompt_column": "question", "completion_column": "answer", "group_column": "author"}
        return Recipe.from_dict(
            {
                "task": "causal-lm",
                "output_dir": str(tmp_path / "run"),
                "model": {"name_or_path": str(base), "lora": {"r": 2, "target_modules": "all-linear"}},
                "data": {"name_or_path": str(path), "near_repeats": False, **columns, **dict(data)},
                "training": {"use_cpu": True, "num_train_epochs": 1},
                "unlearning": {"method": "gradient_ascent", **section},
            }
        )

    return recipe


def member_author(experiment) -> int:
    return int(experiment.split.members[0]) // N_EACH


@pytest.mark.parametrize("method", OF_LANGUAGE)
def test_a_recipe_unlearns_an_author_with_the_method_it_names(method, make, tmp_path):
    experiment = prepare(make(method=method))
    author = member_author(experiment)
    rows = unlearning_rows(experiment, requested_rows(experiment, ForgetRequest(group=author)))
    assert rows.split.forget.tolist() == [row for row in range(48) if row // N_EACH == author]
    assert (rows.unit, rows.n_units) == ("author", 1)
    trainer = unlearner(experiment, rows, experiment.model_init(), output_dir=tmp_path / "unlearned")
    assert type(trainer) is unlearner_class(method)
    assert not trainer.args.check_evidence  # the split has said it
    assert all("lora_" in name for name in trainer.trainable())


def test_several_authors_are_one_request_and_a_part_of_one_is_rows(make):
    experiment = prepare(make())
    members, split = experiment.split.members, experiment.split
    authors = sorted({int(row) // N_EACH for row in members})[:2]
    rows = requested_rows(experiment, ForgetRequest(group=authors))
    assert sorted({int(row) // N_EACH for row in rows}) == authors
    assert unlearning_rows(experiment, rows).n_units == 2
    assert unit_of(split, rows) == "author"
    assert unit_of(split, rows[:-1]) == "row"


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"group": 99}, "1 of the 1 groups asked for are no value of the column 'author'"),
        ({"group": "0"}, "no value of the column 'author': pass values that it holds, of its type"),
        ({"group": []}, "group is empty"),
        ({"group": 1.5}, "group is 1.5: pass a text or a whole number"),
        ({"group": 1, "rows": [0]}, "names rows and group: pass exactly one"),
        ({"label": 1}, "the rows of a causal-lm model have no classes; name rows, ids, a group"),
    ],
)
def test_a_request_that_names_nothing_is_refused_with_the_recipe(request_, sentence, make):
    with pytest.raises(InputError, match=sentence):
        prepare(make(request=request_))


def test_a_group_needs_a_column_that_says_whose_row_it_is(make):
    with pytest.raises(InputError, match=r"data\.group_column is not set, so no column says whose row it is"):
        prepare(make(data={"group_column": None}, request={"group": 1}))


def test_a_group_that_was_trained_on_in_part_is_no_group_to_forget():
    rows = Dataset.from_dict({"author": ["a", "a", "b", "b"]})
    request = ForgetRequest(group=["a", "b"])
    with pytest.raises(
        InputError, match="1 of the 4 rows of the groups asked for are not in the training set"
    ) as said:
        request.select(rows, np.array([0, 1, 2]), group_column="author")
    assert "'a'" not in str(said.value)
    with pytest.raises(InputError, match="2 of the 2 examples in group are not in the training set"):
        ForgetRequest(group="b").select(rows, np.array([0, 1]), group_column="author")


def test_an_adapter_on_another_base_is_refused(make, base, tmp_path):
    experiment = prepare(make())
    folder = tmp_path / "adapter"
    experiment.model_init().save_pretrained(folder)
    assert start_model(experiment, folder).training
    other = saved_language_model(tmp_path / "other", byte_level(pad="<pad>"), "llama", **SIZES)
    model = AutoModelForCausalLM.from_pretrained(other)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(1.5)
    model.save_pretrained(other)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(other)}))
    said = start_model_refused(experiment, folder)
    assert "the adapter in adapter stands on another base than the recipe's model.name_or_path: 1 of its" in said
    larger = saved_language_model(
        tmp_path / "larger", byte_level(pad="<pad>"), "llama", **{**SIZES, "hidden_size": 32, "intermediate_size": 32}
    )
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(larger)}))
    assert "its sizes are others" in start_model_refused(experiment, folder)


def start_model_refused(experiment, folder) -> str:
    with pytest.raises(InputError) as refused:
        start_model(experiment, folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)
