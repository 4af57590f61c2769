"""MIA efficacy: the forget examples that a fitted threshold calls never seen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_privacy.attacks import modified_entropy
from hf_privacy.errors import InputError
from hf_privacy.forgetting import mia_efficacy
from hf_privacy.statistics import clopper_pearson


def balanced_accuracy(threshold, retain, unseen):
    return (np.mean(retain > threshold) + np.mean(unseen <= threshold)) / 2


def test_efficacy_by_hand_with_its_exact_interval():
    result = mia_efficacy([0.9, 0.4, 0.3, 0.2], retain=[0.8, 0.9, 0.95], unseen=[0.5, 0.3])
    assert result["threshold"] == pytest.approx(0.65)
    assert result["mia_efficacy"] == 0.75
    assert (result["low"], result["high"]) == clopper_pearson(3, 4)
    assert result["balanced_accuracy"] == 1.0


def test_threshold_is_the_best_of_a_brute_force_search():
    generator = np.random.default_rng(0)
    for _ in range(20):
        retain = generator.normal(0.7, 1, 60).round(1)  # rounded, so that there are ties
        unseen = generator.normal(0, 1, 25).round(1)
        result = mia_efficacy([0.0], retain, unseen)
        tried = np.arange(-4, 4, 0.1) + 0.05
        best = max(balanced_accuracy(threshold, retain, unseen) for threshold in tried)
        assert result["balanced_accuracy"] == pytest.approx(best)
        assert balanced_accuracy(result["threshold"], retain, unseen) == pytest.approx(best)


@pytest.mark.parametrize("attack", ["threshold", "logistic"])
def test_both_sides_weigh_one_half_however_many_there_are(attack):
    generator = np.random.default_rng(0)
    retain, unseen = generator.normal(2, 1, 200), generator.normal(0, 1, 200)
    once = mia_efficacy(unseen, retain, unseen, attack=attack)
    many = mia_efficacy(unseen, np.tile(retain, 50), unseen, attack=attack)
    assert many["threshold"] == pytest.approx(once["threshold"], abs=1e-3)


def test_logistic_boundary_of_two_equal_normals_lies_between_them():
    generator = np.random.default_rng(0)
    retain, unseen = generator.normal(2, 1, 20000), generator.normal(0, 1, 5000)
    assert mia_efficacy([0.0], retain, unseen, attack="logistic")["threshold"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("attack", ["threshold", "logistic"])
def test_forget_examples_like_the_retain_set_are_found_and_those_like_unseen_ones_pass(attack):
    generator = np.random.default_rng(0)
    retain, unseen = generator.normal(4, 1, 500), generator.normal(0, 1, 500)
    assert mia_efficacy(generator.normal(4, 1, 300), retain, unseen, attack=attack)["mia_efficacy"] < 0.06
    assert mia_efficacy(generator.normal(0, 1, 300), retain, unseen, attack=attack)["mia_efficacy"] > 0.94


@pytest.mark.parametrize("attack", ["threshold", "logistic"])
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e150])
def test_perfect_separation_is_finite_at_any_scale(attack, scale):
    result = mia_efficacy([0.0, scale], [scale, 2 * scale], [0.0, scale / 4], attack=attack)
    assert result["mia_efficacy"] == 0.5
    assert np.isfinite(result["threshold"])


@pytest.mark.parametrize("attack", ["threshold", "logistic"])
@pytest.mark.parametrize(
    ("retain", "unseen"), [([0.5, 0.5], [0.5]), ([0.1, 0.2], [0.8, 0.9])], ids=["constant model", "reversed"]
)
def test_a_score_that_says_nothing_is_a_fair_coin_and_no_nan(attack, retain, unseen):
    result = mia_efficacy([0.5, 0.4, 0.6], retain, unseen, attack=attack)
    assert (result["mia_efficacy"], result["threshold"]) == (0.5, None)
    assert result["low"] == pytest.approx(1 - result["high"])
    json.dumps(result, allow_nan=False)


def test_salun_modified_entropy_here_has_no_batch_mates():
    """The released one overwrites the true-class columns of all labels in every row."""
    probabilities = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.2, 0.3, 0.5]])
    labels = np.array([0, 1, 2])
    p_label = probabilities[np.arange(3), labels]
    others = probabilities * np.log1p(-probabilities)
    others[np.arange(3), labels] = 0
    ours = -(1 - p_label) * np.log(p_label) - others.sum(axis=1)

    flipped = probabilities.copy()
    flipped[:, labels] = 1 - probabilities[:, labels]  # what is done there, for all rows at once
    log = np.log(1 - probabilities)
    log[:, labels] = np.log(probabilities[:, labels])
    theirs = -(flipped * log).sum(axis=1)
    assert not np.allclose(ours, theirs)

    scores = modified_entropy(ours)
    together = mia_efficacy(scores, [-0.1, -0.2], [-0.9, -1.5])["mia_efficacy"]
    one_by_one = [mia_efficacy(scores[i : i + 1], [-0.1, -0.2], [-0.9, -1.5])["mia_efficacy"] for i in range(3)]
    assert together == pytest.approx(np.mean(one_by_one))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"forget": []}, "forget is empty"),
        ({"retain": [np.nan]}, "retain holds 1 NaN"),
        ({"unseen": [[1.0]]}, "unseen has shape"),
        ({"attack": "svm"}, "attack is 'svm'"),
        ({"confidence": 95}, "confidence is 95"),
    ],
    ids=str,
)
def test_bad_input_is_refused(keywords, message):
    with pytest.raises(InputError, match=message):
        mia_efficacy(**{"forget": [0.1], "retain": [0.2], "unseen": [0.3], **keywords})
