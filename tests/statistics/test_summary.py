"""TPR at a false positive rate, and the summary of an attack."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.statistics import auc, auc_interval, clopper_pearson, roc, summarize, tpr_at_fpr


def draw(seed=0, n_members=400, n_nonmembers=1000, decimals=None):
    generator = np.random.default_rng(seed)
    scores = np.concatenate([generator.normal(1.0, 1.2, n_members), generator.normal(0, 1, n_nonmembers)])
    return scores if decimals is None else scores.round(decimals), np.arange(len(scores)) < n_members


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("fpr", [0.001, 0.01, 0.0137, 0.1, 0.5])
def test_tpr_is_the_best_of_all_thresholds_not_above_the_target(fpr, decimals):
    scores, membership = draw(decimals=decimals)
    allowed = [
        np.mean(scores[membership] >= threshold)
        for threshold in [*scores, np.inf]
        if np.mean(scores[~membership] >= threshold) <= fpr
    ]
    assert tpr_at_fpr(scores, membership, fpr=fpr)["tpr"] == max(allowed)


def test_tpr_is_never_interpolated():
    # One step from (0, 0) to (0.5, 1): a line would promise a TPR of 0.2 at an FPR of 0.1.
    scores = np.array([1.0] * 10 + [1.0] * 5 + [0.0] * 5)
    assert tpr_at_fpr(scores, np.arange(20) < 10, fpr=0.1)["tpr"] == 0.0


def test_tpr_has_the_clopper_pearson_interval_of_its_members():
    result = tpr_at_fpr(*draw(), fpr=0.01, confidence=0.9)
    assert (result["low"], result["high"]) == clopper_pearson(round(result["tpr"] * 400), 400, confidence=0.9)


def test_a_target_that_the_nonmembers_cannot_resolve_is_refused_with_the_reason():
    result = tpr_at_fpr(*draw(n_nonmembers=999), fpr=0.001)
    assert result["tpr"] is result["low"] is result["high"] is None
    assert result["reason"].startswith("999 non-members cannot resolve a false positive rate of 0.001")
    assert "reason" not in tpr_at_fpr(*draw(n_nonmembers=1000), fpr=0.001)


@pytest.mark.parametrize(("n_nonmembers", "fpr"), [(10, 0.1), (30, 0.1), (1000, 1e-3), (3, 1 / 3), (70, 0.1)])
def test_a_target_met_exactly_is_not_lost_to_rounding(n_nonmembers, fpr):
    scores = np.arange(n_nonmembers + 1.0)[::-1]  # non-members rank above the member but for the allowed ones
    allowed = round(n_nonmembers * fpr)
    membership = np.zeros(n_nonmembers + 1, dtype=bool)
    membership[allowed] = True
    assert tpr_at_fpr(scores, membership, fpr=fpr)["tpr"] == 1.0


@pytest.mark.parametrize("fpr", [0, 1, 1.5, -0.1, float("nan"), "low"])
def test_a_target_outside_zero_and_one_is_refused(fpr):
    with pytest.raises(InputError, match="fpr is"):
        tpr_at_fpr(*draw(), fpr=fpr)
    with pytest.raises(InputError, match="fprs holds"):
        summarize(*draw(), fprs=[0.1, fpr])


def test_summary_gathers_the_figures_of_the_single_functions():
    scores, membership = draw(decimals=2)
    summary = summarize(scores, membership, fprs=(1e-4, 1e-2), confidence=0.9)
    fpr, tpr, _ = roc(scores, membership)
    assert summary["auc"] == auc(scores, membership)
    assert (summary["auc_low"], summary["auc_high"]) == auc_interval(scores, membership, confidence=0.9)
    assert summary["advantage"] == pytest.approx(np.max(tpr - fpr), abs=1e-15)
    assert summary["balanced_accuracy"] == pytest.approx(np.max(tpr + 1 - fpr) / 2, abs=1e-15)
    assert summary["tpr_at_fpr"] == [
        tpr_at_fpr(scores, membership, fpr=target, confidence=0.9) for target in (1e-4, 1e-2)
    ]
    assert (summary["n_members"], summary["n_nonmembers"], summary["confidence"]) == (400, 1000, 0.9)


def test_summary_holds_plain_python_numbers():
    summary = summarize(
        *(np.asarray(part) for part in draw()), fprs=np.array([0.01, 0.1]), confidence=np.float32(0.95)
    )
    assert {type(value) for value in summary.values()} == {float, int, list}
    assert all(type(value) is float for rate in summary["tpr_at_fpr"] for value in rate.values())
    assert json.loads(json.dumps(summary)) == summary


def test_summary_of_an_inverted_attack_has_no_negative_advantage():
    scores, membership = np.arange(20.0), np.arange(20) < 10
    summary = summarize(scores, membership)
    assert (summary["auc"], summary["advantage"], summary["balanced_accuracy"]) == (0.0, 0.0, 0.5)


def test_null_behaviour_random_scores_leave_one_half_in_the_interval():
    generator = np.random.default_rng(0)
    misses = 0
    for _ in range(400):
        scores, membership = generator.normal(size=200), generator.permutation(200) < 100
        summary = summarize(scores, membership, fprs=())
        misses += not summary["auc_low"] <= 0.5 <= summary["auc_high"]
    assert misses / 400 <= 0.08  # stated: 0.05; three standard errors above
