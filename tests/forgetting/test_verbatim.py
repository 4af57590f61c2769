"""Exact memorization, extraction strength and ROUGE-L against loops typed anew and against the reference package."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.forgetting import exact_memorization, extraction_strength, rouge_l_recall

GENERATOR = np.random.default_rng(1)
LENGTHS = GENERATOR.integers(1, 12, 200)
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])
GREEDY = GENERATOR.random(OFFSETS[-1]) < 0.8
WORDS = ["who", "wrote", "the", "book", "writes", "a", "cat"]


def rows():
    return [GREEDY[start:stop] for start, stop in itertools.pairwise(OFFSETS)]


def test_exact_memorization_is_each_rows_own_mean():
    assert exact_memorization(GREEDY, OFFSETS).tolist() == [row.mean() for row in rows()]


def test_extraction_strength_is_that_of_a_search_for_the_shortest_prefix():
    expected = [next(1 - k / len(row) for k in range(len(row) + 1) if row[k:].all()) for row in rows()]
    assert extraction_strength(GREEDY, OFFSETS).tolist() == expected


def test_nothing_that_comes_back_is_zero_and_not_one_over_n():
    # The loop of a released benchmark ends at k = n − 1 whether or not the last token comes.
    nothing, last = extraction_strength([False] * 4 + [False] * 3 + [True], [0, 4, 8])
    assert (nothing, last) == (0.0, 0.25)
    assert extraction_strength([True] * 4, [0, 4]).tolist() == [1.0]


def naive_lcs(said, right):
    if not said or not right:
        return 0
    if said[-1] == right[-1]:
        return 1 + naive_lcs(said[:-1], right[:-1])
    return max(naive_lcs(said[:-1], right), naive_lcs(said, right[:-1]))


def test_rouge_is_the_longest_common_subsequence_over_the_answers_words():
    texts = [GENERATOR.choice(WORDS, GENERATOR.integers(1, 8)).tolist() for _ in range(40)]
    said, right = texts[:20], texts[20:]
    expected = [naive_lcs(one, other) / len(other) for one, other in zip(said, right, strict=True)]
    assert rouge_l_recall([" ".join(t) for t in said], [" ".join(t) for t in right]).tolist() == expected


def test_rouge_counts_words_and_not_their_case_or_marks():
    assert rouge_l_recall(["", "IT IS: the 3rd!"], ["It is", "it is the, 3rd"]).tolist() == [0.0, 1.0]
    assert rouge_l_recall(["anything"], ["?!"]).tolist() == [0.0]


def test_a_stem_is_taken_of_words_of_four_letters_or_more():
    def stem(word):
        return word[:4]

    assert rouge_l_recall(["writing cats"], ["writes cat"]).tolist() == [0.0]
    assert rouge_l_recall(["writing cats"], ["writes cat"], stem=stem).tolist() == [0.5]


@pytest.mark.parametrize("is_stemmed", [False, True])
def test_rouge_is_that_of_the_reference_package(is_stemmed):
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"], use_stemmer=is_stemmed)
    stem = pytest.importorskip("nltk").stem.PorterStemmer().stem if is_stemmed else None
    texts = [" ".join(GENERATOR.choice(WORDS, GENERATOR.integers(1, 30))) for _ in range(60)]
    expected = [scorer.score(right, said)["rougeL"].recall for said, right in zip(texts[:30], texts[30:], strict=True)]
    np.testing.assert_allclose(rouge_l_recall(texts[:30], texts[30:], stem=stem), expected)


@pytest.mark.parametrize("bad", ["text", [1, 2], ["a", None]])
def test_what_is_no_list_of_texts_is_refused(bad):
    with pytest.raises(InputError, match="predictions is no list of texts"):
        rouge_l_recall(bad, ["a", "b"])
    with pytest.raises(InputError, match="predictions has 1 texts and references 2"):
        rouge_l_recall(["a"], ["a", "b"])
