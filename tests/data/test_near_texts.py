"""Texts that share most of their runs of thirteen words, against a loop over all pairs."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from datasets import Dataset

from hf_privacy.data import drop_repeats, find_repeats, make_split
from hf_privacy.data.near_texts import overlapping_texts
from hf_privacy.errors import InputError

WORDS = [f"w{number}" for number in range(500)]


def words(rng, n: int) -> list[str]:
    return list(rng.choice(WORDS, size=n))


def naive(texts: list[str], overlap: float) -> np.ndarray:
    """Every pair by sets of tuples; those joined carry the smallest number among them."""
    runs = []
    for text in texts:
        found = re.findall(r"\w+", text.lower())
        runs.append({tuple(found[i : i + 13]) for i in range(len(found) - 12)})
    group = np.arange(len(texts))
    for i in range(len(texts)):
        for j in range(i):
            fewer = min(len(runs[i]), len(runs[j]))
            if fewer and len(runs[i] & runs[j]) > overlap * fewer:
                group[group == group[i]] = group[j]
    return group


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one[:, None] == one[None], other[:, None] == other[None])


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.8])
def test_the_same_texts_are_joined_as_by_a_loop_over_all_pairs(overlap):
    rng = np.random.default_rng(0)
    texts = [words(rng, rng.integers(5, 60)) for _ in range(40)]
    for _ in range(40):  # parts of others, changed here and there, and in longer ones
        source = texts[rng.integers(40)]
        start = rng.integers(0, max(1, len(source) - 20))
        part = source[start : start + rng.integers(15, 40)]
        if rng.random() < 0.5 and part:
            part[rng.integers(len(part))] = "changed"
        texts.append(words(rng, rng.integers(0, 8)) + part + words(rng, rng.integers(0, 8)))
    joined = [", ".join(text).title() if number % 3 == 0 else " ".join(text) for number, text in enumerate(texts)]
    found = overlapping_texts(joined, overlap=overlap)
    assert len(np.unique(found)) < 80
    assert same_partition(found, naive(joined, overlap))


def test_a_template_of_all_texts_joins_none_of_them():
    rng = np.random.default_rng(1)
    header = " ".join(words(rng, 40))
    texts = [f"{header} {' '.join(words(rng, 16))}" for _ in range(60)]
    assert len(np.unique(overlapping_texts(texts))) == 60
    texts.append(texts[3] + " more of it")
    assert np.unique(overlapping_texts(texts), return_counts=True)[1].max() == 2


def test_short_texts_have_no_run():
    assert overlapping_texts(["a b c", "a b c d", ""]).tolist() == [0, 1, 2]


def test_too_many_shared_runs_are_refused():
    rng = np.random.default_rng(2)
    text = " ".join(words(rng, 40))
    with pytest.raises(InputError, match="more than 10 runs of 13 words are shared by pairs of texts"):
        overlapping_texts([f"{text} {i}" for i in range(5)], max_candidates=10)


def by_document() -> tuple[Dataset, np.ndarray]:
    """Twelve documents of three rows; a row of document 5 stands, a little longer, in document 8 too."""
    rng = np.random.default_rng(3)
    texts = [" ".join(words(rng, 30)) for _ in range(36)]
    texts[25] = texts[15] + " and one word more"
    prompts = [text[:40] for text in texts]
    documents = np.repeat(np.arange(12), 3)
    rows = {"document": [f"d{number}" for number in documents], "prompt": prompts, "completion": texts}
    return Dataset.from_dict(rows), documents


def test_repeats_across_a_split_by_groups_are_counted_by_group():
    rows, _ = by_document()
    members = [*range(18), *range(27, 36)]
    split = make_split(rows, members=members, group_column="document")
    columns = ["prompt", "completion"]
    report = find_repeats(rows, column=columns, split=split, overlap=0.8)
    assert (report.near_repeats, report.near_across["non_members_in_members"]) == (1, 1)
    assert report.groups_across == {
        "non_members_in_members": 1,
        "population_in_members": 0,
        "population_in_non_members": 0,
    }
    assert report.to_dict()["groups_across"] == report.groups_across
    assert find_repeats(rows, column=columns, split=split).near_repeats == 0
    by_row = make_split(rows, members=members)
    assert "groups_across" not in find_repeats(rows, column=columns, split=by_row, overlap=0.8).to_dict()


def test_the_first_of_two_that_overlap_stays():
    rows, _ = by_document()
    kept = drop_repeats(rows, column=["prompt", "completion"], overlap=0.8)
    assert sorted(set(range(36)) - set(kept.tolist())) == [25]


def test_messages_are_looked_at_by_what_they_say():
    rng = np.random.default_rng(4)
    said = [" ".join(words(rng, 20)) for _ in range(6)]
    said[4] = said[1] + " indeed"
    rows = [[{"role": "user", "content": "Hello"}, {"role": "assistant", "content": text}] for text in said]
    report = find_repeats(Dataset.from_dict({"messages": rows}), column="messages", overlap=0.8)
    assert report.near_repeats == 1


def test_an_overlap_that_is_no_share_is_refused():
    with pytest.raises(InputError, match="overlap is 1"):
        find_repeats(Dataset.from_dict({"text": ["a", "b"]}), column="text", overlap=1.0)


def test_ten_thousand_texts_of_a_hundred_words_take_seconds():
    rng = np.random.default_rng(5)
    texts = [" ".join(row) for row in rng.choice(WORDS, size=(10_000, 100))]
    texts += [text + " more" for text in texts[:500]]
    started = time.process_time()
    assert len(np.unique(overlapping_texts(texts))) == 10_000
    assert time.process_time() - started < 20  # about 1.5 s
