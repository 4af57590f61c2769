"""Lower bounds of ε from error rates: the formula, and that the bound holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from hf_privacy.errors import InputError
from hf_privacy.statistics import epsilon_clopper_pearson, epsilon_from_counts, roc_counts

REPETITIONS = 500
ALLOWED = 0.05 + 3 * np.sqrt(0.05 * 0.95 / REPETITIONS)  # three standard errors above the stated share


def randomised_response(generator, epsilon, n):
    """Each example answers whether it is a member, truly with probability e^ε/(1 + e^ε): exactly (ε, 0)-private."""
    membership = np.arange(n) < n // 2
    true_answer = generator.random(n) < np.exp(epsilon) / (1 + np.exp(epsilon))
    # Noise below the step leaves the answer readable and gives the choice of a threshold something to overfit.
    return np.where(true_answer, membership, ~membership) + 0.9 * generator.random(n), membership


# The formula


@pytest.mark.parametrize("delta", [0.0, 1e-5, 0.2])
@pytest.mark.parametrize("counts", [(10, 1000, 500, 1000), (400, 1000, 3, 500), (0, 50, 0, 80), (50, 50, 0, 80)])
def test_bound_is_the_larger_term_of_the_two_upper_limits(counts, delta):
    false_positives, n_nonmembers, false_negatives, n_members = counts
    fpr = binomtest(false_positives, n_nonmembers).proportion_ci(0.9, method="exact").high
    fnr = binomtest(false_negatives, n_members).proportion_ci(0.9, method="exact").high
    terms = [(1 - fnr - delta) / fpr, (1 - fpr - delta) / fnr]
    expected = max(0.0, *(np.log(term) for term in terms if term > 0))
    assert epsilon_from_counts(*counts, delta=delta, confidence=0.9) == pytest.approx(expected, abs=1e-9)


def test_each_term_is_needed():
    few_false_positives, few_false_negatives = (
        epsilon_from_counts(2, 1000, 800, 1000),
        epsilon_from_counts(800, 1000, 2, 1000),
    )
    assert few_false_positives == few_false_negatives > 2


def test_counts_broadcast():
    bounds = epsilon_from_counts([1, 5, 20], 1000, 100, 1000)
    assert bounds.tolist() == [epsilon_from_counts(n, 1000, 100, 1000) for n in (1, 5, 20)]


def test_delta_lowers_the_bound():
    bounds = [epsilon_from_counts(5, 1000, 900, 1000, delta=delta) for delta in (0, 0.01, 0.05, 0.5)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == 0.0


def test_a_threshold_of_ones_own_is_counted_as_it_is():
    scores, membership = randomised_response(np.random.default_rng(0), 1.0, 2000)
    called = scores >= 1.0
    expected = epsilon_from_counts((called & ~membership).sum(), 1000, (~called & membership).sum(), 1000)
    for correction in ("split", "bonferroni", "none"):
        assert epsilon_clopper_pearson(scores, membership, threshold=1.0, correction=correction) == expected


def test_bonferroni_is_the_best_of_its_ranks_at_a_shared_risk():
    generator = np.random.default_rng(1)
    scores, membership = np.round(generator.normal(size=300), 1), np.arange(300) < 140
    scores[membership] += 1.5
    members, nonmembers = scores[membership], scores[~membership]
    levels = np.append(np.unique(scores), np.inf)  # every distinct way to call, lowest first
    thresholds = []
    for rank in (0, 8, 80):  # of 160 non-members: n/2 in two geometric steps
        most = [t for t in levels if (nonmembers >= t).sum() >= rank]
        thresholds.append(max(most) if rank else min(t for t in levels if not (nonmembers >= t).any()))
    for rank in (0, 7, 70):
        most = [t for t in levels if (members < t).sum() >= rank]
        thresholds.append(min(most) if rank else max(t for t in levels if not (members < t).any()))
    expected = max(
        epsilon_from_counts(
            (nonmembers >= t).sum(), 160, (members < t).sum(), 140, delta=0.01, confidence=1 - 0.05 / 6
        )
        for t in thresholds
    )
    bound = epsilon_clopper_pearson(scores, membership, correction="bonferroni", n_thresholds=6, delta=0.01)
    assert bound == pytest.approx(expected, abs=1e-12)
    assert bound > 0.5


# It holds as often as it says

METHODS = [
    {"correction": "split"},
    {"correction": "bonferroni"},
    {"correction": "bonferroni", "n_thresholds": 2},
    {"threshold": 1.0},
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_null_calibration_without_leakage_the_bound_is_above_zero_at_its_level(method):
    generator = np.random.default_rng(2)
    above = sum(
        epsilon_clopper_pearson(*randomised_response(generator, 0.0, 200), **method) > 0 for _ in range(REPETITIONS)
    )
    assert above / REPETITIONS <= ALLOWED


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_calibration_at_a_true_epsilon_the_bound_exceeds_it_at_its_level(method):
    generator = np.random.default_rng(3)
    above = sum(
        epsilon_clopper_pearson(*randomised_response(generator, 1.0, 300), **method) > 1.0 for _ in range(REPETITIONS)
    )
    assert above / REPETITIONS <= ALLOWED


@pytest.mark.parametrize("decimals", [0, 1])
def test_null_calibration_holds_with_many_ties(decimals):
    generator = np.random.default_rng(4)
    membership = np.arange(120) < 50
    for correction in ("split", "bonferroni"):
        above = sum(
            epsilon_clopper_pearson(
                generator.normal(size=120).round(decimals), membership, correction=correction, n_thresholds=20
            )
            > 0
            for _ in range(REPETITIONS)
        )
        assert above / REPETITIONS <= ALLOWED


def test_calibration_of_counts_is_exact_at_every_rate():
    # No simulation: all outcomes of 40 and 40 answers, weighted by their probability.
    outcomes = np.arange(41)
    for epsilon in (0.0, 0.5, 1.5):
        bounds = epsilon_from_counts(outcomes[:, None], 40, outcomes[None, :], 40, confidence=0.9)
        mass = binom.pmf(outcomes, 40, 1 / (1 + np.exp(epsilon)))
        assert (mass[:, None] * mass[None, :])[bounds > epsilon].sum() <= 0.1


@pytest.mark.parametrize("correction", ["split", "bonferroni"])
def test_the_bound_tends_to_epsilon_with_the_number_of_examples(correction):
    generator = np.random.default_rng(5)
    bounds = [
        epsilon_clopper_pearson(*randomised_response(generator, 2.0, n), correction=correction)
        for n in (400, 4000, 400_000)
    ]
    assert bounds == sorted(bounds)
    assert 1.9 < bounds[-1] <= 2.0


def test_peer_error_the_best_of_all_thresholds_uncorrected_is_no_bound():
    # PrivacyGuard: each limit at 95 %, at every threshold, and the largest bound taken.
    generator = np.random.default_rng(6)
    naive = ours = 0
    for _ in range(REPETITIONS):
        scores, membership = randomised_response(generator, 0.0, 200)
        false_positives, true_positives, _ = roc_counts(scores, membership)
        naive += epsilon_from_counts(false_positives, 100, 100 - true_positives, 100, confidence=0.9).max() > 0
        ours += epsilon_clopper_pearson(scores, membership, correction="bonferroni") > 0
    assert naive / REPETITIONS > ALLOWED
    assert ours / REPETITIONS <= ALLOWED
    with pytest.raises(InputError, match="correction is 'none' without a threshold"):
        epsilon_clopper_pearson(scores, membership, correction="none")


# What it does not depend on, and what it refuses


@pytest.mark.parametrize("correction", ["split", "bonferroni"])
def test_constant_scores_show_nothing(correction):
    assert epsilon_clopper_pearson(np.ones(100), np.arange(100) < 50, correction=correction) == 0.0


@pytest.mark.parametrize("correction", ["split", "bonferroni"])
def test_neither_order_nor_a_monotone_map_of_the_scores_changes_the_bound(correction):
    scores, membership = randomised_response(np.random.default_rng(7), 1.5, 1000)
    bound = epsilon_clopper_pearson(scores, membership, correction=correction)
    order = np.random.default_rng(8).permutation(1000)
    assert epsilon_clopper_pearson(scores[order], membership[order], correction=correction) == bound
    assert epsilon_clopper_pearson(np.exp(scores), membership, correction=correction) == bound > 0


def test_another_seed_draws_other_halves():
    scores, membership = randomised_response(np.random.default_rng(9), 1.5, 1000)
    assert len({epsilon_clopper_pearson(scores, membership, seed=seed) for seed in range(5)}) > 1


BAD = {
    "delta 1": ({"delta": 1.0}, "delta is 1.0"),
    "negative delta": ({"delta": -0.1}, "delta is -0.1"),
    "delta NaN": ({"delta": float("nan")}, "delta is nan"),
    "confidence": ({"confidence": 1.0}, "confidence is 1.0"),
    "correction": ({"correction": "holm"}, "correction is 'holm'"),
    "odd thresholds": ({"n_thresholds": 5}, "n_thresholds is 5: pass an even number"),
    "no thresholds": ({"n_thresholds": 0}, "n_thresholds is 0"),
    "threshold NaN": ({"threshold": float("nan")}, "threshold is nan"),
    "seed": ({"seed": -1}, "seed is -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(InputError, match=message):
        epsilon_clopper_pearson(np.arange(8.0), np.arange(8) < 4, **arguments)


def test_a_class_too_small_to_be_halved_is_refused():
    with pytest.raises(InputError, match="a class holds 1 example: a split needs two"):
        epsilon_clopper_pearson(np.arange(8.0), np.arange(8) < 1)
