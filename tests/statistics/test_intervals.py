"""Intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from scipy.stats import t as student_t

from hf_privacy.errors import InputError
from hf_privacy.statistics import auc, auc_interval, clopper_pearson


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 30), (1, 100_000)])
def test_clopper_pearson_is_scipys_exact_interval(successes, trials, confidence):
    exact = binomtest(successes, trials).proportion_ci(confidence, method="exact")
    assert clopper_pearson(successes, trials, confidence=confidence) == pytest.approx(
        (exact.low, exact.high), abs=1e-9
    )


def test_clopper_pearson_takes_arrays():
    low, high = clopper_pearson([0, 5, 10], 10)
    for index, successes in enumerate([0, 5, 10]):
        assert (low[index], high[index]) == clopper_pearson(successes, 10)


def test_clopper_pearson_covers_at_least_what_it_promises():
    successes = np.random.default_rng(0).binomial(25, 0.1, 4000)
    low, high = clopper_pearson(successes, 25)
    assert np.mean((low <= 0.1) & (high >= 0.1)) >= 0.95


@pytest.mark.parametrize(
    ("successes", "trials", "message"),
    [(3, 2, "successes hold 3"), (-1, 2, "successes hold -1"), (0, 0, "trials hold 0"), (0.5, 2, "whole numbers")],
)
def test_clopper_pearson_refuses_what_is_no_count(successes, trials, message):
    with pytest.raises(InputError, match=message):
        clopper_pearson(successes, trials)


def simulate(generator, n_members, n_nonmembers, *, shift, decimals=None):
    scores = np.concatenate([generator.normal(shift, 1, n_members), generator.normal(0, 1, n_nonmembers)])
    return scores if decimals is None else scores.round(decimals), np.arange(len(scores)) < n_members


@pytest.mark.parametrize(
    ("n_members", "n_nonmembers", "shift"), [(60, 60, 0.0), (40, 120, 0.7), (150, 50, 1.5), (300, 300, 0.1)]
)
def test_auc_interval_covers_the_true_auc_at_its_level(n_members, n_nonmembers, shift):
    generator = np.random.default_rng(1)
    truth = norm.cdf(shift / np.sqrt(2))
    hits = 0
    for _ in range(600):
        low, high = auc_interval(*simulate(generator, n_members, n_nonmembers, shift=shift))
        hits += low <= truth <= high
    assert 0.92 <= hits / 600 <= 0.99


def test_auc_interval_has_the_variance_of_a_pair_by_pair_delong():
    scores, membership = simulate(np.random.default_rng(2), 400, 300, shift=0.5, decimals=1)
    wins = scores[membership][:, None] - scores[~membership][None, :]
    wins = (wins > 0) + 0.5 * (wins == 0)
    area = wins.mean()
    variance = wins.mean(axis=1).var(ddof=1) / 400 + wins.mean(axis=0).var(ddof=1) / 300
    shares = [part for axis in (0, 1) for part in (wins.mean(axis=axis), 1 - wins.mean(axis=axis))]
    losers = min(part.sum() ** 2 / (part**2).sum() for part in shares)
    reach = student_t.ppf(0.975, losers - 1) * np.sqrt(variance) / (area * (1 - area))
    expected = 1 / (1 + np.exp(-(np.log(area / (1 - area)) + np.array([-reach, reach]))))
    assert auc_interval(scores, membership) == pytest.approx(expected, abs=1e-12)


def test_auc_interval_of_a_perfect_attack_is_that_of_as_many_straight_wins():
    scores, membership = np.arange(50.0), np.arange(50) >= 30
    assert auc_interval(scores, membership) == clopper_pearson(20, 20)
    assert auc_interval(-scores, membership) == clopper_pearson(0, 20)


def test_auc_interval_of_a_near_perfect_attack_still_covers():
    generator = np.random.default_rng(3)
    shift = 3.0
    truth = norm.cdf(shift / np.sqrt(2))
    hits = 0
    for _ in range(500):
        low, high = auc_interval(*simulate(generator, 15, 15, shift=shift))
        hits += low <= truth <= high
    assert hits / 500 >= 0.92


@pytest.mark.parametrize(
    ("n_members", "n_nonmembers", "true_area", "spread"),
    [(200, 200, 0.9993, 1.0), (200, 200, 0.9993, 2.0), (50, 500, 0.99, 2.0), (1000, 1000, 0.9999, 2.0)],
)
def test_auc_interval_near_one_covers_where_delongs_variance_is_too_small(n_members, n_nonmembers, true_area, spread):
    generator = np.random.default_rng(6)
    shift = norm.ppf(true_area) * np.hypot(1.0, spread)
    misses = mirrored_misses = 0
    for _ in range(200):
        scores, membership = simulate(generator, n_members, n_nonmembers, shift=0.0)
        scores[membership] = shift + spread * scores[membership]
        low, high = auc_interval(scores, membership)
        misses += not low <= true_area <= high
        low, high = auc_interval(-scores, membership)
        mirrored_misses += not low <= 1.0 - true_area <= high
    assert misses == mirrored_misses
    assert misses / 200 <= 0.1  # DeLong's alone: 0.10 to 0.31


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=30),
    st.lists(st.integers(0, 8), min_size=1, max_size=30),
    st.floats(0.5, 0.999),
)
def test_auc_interval_holds_the_area_and_mirrors(members, nonmembers, confidence):
    scores = np.array(members + nonmembers, dtype=float)
    membership = np.arange(len(scores)) < len(members)
    low, high = auc_interval(scores, membership, confidence=confidence)
    assert 0.0 <= low <= auc(scores, membership) <= high <= 1.0
    assert auc_interval(scores, ~membership, confidence=confidence) == pytest.approx((1.0 - high, 1.0 - low), abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "n_members"), [(np.ones(20), 10), (np.array([0.5, 0.0, 1.0, 0.2]), 1), (np.array([1.0, 1.0]), 1)]
)
def test_auc_interval_is_wide_where_the_variance_says_nothing(scores, n_members):
    membership = np.arange(len(scores)) < n_members
    low, high = auc_interval(scores, membership)
    assert 0 <= low < auc(scores, membership) < high <= 1
    assert high - low > 0.4


def test_auc_interval_widens_with_confidence_and_narrows_with_examples():
    generator = np.random.default_rng(4)
    small, large = (simulate(generator, n, n, shift=0.5) for n in (50, 5000))
    width = {c: np.diff(auc_interval(*small, confidence=c))[0] for c in (0.8, 0.99)}
    assert width[0.8] < width[0.99]
    assert np.diff(auc_interval(*large))[0] < 0.2 * np.diff(auc_interval(*small))[0]


def test_auc_interval_of_fifty_thousand_examples_takes_no_table_of_pairs():
    scores, membership = simulate(np.random.default_rng(5), 50_000, 50_000, shift=0.5)  # 2.5e9 pairs
    low, high = auc_interval(scores, membership)
    assert low < norm.cdf(0.5 / np.sqrt(2)) < high
