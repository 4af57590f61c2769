"""An audit given rows encodes them as the recipe of a language model would."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from small_training import QUIET
from tiny_tokenizers import byte_level, saved_language_model

from hf_privacy.auditing.inputs import input_columns_of, to_tensors
from hf_privacy.data import encode_language
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models import load_saved_model
from hf_privacy.tasks import task_named


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 12, "bos_token_id": 0, "eos_token_id": 0}
    return saved_language_model(tmp_path_factory.mktemp("model"), byte_level(), "gpt2", **sizes)


ROWS = {"prompt": ["a", "who is it?"], "completion": ["the cat sat on the mat", "b"], "label": [0, 1]}


@pytest.mark.parametrize("columns", [None, ("prompt", "completion")])
def test_columns_are_found_and_rows_are_cut_where_the_model_ends(folder, columns):
    model = load_saved_model(folder)
    found = to_tensors(Dataset.from_dict(ROWS), folder, model, input_column=columns, label_column="label", classes=[])
    expected = encode_language(Dataset.from_dict(ROWS), byte_level(), columns=("prompt", "completion"), max_length=12)
    assert found.texts == expected.texts
    assert found.truncated == expected.truncated
    assert all(torch.equal(found.column(name), expected.column(name)) for name in expected.column_names)


def test_columns_that_are_not_there_are_refused(folder):
    with pytest.raises(InputError, match="none of text"):
        input_columns_of(Dataset.from_dict({"body": ["a"]}), task_named("causal-lm"), None, "label")


@pytest.mark.parametrize("limit", [6, 40])
def test_what_was_cut_off_in_training_is_not_scored(folder, tmp_path, limit):
    """The model would take twelve tokens; what it was trained on ends sooner, or nowhere."""
    model, rows = load_saved_model(folder), Dataset.from_dict(ROWS)
    trained = encode_language(rows, byte_level(), columns=("prompt", "completion"), max_length=limit)
    if limit > 12:
        trained = encode_language(rows, byte_level(), columns=("prompt", "completion"), max_length=12)
    args = PrivacyConfig(str(tmp_path), **QUIET)
    trainer = PrivacyTrainer(model, args, train_dataset=trained, processing_class=byte_level())
    found = to_tensors(rows, trainer, model, input_column=None, label_column="", classes=[], trainer=trainer)
    assert found.column("input_ids").shape == trained.column("input_ids").shape
    assert torch.equal(found.column("labels"), trained.column("labels"))
