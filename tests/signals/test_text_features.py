"""Texts as numbers for a classifier that never sees a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals import text_features


def rows(lists: list[list[int]], *, side: str = "right", length: int = 8, texts=None) -> TensorDataset:
    ids, mask = torch.zeros(len(lists), length, dtype=torch.int64), torch.zeros(len(lists), length, dtype=torch.int64)
    for row, tokens in enumerate(lists):
        place = slice(0, len(tokens)) if side == "right" else slice(length - len(tokens), length)
        ids[row, place], mask[row, place] = torch.tensor(tokens), 1
    labels = torch.where(mask > 0, ids, -100)
    labels[:, 0] = -100
    return TensorDataset(
        {"input_ids": ids, "attention_mask": mask, "labels": labels},
        padding_side=side,
        sequence_columns=("input_ids", "attention_mask", "labels"),
        texts=texts,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing", [0, 0, 0, 0]),
        ("in 2021", [1, 2021, 2021, 2021]),
        ("from 1999 to 2001", [2, 1999, 2001, 2000]),
        ("on 2023-07-01.", [1, 2023.5, 2023.5, 2023.5]),
        ("on 2023/7", [1, 2023.5, 2023.5, 2023.5]),
        ("July 2023 and 2000", [2, 2000, 2023.5, 2011.75]),
        ("on July 1st, 2023", [1, 2023.5, 2023.5, 2023.5]),
        ("Jul. 2023", [1, 2023.5, 2023.5, 2023.5]),
        ("id 120213 or 20211 or 999", [0, 0, 0, 0]),
        ("born in 2150", [0, 0, 0, 0]),
    ],
)
def test_dates_are_read_as_years(text, expected):
    found = text_features(rows([[1], [2]]), [text, "x"])[0, -4:]
    assert found.tolist() == pytest.approx(expected, abs=1e-3)


def test_words_are_counted_where_five_percent_of_the_texts_hold_them():
    texts = ["Red red BLUE"] * 10 + ["green"] * 9 + ["rare"]
    features = text_features(rows([[1]] * 20), texts)
    # Two lengths in tokens; blue, green, rare (one of 20 is 5 %) and red; characters and words; four of dates.
    assert features.shape == (20, 2 + 4 + 2 + 4)
    assert features[0].tolist() == [1, 0, 1, 0, 0, 2, 12, 3, 0, 0, 0, 0]
    assert features[10, 2:6].tolist() == [0, 1, 0, 0]
    fewer = text_features(rows([[1]] * 40), texts + ["green"] * 20)
    assert fewer.shape == (40, 2 + 3 + 2 + 4)


def test_without_any_text_tokens_are_counted():
    features = text_features(rows([[4, 9, 9], [4]]))
    assert features.tolist() == [[3, 2, 1, 2], [1, 0, 1, 0]]


def test_what_is_scored_adds_its_words_to_the_tokens():
    features = text_features(rows([[4, 9, 9], [4]], texts=["in 2020", "no"]))
    assert features.shape == (2, 2 + 2 + 3 + 2 + 4)
    assert features[:, -2].tolist() == [2020, 0]


@pytest.mark.parametrize("texts", [None, ["one two", "two 1999", "three"]])
def test_padding_plays_no_part(texts):
    lists = [[5, 6, 7], [5], [6, 6]]
    plain = text_features(rows(lists), texts)
    for side, length in (("left", 8), ("right", 30), ("left", 3)):
        assert np.array_equal(text_features(rows(lists, side=side, length=length), texts)[:, 2:], plain[:, 2:])


def test_texts_without_a_shared_word_have_lengths_alone():
    features = text_features(rows([[i] for i in range(1, 41)]), [f"word{i}" for i in range(40)])
    assert features.shape == (40, 2 + 2 + 4)


def test_the_most_frequent_are_kept():
    texts = ["a b c d", "a b c", "a b", "a"]
    assert text_features(rows([[1]] * 4), texts, max_words=2).shape == (4, 2 + 2 + 2 + 4)


@pytest.mark.parametrize(
    ("dataset", "texts", "message"),
    [
        (rows([[1], [2]]).subset([]), None, "dataset is empty"),
        (TensorDataset({"features": torch.ones(2, 1)}), None, "has the columns .* texts are input_ids"),
        (rows([[1], [2]]), ["one"], "texts are 1 for 2 examples"),
    ],
)
def test_what_is_no_text_is_refused(dataset, texts, message):
    with pytest.raises(InputError, match=message):
        text_features(dataset, texts)
