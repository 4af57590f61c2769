"""The blind baseline: members told from non-members without the model."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc, auc_interval

# The package gives the function this name.
module = importlib.import_module("hf_privacy.attacks.blind_baseline")


def test_null_behaviour_the_interval_covers_one_half_on_fair_splits():
    # Cross-validated scores fail this: the same interval covers 0.5 in about 84 % of fair splits.
    generator, areas, covered = np.random.default_rng(0), [], []
    for seed in range(250):
        features, membership = generator.normal(size=(100, 5)), generator.permutation(100) < 50
        scores = attacks.blind_baseline(features, membership, seed=seed)
        low, high = auc_interval(scores, membership)
        areas.append(auc(scores, membership))
        covered.append(low <= 0.5 <= high)
    assert np.mean(areas) == pytest.approx(0.5, abs=3.5 * np.std(areas) / np.sqrt(250))
    assert np.mean(covered) > 0.95 - 3.5 * np.sqrt(0.05 * 0.95 / 250)


def test_unequal_numbers_of_members_do_not_pull_the_auc_below_one_half():
    generator, areas = np.random.default_rng(1), []
    for seed in range(60):
        features, membership = generator.normal(size=(150, 2)), generator.permutation(150) < 35
        areas.append(auc(attacks.blind_baseline(features, membership, seed=seed), membership))
    assert np.mean(areas) == pytest.approx(0.5, abs=3.5 * np.std(areas) / np.sqrt(60))


def test_null_behaviour_inputs_that_mostly_coincide_have_an_auc_of_one_half():
    # Members stand first: the order of the examples may not break ties.
    generator, areas, membership = np.random.default_rng(9), [], np.arange(120) < 60
    for seed in range(60):
        features = (generator.random((120, 3)) < 0.2).astype(np.float32)
        areas.append(auc(attacks.blind_baseline(features, membership, seed=seed), membership))
    assert np.mean(areas) == pytest.approx(0.5, abs=3.5 * np.std(areas) / np.sqrt(60))


def test_a_leaky_split_is_seen():
    generator = np.random.default_rng(2)
    membership = generator.random(600) < 0.5
    features = generator.normal(size=(600, 4))
    features[:, 2] += 1.5 * membership
    scores = attacks.blind_baseline(features, membership)
    # Φ(1.5/√2) = 0.856 on the nine tenths that are scored, 0.5 on the first.
    assert auc(scores, membership) == pytest.approx(0.9 * 0.856 + 0.1 * 0.5, abs=0.04)
    assert auc_interval(scores, membership)[0] > 0.5


def test_gradient_boosting_sees_an_interaction_that_logistic_regression_does_not():
    generator = np.random.default_rng(3)
    features = generator.normal(size=(600, 2))
    membership = features[:, 0] * features[:, 1] > 0
    assert auc(attacks.blind_baseline(features, membership), membership) < 0.6
    assert auc(attacks.blind_baseline(features, membership, classifier="gradient_boosting"), membership) > 0.8


def test_wide_inputs_are_projected_and_a_leak_in_many_pixels_is_seen():
    generator = np.random.default_rng(4)
    membership = generator.random(300) < 0.5
    pixels = generator.integers(0, 200, (300, 600)) + 20 * membership[:, np.newaxis]
    scores = attacks.blind_baseline(pixels.astype(np.uint8), membership)
    assert auc(scores, membership) > 0.85


def test_each_fold_is_ranked_by_a_classifier_trained_on_the_folds_before():
    generator = np.random.default_rng(5)
    membership = generator.random(120) < 0.4
    features = generator.normal(size=(120, 3)) + 0.5 * membership[:, np.newaxis]
    scores = attacks.blind_baseline(features, membership, n_folds=3, seed=8)
    folds = module._folds(membership, 3, np.random.default_rng(8))
    assert len(np.unique(np.concatenate(folds))) == sum(map(len, folds)) == 120
    np.testing.assert_array_equal(scores[folds[0]], 0.5)
    for number in (1, 2, 3):
        before, fold = np.concatenate(folds[:number]), folds[number]
        scaler = StandardScaler().fit(features[before])
        fitted = LogisticRegression(max_iter=1000).fit(scaler.transform(features[before]), membership[before])
        log_odds = fitted.decision_function(scaler.transform(features[fold]))
        np.testing.assert_allclose(scores[fold], (rankdata(log_odds) - 0.5) / len(fold), atol=1e-9)


def test_folds_hold_members_and_non_members_in_equal_shares():
    membership = np.arange(1000) < 300
    folds = module._folds(membership, 5, np.random.default_rng(0))
    assert [len(fold) for fold in folds] == [100] + [180] * 5
    assert [int(membership[fold].sum()) for fold in folds] == [30] + [54] * 5


def test_scale_of_the_features_does_not_matter():
    generator = np.random.default_rng(6)
    membership, features = generator.random(100) < 0.5, generator.normal(size=(100, 3))
    scores = attacks.blind_baseline(features, membership)
    np.testing.assert_allclose(
        attacks.blind_baseline(features * [1.0, 100.0, 0.01] + 7.0, membership), scores, atol=1e-9
    )


def test_the_seed_decides_and_nothing_else():
    generator = np.random.default_rng(7)
    membership, features = generator.random(200) < 0.5, generator.normal(size=(200, 60))
    first = attacks.blind_baseline(features, membership, seed=1)
    np.testing.assert_array_equal(attacks.blind_baseline(features, membership, seed=1), first)
    assert np.any(attacks.blind_baseline(features, membership, seed=2) != first)


def test_training_on_a_draw_still_scores_every_example():
    generator = np.random.default_rng(8)
    membership = generator.random(400) < 0.5
    features = generator.normal(size=(400, 1)) + 2.0 * membership[:, np.newaxis]
    scores = attacks.blind_baseline(features, membership, max_rows=40)
    assert np.all((scores > 0) & (scores < 1))
    assert auc(scores, membership) > 0.8


@pytest.mark.parametrize("classifier", ["logistic", "gradient_boosting"])
def test_constant_features_have_an_auc_of_one_half(classifier):
    membership = np.arange(100) % 3 == 0
    scores = attacks.blind_baseline(np.ones((100, 60)), membership, classifier=classifier)
    np.testing.assert_array_equal(scores, 0.5)
    assert auc(scores, membership) == 0.5


GOOD = {"features": np.zeros((80, 2)), "membership": np.arange(80) < 40}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((79, 2))}, r"features has shape \(79, 2\) and membership 80 rows"),
        ({"features": np.zeros(80)}, r"features has shape \(80,\)"),
        ({"features": np.zeros((80, 0))}, r"features has shape \(80, 0\)"),
        ({"features": np.full((80, 2), np.nan)}, "features holds 160 NaN"),
        ({"features": np.full((80, 1), "a")}, "features has dtype"),
        ({"membership": np.arange(80)}, "membership has dtype int"),
        ({"membership": np.ones(80, bool)}, "80 members and 0 non-members: pass at least 30 of each for n_folds=5"),
        ({"membership": np.arange(80) < 29}, "29 members and 51 non-members: pass at least 30"),
        ({"n_folds": 0}, "n_folds is 0"),
        ({"n_folds": 8}, "pass at least 45 of each for n_folds=8"),
        ({"n_components": 0}, "n_components is 0"),
        ({"max_rows": 5}, "max_rows is 5"),
        ({"classifier": "mlp"}, "classifier is 'mlp'"),
        ({"seed": 2**32}, "seed is 4294967296"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        attacks.blind_baseline(**(GOOD | change))


# ---- by groups ----


def grouped(rng, n_groups=24, size=10):
    """Groups that differ: every column says whose row it is, and who is a member is drawn by whole groups."""
    groups = np.repeat(np.arange(2 * n_groups), size)
    membership = (rng.permutation(2 * n_groups) < n_groups)[groups]
    features = rng.normal(size=(2 * n_groups, 5))[groups] + 0.1 * rng.normal(size=(len(groups), 5))
    return features, membership, groups


@pytest.mark.parametrize("classifier", ["logistic", "random_forest"])
def test_what_is_a_groups_own_tells_nothing_by_group_and_everything_by_row(classifier):
    rng, areas, by_row, covered = np.random.default_rng(0), [], [], []
    runs = 20 if classifier == "logistic" else 3
    for seed in range(runs):
        features, membership, groups = grouped(rng)
        options = {"classifier": classifier, "seed": seed}
        scores = attacks.blind_baseline(features, membership, groups=groups, **options)
        areas.append(auc(scores, membership))
        low, high = auc_interval(scores, membership, groups=groups)
        covered.append(low <= 0.5 <= high)
        if classifier == "random_forest":
            by_row.append(auc(attacks.blind_baseline(features, membership, **options), membership))
    # Twenty groups a side: an AUC of one run has a standard deviation near .1.
    assert np.mean(areas) == pytest.approx(0.5, abs=3.5 * max(np.std(areas), 0.08) / np.sqrt(runs))
    assert np.mean(covered) > 0.95 - 3.5 * np.sqrt(0.05 * 0.95 / runs)
    assert not by_row or min(by_row) > 0.9


def test_a_difference_between_the_groups_of_two_sides_is_found():
    features, membership, groups = grouped(np.random.default_rng(1))
    features[:, 3] += 4 * membership
    scores = attacks.blind_baseline(features, membership, groups=groups)
    assert auc_interval(scores, membership, groups=groups)[0] > 0.6


def test_no_group_is_in_two_folds_and_each_fold_has_both_sides():
    _, membership, groups = grouped(np.random.default_rng(2), n_groups=9, size=7)
    units = module._units(groups, membership, 5)
    for seed in range(20):
        folds = module._folds(membership, 5, np.random.default_rng(seed), units)
        assert sorted(np.concatenate(folds).tolist()) == list(range(len(groups)))
        names = [set(groups[fold]) for fold in folds]
        assert sum(map(len, names)) == len(set(groups))
        assert all(0 < membership[fold].mean() < 1 for fold in folds)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(120) // 2, "groups hold 60 with members and non-members"),
        (np.arange(120) % 8, "groups are 4 of members and 4 of non-members: pass at least 6 of each for n_folds=5"),
        (np.arange(9), r"groups have shape \(9,\) for 120 examples"),
    ],
)
def test_groups_that_make_no_folds_are_refused(groups, message):
    with pytest.raises(InputError, match=message):
        attacks.blind_baseline(np.zeros((120, 2)), np.arange(120) % 2 == 0, groups=groups)
