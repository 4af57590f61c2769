"""The ROC curve and its area, exact under ties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import mannwhitneyu, norm

from hf_privacy.statistics import auc, roc, roc_counts


def draw(seed: int, *, decimals: int | None = None, n_members: int = 300, n_nonmembers: int = 200):
    generator = np.random.default_rng(seed)
    scores = np.concatenate([generator.normal(1.0, 1, n_members), generator.normal(0, 1, n_nonmembers)])
    membership = np.arange(n_members + n_nonmembers) < n_members
    order = generator.permutation(len(scores))
    return (scores if decimals is None else scores.round(decimals))[order], membership[order]


def test_curve_starts_at_zero_and_ends_at_one():
    fpr, tpr, thresholds = roc(*draw(0))
    assert (fpr[0], tpr[0], thresholds[0]) == (0.0, 0.0, np.inf)
    assert (fpr[-1], tpr[-1]) == (1.0, 1.0)


def test_each_point_is_what_its_threshold_yields():
    scores, membership = draw(1, decimals=1)
    for fpr, tpr, threshold in zip(*roc(scores, membership), strict=True):
        assert fpr == np.mean(scores[~membership] >= threshold)
        assert tpr == np.mean(scores[membership] >= threshold)


def test_curve_has_one_point_per_distinct_score_and_one_more():
    scores, membership = draw(2, decimals=1)
    thresholds = roc(scores, membership)[2]
    assert thresholds[1:].tolist() == sorted(set(scores.tolist()), reverse=True)


def test_counts_are_whole_numbers_that_end_at_the_class_sizes():
    false_positives, true_positives, _ = roc_counts(*draw(3))
    assert false_positives.dtype == true_positives.dtype == np.int64
    assert (false_positives[-1], true_positives[-1]) == (200, 300)


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_auc_is_the_trapezoid_area_and_the_mann_whitney_statistic(decimals):
    scores, membership = draw(4, decimals=decimals)
    fpr, tpr, _ = roc(scores, membership)
    assert auc(scores, membership) == pytest.approx(trapezoid(tpr, fpr), abs=1e-12)
    statistic = mannwhitneyu(scores[membership], scores[~membership]).statistic
    assert auc(scores, membership) == pytest.approx(statistic / (300 * 200), abs=1e-12)


def test_auc_of_two_gaussians_is_the_closed_form():
    scores, membership = draw(5, n_members=40_000, n_nonmembers=40_000)
    assert auc(scores, membership) == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.006)


def test_constant_scores_give_an_auc_of_one_half():
    assert auc(np.ones(7), np.arange(7) < 3) == 0.5


def test_reversed_scores_mirror_the_auc():
    scores, membership = draw(6, decimals=1)
    assert auc(scores, membership) + auc(-scores, membership) == pytest.approx(1.0, abs=1e-12)


def test_curve_does_not_depend_on_the_order_of_examples():
    scores, membership = draw(7, decimals=1)
    order = np.random.default_rng(0).permutation(len(scores))
    for ours, shuffled in zip(roc(scores, membership), roc(scores[order], membership[order]), strict=True):
        np.testing.assert_array_equal(ours, shuffled)


def test_peer_error_roc_loses_no_area_on_ties():
    # LeakPro: an AUC of .665 became .520 once a tenth of the scores tied at the top.
    scores, membership = draw(8)
    top = np.argsort(-scores)[:50]
    tied = scores.copy()
    tied[top] = scores.max()
    mixed = 50 * 49 / 2 / (300 * 200)  # no more area can change than the pairs that tie
    assert abs(auc(tied, membership) - auc(scores, membership)) < mixed / 2
    fpr, tpr, _ = roc(tied, membership)
    assert trapezoid(tpr, fpr) == pytest.approx(auc(tied, membership), abs=1e-12)
