"""Scores of sequences without references, against one row at a time as methods write them."""

from __future__ import annotations

import math
import time
import zlib
from itertools import pairwise

import numpy as np
import pytest
from ragged_draws import draw, pick, rows

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc

SCORES = {
    "min_k": lambda offsets, log_prob, mean, variance, k: attacks.min_k(log_prob, offsets, k=k),
    "min_k_plus_plus": lambda offsets, log_prob, mean, variance, k: attacks.min_k_plus_plus(
        log_prob, mean, variance, offsets, k=k
    ),
    "surp": lambda offsets, log_prob, mean, variance, k: attacks.surp(log_prob, mean, offsets, k=k),
}


def one_row(name, log_prob, mean, variance, k):
    n_kept = max(1, math.floor(round(k * len(log_prob), 9)))
    if name == "min_k_plus_plus":
        log_prob = [
            (value - expected) / math.sqrt(max(square, 1e-6))
            for value, expected, square in zip(log_prob, mean, variance, strict=True)
        ]
    order = sorted(range(len(log_prob)), key=lambda place: log_prob[place])[:n_kept]
    if name == "surp":
        order = [place for place in order if -mean[place] < 2.0] or order
    return sum(log_prob[place] for place in order) / len(order)


@pytest.mark.parametrize("k", [0.05, 0.2, 0.29, 0.4, 1.0])
@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_that_of_a_loop_over_rows(name, k):
    offsets, *flat = draw(n_rows=300)
    expected = [one_row(name, *row, k) for row in zip(*(rows(values, offsets) for values in flat), strict=True)]
    np.testing.assert_allclose(SCORES[name](offsets, *flat, k), expected, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_a_row_has_the_same_score_among_others_in_any_order_and_alone(name):
    offsets, *flat = draw(n_rows=80)
    scores = SCORES[name](offsets, *flat, 0.3)
    order = np.random.default_rng(1).permutation(80)
    np.testing.assert_array_equal(SCORES[name](*pick(order, offsets, *flat), 0.3), scores[order])
    twice = np.concatenate([np.arange(80), np.arange(80)])
    np.testing.assert_array_equal(SCORES[name](*pick(twice, offsets, *flat), 0.3), scores[twice])
    for row in range(0, 80, 9):
        assert SCORES[name](*pick([row], offsets, *flat), 0.3)[0] == scores[row]


@pytest.mark.parametrize("name", SCORES)
def test_the_order_of_tokens_in_a_row_does_not_matter_and_where_a_row_ends_does(name):
    offsets, *flat = draw(n_rows=80)
    generator = np.random.default_rng(2)
    place = np.concatenate([generator.permutation(np.arange(*ends)) for ends in pairwise(offsets)])
    scores = SCORES[name](offsets, *flat, 0.3)
    np.testing.assert_allclose(SCORES[name](offsets, *(values[place] for values in flat), 0.3), scores, atol=1e-12)
    longest = int(np.diff(offsets).argmax())
    moved = offsets.copy()
    moved[longest + 1] -= 10  # ten tokens of the longest row go to the next
    changed = SCORES[name](moved, *flat, 1.0) != SCORES[name](offsets, *flat, 1.0)
    assert np.flatnonzero(changed).tolist() == [longest, longest + 1]


@pytest.mark.parametrize("name", SCORES)
def test_members_and_non_members_of_one_distribution_are_not_told_apart(name):
    offsets, *flat = draw(n_rows=3000, longest=40, seed=3)
    membership = np.random.default_rng(4).random(3000) < 0.5
    assert abs(auc(SCORES[name](offsets, *flat, 0.2), membership) - 0.5) < 0.035  # 3.3 standard errors


@pytest.mark.parametrize("name", SCORES)
def test_members_whose_tokens_became_likelier_score_higher(name):
    offsets, log_prob, mean, variance = draw(n_rows=600, seed=5)
    membership = np.arange(600) % 2 == 0
    known = np.repeat(membership, np.diff(offsets))
    scores = SCORES[name](offsets, np.where(known, 0.5 * log_prob, log_prob), mean, variance, 0.2)
    assert auc(scores, membership) > 0.7


def test_all_tokens_give_the_loss_attack():
    offsets, log_prob, *_ = draw()
    losses = [-row.mean() for row in rows(log_prob, offsets)]
    np.testing.assert_allclose(attacks.min_k(log_prob, offsets, k=1.0), attacks.loss(losses), atol=1e-12)


def test_a_row_too_short_for_a_whole_token_keeps_its_least_likely():
    # mimir, Min-K %++'s authors and MUSE take ⌊k·n⌋ = 0 tokens of it: the mean of nothing, NaN.
    with np.errstate(invalid="ignore"):
        theirs = np.sort([-3.0, -1.0])[: int(0.2 * 2)].sum() / np.float64(int(0.2 * 2))
    assert np.isnan(theirs)
    assert attacks.min_k([-3.0, -1.0], [0, 2], k=0.2) == [-3.0]
    assert attacks.min_k_plus_plus([-3.0, -1.0], [-1.0, -1.0], [1.0, 1.0], [0, 2], k=0.2) == [-2.0]


def test_what_a_model_is_certain_of_gives_a_number():
    scores = attacks.min_k_plus_plus([-1e-9, -20.0], [-1e-9, -1e-9], [0.0, 1e-12], [0, 1, 2])
    np.testing.assert_allclose(scores, [0.0, -20.0 / 1e-3], rtol=1e-6)
    # float32 leaves a variance a rounding error below zero
    assert np.isfinite(attacks.min_k_plus_plus([-1.0], [-1.0], [-5e-6], [0, 1])).all()


def test_mean_and_deviation_are_weighted_by_the_models_own_probabilities():
    # The SoK's code weighs the vocabulary alike.
    probabilities = np.array([[0.9, 0.05, 0.03, 0.02], [0.4, 0.3, 0.2, 0.1]])
    log_probs = np.log(probabilities)
    mean = (probabilities * log_probs).sum(axis=1)
    variance = (probabilities * log_probs**2).sum(axis=1) - mean**2
    theirs = (log_probs[:, 1] - log_probs.mean(axis=1)) / log_probs.std(axis=1)
    ours = attacks.min_k_plus_plus(log_probs[:, 1], mean, variance, [0, 1, 2])
    np.testing.assert_allclose(
        ours,
        [
            (row[1] - p @ row) / math.sqrt(p @ (row - p @ row) ** 2)
            for row, p in zip(log_probs, probabilities, strict=True)
        ],
    )
    assert np.all(np.abs(ours - theirs) > 0.1)


def test_a_row_without_a_surprising_token_stands_among_the_others():
    # The SoK's code gives it −100, below every non-member.
    offsets, log_prob, mean, _ = draw(n_rows=200)
    sure = np.where(np.repeat(np.arange(200) == 7, np.diff(offsets)), -3.0, mean)  # nothing below 2 nats in row 7
    scores = attacks.surp(log_prob, sure, offsets)
    assert scores[7] == attacks.min_k(log_prob, offsets, k=0.4)[7] > -100
    with pytest.raises(InputError, match="max_entropy is 0"):
        attacks.surp(log_prob, mean, offsets, max_entropy=0.0)


def test_surprise_counts_only_where_the_entropy_is_below_the_bound():
    assert attacks.surp([-1.0, -4.0], [-2.0, -1.999], [0, 2], k=1.0) == [-4.0]


@pytest.mark.parametrize("text", ["", " twice  the space\n", "Müller ☃", "a" * 1000, "\ud800"])
def test_zlib_takes_the_text_as_it_is_given(text):
    n_bytes = len(zlib.compress(text.encode("utf-8", "surrogatepass")))
    assert attacks.zlib([3.0], [text]) == [-3.0 / n_bytes]


def test_zlib_does_not_strip_or_normalise():
    texts = ["e\u0301 word", "\u00e9 word", "\u00e9 word ", "\u00c9 WORD"]
    assert len(set(attacks.zlib([1.0] * 4, texts))) > 1
    assert attacks.zlib([1.0], ["word   \n\n\n"])[0] > attacks.zlib([1.0], ["word"])[0]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", "texts is no list of strings"),
        ([b"bytes"], "texts is no list of strings"),
        ([None], "texts is no list of strings"),
        ({"a"}, "texts is no list of strings"),
        (["a", "b"], "texts has 2 rows and loss 1"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(texts, message):
    with pytest.raises(InputError, match=message):
        attacks.zlib([1.0], texts)


def test_ratios_are_those_of_the_papers_and_never_divide_by_zero():
    losses, others = np.array([0.5, 2.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0, 2.0])
    np.testing.assert_allclose(attacks.lowercase(losses, others), [-0.5, -2.0, -1.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(attacks.recall(losses[:3], others[:3]), [2.0, 0.5, 1.0], atol=1e-9)
    assert np.isfinite(attacks.recall(losses, others)).all()
    # Log-likelihoods are minus losses, so the papers' ratios of them are those of losses.
    np.testing.assert_allclose(attacks.recall(losses[:2], others[:2]), -others[:2] / -losses[:2])
    with pytest.raises(InputError, match="lowercase_loss has 1 rows and loss 2"):
        attacks.lowercase([1.0, 1.0], [1.0])
    with pytest.raises(InputError, match="prefixed_loss goes down to -1"):
        attacks.recall([1.0], [-1.0])


def test_a_reference_difference_is_taken_from_the_mean_of_those_that_had_not_seen_the_row():
    generator = np.random.default_rng(6)
    signal, references = generator.normal(size=50), generator.normal(size=(5, 50))
    membership = generator.random((5, 50)) < 0.5
    membership[0] = False
    expected = [
        signal[row] - np.mean([references[model, row] for model in range(5) if not membership[model, row]])
        for row in range(50)
    ]
    np.testing.assert_allclose(attacks.reference_difference(signal, references, membership), expected)
    np.testing.assert_array_equal(
        attacks.reference_difference(signal, references[:1], np.zeros((1, 50), bool)),
        attacks.base_calibration(signal, references[0]),
    )
    membership[:, 3] = True
    with pytest.raises(InputError, match="1 of 50 examples IN for all 5"):
        attacks.reference_difference(signal, references, membership)


def test_a_hundred_thousand_rows_take_no_loop_over_them():
    generator = np.random.default_rng(7)
    offsets = np.concatenate([[0], np.cumsum(generator.integers(1, 61, 100_000))])
    log_prob = -generator.exponential(1.0, offsets[-1])
    mean, variance = -generator.exponential(1.0, offsets[-1]), generator.exponential(1.0, offsets[-1])
    start = time.perf_counter()
    for name in SCORES:
        SCORES[name](offsets, log_prob, mean, variance, 0.2)
    attacks.window_comparison(log_prob, mean, offsets)
    assert time.perf_counter() - start < 15  # a loop over rows takes a minute
