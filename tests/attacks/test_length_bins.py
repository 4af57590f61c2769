"""Bins of one length, and RMIA within them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=200),
    st.lists(st.integers(1, 30), min_size=1, max_size=30),
    st.integers(1, 12),
    st.integers(1, 60),
)
def test_every_bin_holds_enough_of_the_population_and_lengths_stay_in_order(population, lengths, n_bins, fewest):
    bins, population_bins = attacks.length_bins(lengths, population, n_bins=n_bins, fewest=fewest)
    counts = np.bincount(population_bins)
    assert len(counts) <= n_bins
    assert counts.min() >= min(fewest, len(population))
    assert set(bins) <= set(population_bins)
    both = np.concatenate([bins, population_bins])
    order = np.argsort(np.concatenate([lengths, population]), kind="stable")
    assert np.all(np.diff(both[order]) >= 0)
    for length in set(lengths) & set(population):  # one length, one bin
        assert len({*bins[np.equal(lengths, length)], *population_bins[np.equal(population, length)]}) == 1


def test_ten_bins_of_about_one_size_where_lengths_spread():
    generator = np.random.default_rng(0)
    _, bins = attacks.length_bins([1], generator.integers(1, 500, 2000))
    assert len(np.unique(bins)) == 10
    assert np.bincount(bins).min() > 150
    _, bins = attacks.length_bins([1], generator.integers(1, 500, 120))
    assert len(np.unique(bins)) == 2
    _, bins = attacks.length_bins([1], np.full(2000, 7))
    assert not bins.any()


def sequences(seed, leak, n_examples=600, n_population=600, n_references=4):
    """Mean losses whose chance shrinks with the length, of members and of others."""
    generator = np.random.default_rng(seed)
    length, population_length = (generator.choice([2, 400], count) for count in (n_examples, n_population))
    half = generator.random((n_references // 2, n_examples)) < 0.5
    in_references = np.concatenate([half, ~half])
    membership = generator.random(n_examples) < 0.5

    def probability(lengths, leaks):
        return np.exp(-3.0 + leaks + generator.normal(0.0, 1.0 / np.sqrt(lengths), np.shape(leaks)))

    outside = np.zeros((n_references, n_population))
    arguments = {
        "prob": probability(length, leak * membership),
        "reference_probs": probability(length, leak * in_references),
        "reference_membership": in_references,
        "population_prob": probability(population_length, outside[0]),
        "population_reference_probs": probability(population_length, outside),
    }
    bins, population_bins = attacks.length_bins(length, population_length)
    return arguments, {"bins": bins, "population_bins": population_bins}, membership


def test_rmia_in_bins_is_rmia_of_each_bin():
    arguments, bins, _ = sequences(0, 0.1)
    scores = attacks.rmia(**arguments, **bins)
    for number in (0, 1):
        ours, theirs = bins["bins"] == number, bins["population_bins"] == number
        alone = attacks.rmia(
            arguments["prob"][ours],
            arguments["reference_probs"][:, ours],
            arguments["reference_membership"][:, ours],
            arguments["population_prob"][theirs],
            arguments["population_reference_probs"][:, theirs],
        )
        np.testing.assert_array_equal(scores[ours], alone)
    one = attacks.rmia(**arguments, bins=np.zeros(600, dtype=int), population_bins=np.zeros(600, dtype=int))
    np.testing.assert_array_equal(one, attacks.rmia(**arguments))


def test_long_rows_are_judged_among_long_ones():
    gains = []
    for seed in range(5):
        arguments, bins, membership = sequences(seed, 0.1)
        binned, plain = attacks.rmia(**arguments, **bins), attacks.rmia(**arguments)
        gains.append(auc(binned, membership) - auc(plain, membership))
    assert np.mean(gains) > 0.02


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_without_leakage_members_and_non_members_of_a_bin_stand_alike(gamma):
    areas = []
    for seed in range(40):
        arguments, bins, membership = sequences(seed, 0.0, n_examples=200, n_population=150)
        areas.append(auc(attacks.rmia(**arguments, **bins, gamma=gamma), membership))
    assert np.mean(areas) == pytest.approx(0.5, abs=4 * np.std(areas) / np.sqrt(40))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": []}, "lengths is empty"),
        ({"population_lengths": [np.nan]}, "population_lengths holds 1 NaN"),
        ({"n_bins": 0}, "n_bins is 0"),
        ({"fewest": 0}, "fewest is 0"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        attacks.length_bins(**{"lengths": [1], "population_lengths": [1], **arguments})
