"""Rows written anew: lower case in place, and behind a few other rows; scored tokens and special ones stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_tokenizers import byte_level, llama_like

from hf_privacy.data import TensorDataset, behind, encode_language, lowered, shot_prefix

TOKENIZERS = {"gpt2": byte_level(), "gpt2 with bos": byte_level(bos=True), "llama": llama_like()}
PAIRS = [("Who is it?", "It Is ME."), ("A?", "b"), ("THE", " Cat"), ("a", "tHe CAT sat"), ("the c", "at sat")]


@pytest.fixture(params=list(TOKENIZERS))
def tokenizer(request):
    return TOKENIZERS[request.param]


def rows_of(encoded):
    columns = [encoded.column(name).tolist() for name in ("input_ids", "labels", "attention_mask")]
    return [(ids[: sum(mask)], labels[: sum(mask)]) for ids, labels, mask in zip(*columns, strict=True)]


def pairs(rows=PAIRS):
    return Dataset.from_dict({"prompt": [p for p, _ in rows], "completion": [c for _, c in rows]})


def test_a_lowered_completion_is_what_encoding_the_lowered_completion_gives(tokenizer):
    found = lowered(encode_language(pairs(), tokenizer), tokenizer, max_length=None)
    expected = encode_language(pairs([(p, c.lower()) for p, c in PAIRS]), tokenizer)
    assert rows_of(found) == rows_of(expected)
    assert found.texts is None


def test_the_first_token_of_a_text_is_not_scored_and_the_end_of_text_is():
    tokenizer = byte_level()
    encoded = encode_language(Dataset.from_dict({"text": ["The CAT", "the cat"]}), tokenizer)
    (upper, upper_labels), (lower, lower_labels) = rows_of(lowered(encoded, tokenizer, max_length=None))
    assert upper_labels[0] == lower_labels[0] == -100
    assert upper_labels[-1] == lower_labels[-1] == tokenizer.eos_token_id
    assert (lower, lower_labels) == rows_of(encoded)[1]
    # The first token, which is not scored, keeps its case.
    assert tokenizer.decode(upper[:-1]) == "T" + "he cat"


def test_several_stretches_of_a_row_are_lowered_each_in_its_place(tokenizer):
    a, b, eos = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("THE CAT", "Me", ""))
    eos = [tokenizer.eos_token_id]
    ids = [*b, *a, *eos, *b, *a, *eos]
    scored = [*[False] * len(b), *[True] * (len(a) + 1), *[False] * len(b), *[True] * (len(a) + 1)]
    labels = [token if kept else -100 for token, kept in zip(ids, scored, strict=True)]
    row = {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}
    dataset = TensorDataset(
        {name: torch.tensor([values]) for name, values in row.items()},
        padding_side="right", sequence_columns=list(row),
    )  # fmt: skip
    ((found, found_labels),) = rows_of(lowered(dataset, tokenizer, max_length=None))
    small = tokenizer("the cat", add_special_tokens=False)["input_ids"]
    assert found == [*b, *small, *eos, *b, *small, *eos]
    assert found_labels == [*[-100] * len(b), *small, *eos, *[-100] * len(b), *small, *eos]


def test_what_has_no_capitals_stays_token_by_token(tokenizer):
    rows = [("A", "the cat sat"), ("b", "123 ☃ ß"), ("c", "  two  spaces ")]
    encoded = encode_language(pairs(rows), tokenizer)
    assert rows_of(lowered(encoded, tokenizer, max_length=None)) == rows_of(encoded)


def test_a_row_that_grows_is_cut_and_keeps_a_scored_token():
    tokenizer = byte_level()
    encoded = encode_language(pairs([("who", "İİİİİİ"), ("a", "B")]), tokenizer)  # i and a dot above, two letters
    longest = encoded.column("input_ids").shape[1]
    whole, cut = (lowered(encoded, tokenizer, max_length=length) for length in (None, longest))
    assert whole.column("input_ids").shape[1] > longest == cut.column("input_ids").shape[1]
    for row, other in zip(rows_of(cut), rows_of(whole), strict=True):
        assert row[0] == other[0][:longest]
        assert any(label != -100 for label in row[1])


def test_shots_stand_before_every_row_and_what_is_scored_stays(tokenizer):
    encoded = encode_language(pairs(), tokenizer)
    dataset, shots = encoded.subset([0, 1, 2]), encoded.subset([3, 4])
    prefix = shot_prefix(dataset, shots, n_shots=10, bos=tokenizer.bos_token_id, max_length=None)
    assert prefix.n_shots == 2
    opens = [tokenizer.bos_token_id] * prefix.n_opening
    bodies = [ids[prefix.n_opening :] for ids, _ in rows_of(shots)]
    assert prefix.tokens == [*opens, *bodies[0], *bodies[1]]
    for (ids, labels), (own, own_labels) in zip(rows_of(behind(dataset, prefix)), rows_of(dataset), strict=True):
        assert ids == [*prefix.tokens, *own[prefix.n_opening :]]
        assert [label for label in labels if label != -100] == [label for label in own_labels if label != -100]
        assert labels[: len(prefix.tokens)] == [-100] * len(prefix.tokens)


def test_the_opening_token_stands_once_whoever_adds_it():
    tokenizer = llama_like()
    encoded = encode_language(pairs(), tokenizer)
    prefix = shot_prefix(encoded, encoded, n_shots=2, bos=tokenizer.bos_token_id, max_length=None)
    assert prefix.n_opening == 1
    for ids, _ in rows_of(behind(encoded, prefix)):
        assert ids.count(tokenizer.bos_token_id) == 1
        assert ids[0] == tokenizer.bos_token_id


def test_a_token_that_opens_turns_too_stays_where_it_is():
    ids = torch.tensor([[1, 5, 1, 6, 2], [1, 7, 1, 8, 2]])
    dataset = TensorDataset(
        {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids},
        padding_side="right", sequence_columns=["input_ids", "attention_mask", "labels"],
    )  # fmt: skip
    prefix = shot_prefix(dataset.subset([0]), dataset.subset([1]), n_shots=1, bos=1, max_length=None)
    assert (prefix.tokens, prefix.n_opening) == ([1, 7, 1, 8, 2], 0)


def test_as_many_whole_shots_as_fit_before_the_longest_row():
    tokenizer = byte_level()
    encoded = encode_language(pairs([("a", "b" * n) for n in (5, 40, 5, 5, 5)]), tokenizer)
    dataset, shots = encoded.subset([0]), encoded.subset([1, 2, 3, 4])
    lengths = [len(ids) for ids, _ in rows_of(encoded)]
    room = lengths[0] + 2 * lengths[2]
    prefix = shot_prefix(dataset, shots, n_shots=10, bos=None, max_length=room)
    assert prefix.n_shots == 2  # the second and third: the first is too long
    assert len(prefix.tokens) + lengths[0] == room
    assert shot_prefix(dataset, shots, n_shots=1, bos=None, max_length=None).tokens == rows_of(shots)[0][0]
    none = shot_prefix(dataset, shots, n_shots=10, bos=None, max_length=lengths[0])
    assert (none.tokens, none.n_shots) == ([], 0)


def test_a_first_token_that_was_marked_scored_is_not_scored_behind_a_prefix():
    ids = torch.tensor([[5, 6], [7, 8]])
    dataset = TensorDataset(
        {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids},
        padding_side="right", sequence_columns=["input_ids", "attention_mask", "labels"],
    )  # fmt: skip
    prefix = shot_prefix(dataset.subset([0]), dataset.subset([1]), n_shots=1, bos=None, max_length=None)
    np.testing.assert_array_equal(behind(dataset.subset([0]), prefix).column("labels"), [[-100, -100, -100, 6]])
