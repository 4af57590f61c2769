"""The summary of an attack."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_privacy.statistics import auc, auc_interval, roc, summarize, tpr_at_fpr


def draw(seed=0, n_members=400, n_nonmembers=1000, decimals=None):
    generator = np.random.default_rng(seed)
    scores = np.concatenate([generator.normal(1.0, 1.2, n_members), generator.normal(0, 1, n_nonmembers)])
    return scores if decimals is None else scores.round(decimals), np.arange(len(scores)) < n_members


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
