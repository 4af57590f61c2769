"""Bootstrap intervals: the resamples are what they claim to be, and the intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from hf_privacy.errors import InputError
from hf_privacy.statistics import auc, auc_interval, bootstrap_interval, summarize, tpr_at_fpr

REPETITIONS = 500


def simulate(generator, n_members, n_nonmembers, *, shift, decimals=None):
    scores = np.concatenate([generator.normal(shift, 1, n_members), generator.normal(0, 1, n_nonmembers)])
    return scores if decimals is None else scores.round(decimals), np.arange(len(scores)) < n_members


SINGLE = {
    "auc": (lambda s, m: auc(s, m), {}),
    "balanced_accuracy": (lambda s, m: summarize(s, m, fprs=())["balanced_accuracy"], {}),
    "tpr_at_fpr": (lambda s, m: tpr_at_fpr(s, m, fpr=0.1)["tpr"], {"fpr": 0.1}),
}


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("statistic", SINGLE)
def test_many_resamples_at_a_time_are_the_same_as_one_by_one(statistic, method, decimals):
    scores, membership = simulate(np.random.default_rng(0), 30, 50, shift=1.0, decimals=decimals)
    function, target = SINGLE[statistic]
    common = {"n_resamples": 200, "confidence": 0.9, "method": method, "seed": 3}
    at_once = bootstrap_interval(scores, membership, statistic=statistic, **target, **common)
    one_by_one = bootstrap_interval(scores, membership, statistic=function, **common)
    assert at_once == pytest.approx(one_by_one, abs=1e-12)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_is_scipys_but_for_the_draw(method):
    scores, membership = simulate(np.random.default_rng(1), 60, 40, shift=1.2)
    wins = lambda m, n, axis=-1: (m[..., :, None] > n[..., None, :]).mean(axis=(-2, -1))  # noqa: E731
    theirs = bootstrap(
        (scores[membership], scores[~membership]), wins, n_resamples=3000, method=method, batch=200, rng=0
    ).confidence_interval
    ours = bootstrap_interval(scores, membership, n_resamples=3000, method=method)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.008)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_interval_of_the_auc_covers_at_its_level(method, shift):
    generator = np.random.default_rng(2)
    truth = norm.cdf(shift / np.sqrt(2))
    hits = 0
    for repetition in range(REPETITIONS):
        scores, membership = simulate(generator, 60, 80, shift=shift)
        low, high = bootstrap_interval(scores, membership, n_resamples=250, method=method, seed=repetition)
        hits += low <= truth <= high
    assert 0.915 <= hits / REPETITIONS <= 0.98


def test_interval_of_the_tpr_covers_the_chance_in_the_threshold_too():
    generator = np.random.default_rng(3)
    truth = norm.sf(norm.isf(0.1) - 1.5)
    bootstrap_hits = exact_hits = conditional_hits = 0
    for repetition in range(REPETITIONS):
        scores, membership = simulate(generator, 200, 200, shift=1.5)
        low, high = bootstrap_interval(
            scores, membership, statistic="tpr_at_fpr", fpr=0.1, n_resamples=200, seed=repetition
        )
        bootstrap_hits += low <= truth <= high
        result = tpr_at_fpr(scores, membership, fpr=0.1)
        exact_hits += result["low"] <= truth <= result["high"]
        conditional_hits += result["conditional_low"] <= truth <= result["conditional_high"]
    assert 0.915 <= bootstrap_hits / REPETITIONS <= 0.985
    assert exact_hits / REPETITIONS >= 0.93
    assert conditional_hits / REPETITIONS < 0.85  # it speaks of the threshold that was drawn


def test_groups_widen_the_interval_where_their_examples_go_together():
    generator = np.random.default_rng(4)
    hits = {"users": 0, "examples": 0}
    for repetition in range(REPETITIONS):
        user = np.repeat(np.arange(40), 5)
        membership = user < 20
        scores = (generator.normal(size=40) + 1.0 * (np.arange(40) < 20))[user]  # a user's examples score alike
        for name, groups in (("users", user), ("examples", None)):
            low, high = bootstrap_interval(scores, membership, groups=groups, n_resamples=200, seed=repetition)
            hits[name] += low <= norm.cdf(1 / np.sqrt(2)) <= high
    assert 0.90 <= hits["users"] / REPETITIONS <= 0.98
    assert hits["examples"] / REPETITIONS < 0.75


def test_groups_that_hold_members_and_nonmembers_are_drawn_whole():
    generator = np.random.default_rng(5)
    target = np.repeat(np.arange(30), 20)
    membership = np.tile(np.arange(20) < 10, 30)
    scores = generator.normal(size=600) + membership * np.repeat(generator.normal(1, 1, 30), 20)

    def whole(resampled, truth):
        sizes = np.unique(resampled, return_counts=True)[1]
        # Every draw of a target brings each of its 20 examples: any example came as often as another of its target.
        assert truth.sum() * 2 == len(truth) == 600
        assert len(sizes) % 20 == 0
        return 0.5

    assert bootstrap_interval(scores, membership, statistic=whole, groups=target, n_resamples=50, confidence=0.9) == (
        0.5,
        0.5,
    )
    by_target = bootstrap_interval(scores, membership, groups=target)
    by_example = bootstrap_interval(scores, membership)
    assert np.diff(by_target) > 1.5 * np.diff(by_example)


def test_groups_of_members_only_are_drawn_apart_from_those_of_nonmembers():
    names = np.array(["a", "a", "b", "c", "c", "c", "d", "d"])
    membership = np.array([True, True, True, True, True, True, False, False])

    def counts(_, truth):
        assert (~truth).sum() == 2  # the one group of non-members, always
        assert 3 <= truth.sum() <= 9  # three groups of members of one to three
        return 0.0

    bootstrap_interval(np.arange(8.0), membership, statistic=counts, groups=names, n_resamples=100, confidence=0.9)


def test_each_label_as_its_own_group_changes_nothing():
    scores, membership = simulate(np.random.default_rng(6), 30, 30, shift=1.0)
    alone = bootstrap_interval(scores, membership, groups=np.arange(60))
    assert alone == bootstrap_interval(scores, membership)


def test_the_seed_decides_the_draw_and_blocks_of_resamples_do_not(monkeypatch):
    scores, membership = simulate(np.random.default_rng(7), 50, 50, shift=1.0)
    interval = bootstrap_interval(scores, membership, seed=1)
    assert bootstrap_interval(scores, membership, seed=1) == interval != bootstrap_interval(scores, membership, seed=2)
    monkeypatch.setattr("hf_privacy.statistics.bootstrap._ENTRIES_AT_ONCE", 700)
    assert bootstrap_interval(scores, membership, seed=1) == interval


def test_more_confidence_is_a_wider_interval():
    scores, membership = simulate(np.random.default_rng(7), 50, 50, shift=1.0)
    narrow, wide = (bootstrap_interval(scores, membership, confidence=confidence) for confidence in (0.8, 0.99))
    assert wide[0] < narrow[0] < auc(scores, membership) < narrow[1] < wide[1]


def test_large_samples_agree_with_delong():
    scores, membership = simulate(np.random.default_rng(8), 4000, 6000, shift=0.5)
    ours = bootstrap_interval(scores, membership, n_resamples=400)
    assert ours == pytest.approx(auc_interval(scores, membership), abs=0.003)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_constant_scores_give_one_half_and_a_perfect_attack_one(method):
    membership = np.arange(40) < 20
    assert bootstrap_interval(np.ones(40), membership, method=method) == (0.5, 0.5)
    assert bootstrap_interval(membership.astype(float), membership, method=method) == (1.0, 1.0)


BAD = {
    "statistic": ({"statistic": "f1"}, "statistic is 'f1'"),
    "no target": ({"statistic": "tpr_at_fpr"}, "fpr is None with statistic 'tpr_at_fpr'"),
    "target of another": ({"fpr": 0.1}, "fpr is 0.1 with statistic 'auc'"),
    "target outside": ({"statistic": "tpr_at_fpr", "fpr": 1.0}, "fpr is 1.0"),
    "target too low": ({"statistic": "tpr_at_fpr", "fpr": 0.01}, "4 non-members cannot resolve"),
    "confidence": ({"confidence": 1.0}, "confidence is 1.0"),
    "resamples": ({"n_resamples": 39}, "a confidence of 0.95 needs at least 40"),
    "no resamples": ({"n_resamples": 0}, "n_resamples is 0"),
    "method": ({"method": "basic"}, "method is 'basic'"),
    "groups": ({"groups": [1, 2]}, r"groups have shape \(2,\) for 8 examples"),
    "NaN groups": ({"groups": [np.nan] * 8}, "holds NaN"),
    "mixed groups": ({"groups": np.array([None, "a"] * 4, dtype=object)}, "groups has dtype object"),
    "NaN result": ({"statistic": lambda s, m: np.nan}, "what statistic returned is nan"),
    "vector result": ({"statistic": lambda s, m: s}, "statistic returned"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(InputError, match=message):
        bootstrap_interval(np.arange(8.0), np.arange(8) < 4, **arguments)


def test_bad_scores_are_refused():
    with pytest.raises(InputError, match="1 NaN or infinite"):
        bootstrap_interval([0.1, np.nan], [True, False])
    with pytest.raises(InputError, match="only members"):
        bootstrap_interval([0.1, 0.2], [True, True])
    with pytest.raises(InputError, match="membership has 3 rows"):
        bootstrap_interval([0.1, 0.2], [True, False, True])
