"""Rows of tokens from the store are those of the tokenizer, padded and trimmed as tensors in memory are."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_tokenizers import byte_level

from hf_privacy.data import TensorDataset, encode_features, encode_language, encode_text
from hf_privacy.data.stored_columns import MappedRows, TokenRows

TEXTS = ["a few words", "", "more words than in the first of them", "é", "two words", "a"]
MESSAGES = ["a text that is long enough to be cut", "short", "one more", "and another, long enough"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_PRIVACY_CACHE", str(tmp_path / "cache"))


def both_ways(monkeypatch, encode) -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """In memory, stored, and found again."""
    in_memory = encode()
    for module in ("processing", "language"):
        monkeypatch.setattr(f"hf_privacy.data.{module}.FEWEST_TEXTS", 1)
    return in_memory, encode(), encode()


def check_equal(one: TensorDataset, other: TensorDataset) -> None:
    assert one.column_names == other.column_names
    for name in one.column_names:
        assert torch.equal(one.column(name), other.column(name))
    for rows in ([0], [3, 1, 0], []):
        expected, found = one.__getitems__(rows), other.__getitems__(rows)
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert all(torch.equal(one[1][name], other[1][name]) for name in one.column_names)
    assert one.digest() == other.digest() == pickle.loads(pickle.dumps(other)).digest()
    assert (one.texts, one.truncated) == (other.texts, other.truncated)


@pytest.mark.parametrize("side", ["right", "left"])
def test_texts_and_pairs(monkeypatch, side):
    rows = Dataset.from_dict({"text": TEXTS, "other": TEXTS[::-1], "label": [0, 1, 0, 1, 0, 1]})
    for columns, at_most in (("text", None), (("text", "other"), 12)):

        def encode(columns=columns, at_most=at_most):
            return encode_text(rows, byte_level(), text_column=columns, max_length=at_most, padding_side=side)

        with monkeypatch.context() as patch:
            in_memory, stored, again = both_ways(patch, encode)
        assert isinstance(stored._tensors["input_ids"], TokenRows)
        check_equal(in_memory, stored)
        check_equal(in_memory, again)


def test_the_texts_of_a_language_model_and_their_paraphrases(monkeypatch, tmp_path):
    rows = Dataset.from_dict({"text": MESSAGES, "again": ["a paraphrase", None, "", "one more of them"]})

    def encode():
        return encode_language(rows, byte_level(), columns="text", max_length=9, paraphrase_column="again")

    in_memory, stored, again = both_ways(monkeypatch, encode)
    assert isinstance(stored._tensors["labels"], TokenRows)
    assert stored.truncated
    check_equal(in_memory, stored)
    check_equal(in_memory, again)
    assert np.array_equal(in_memory.has_paraphrase, again.has_paraphrase)
    assert len(list((tmp_path / "cache").glob("tokens-*"))) == 1


def test_another_length_tokenizer_or_text_is_another_entry(monkeypatch, tmp_path):
    monkeypatch.setattr("hf_privacy.data.language.FEWEST_TEXTS", 1)
    rows = Dataset.from_dict({"text": MESSAGES})
    tokenizer = byte_level()
    other = byte_level()
    other.add_tokens(["long"])
    tokenizer("x", truncation=True, max_length=2)  # what a caller sets is not what the tokenizer is
    for tokens, at_most, some in (
        (byte_level(), 9, rows),
        (tokenizer, 9, rows),
        (byte_level(), 10, rows),
        (other, 9, rows),
        (byte_level(), 9, rows.select([1, 0, 2, 3])),
    ):
        encode_language(some, tokens, max_length=at_most)
    assert len(list((tmp_path / "cache").glob("tokens-*"))) == 4


def test_a_large_table_is_stored(monkeypatch, tmp_path):
    rows = Dataset.from_dict({"x": [[0.1, 2.0], [3.0, 1e-9], [5.0, 6.0]], "u": [1, 2, 3], "label": [0, 1, 1]})
    in_memory = [encode_features(rows, feature_column=column) for column in ("x", ["u", "label"], ["label", "u"])]
    monkeypatch.setattr("hf_privacy.data.processing._MOST_IN_MEMORY", 1)
    for _ in range(2):
        stored = [encode_features(rows, feature_column=column) for column in ("x", ["u", "label"], ["label", "u"])]
        assert all(isinstance(dataset._tensors["features"], MappedRows) for dataset in stored)
        assert [one.digest() for one in stored] == [one.digest() for one in in_memory]
    assert len(list((tmp_path / "cache").glob("features-*"))) == 3


def test_a_tokenizer_that_is_set_to_cut_elsewhere_is_another(monkeypatch):
    rows, tokenizer = Dataset.from_dict({"text": TEXTS, "label": [0, 1, 0, 1, 0, 1]}), byte_level()
    monkeypatch.setattr("hf_privacy.data.processing.FEWEST_TEXTS", 1)
    found = []
    for side in ("right", "left"):
        tokenizer.truncation_side = side
        found.append(encode_text(rows, tokenizer, max_length=4).column("input_ids"))
    monkeypatch.setattr("hf_privacy.data.processing.FEWEST_TEXTS", 1000)
    assert torch.equal(found[1], encode_text(rows, tokenizer, max_length=4).column("input_ids"))
    assert not torch.equal(*found)


def test_a_tokenizer_that_is_set_to_split_its_special_tokens_is_another(monkeypatch):
    tokenizer = byte_level()
    rows = Dataset.from_dict({"text": [f"a{tokenizer.eos_token}b", "c"], "label": [0, 1]})
    monkeypatch.setattr("hf_privacy.data.processing.FEWEST_TEXTS", 1)
    widths = []
    for tokenizer.split_special_tokens in (False, True):
        widths.append(encode_text(rows, tokenizer).row_shape("input_ids")[0])
    assert widths[1] > widths[0]
