"""Thresholds per class, and modified entropy measured from them."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc


def draw(seed=0, n_examples=900, n_models=1):
    """Scores at most 0 of three classes that differ in how certain the model is; members lie nearer to 0."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n_examples) % 3
    membership = generator.random((n_models, n_examples)) < 0.5
    scale = np.array([0.1, 1.0, 10.0])[labels] * np.where(membership, 0.4, 1.0)
    return -generator.gamma(3.0, scale), membership, labels


def brute_force(scores, membership):
    """Highest of the scores that cuts with the highest balanced accuracy."""
    best = (-1.0, 0.0)
    for threshold in scores:
        called = scores >= threshold
        best = max(best, (called[membership].mean() + (~called)[~membership].mean(), threshold))
    return best[1]


@pytest.mark.parametrize("decimals", [9, 1])  # with few ties and with many
def test_thresholds_match_a_search_over_every_score(decimals):
    scores, membership, labels = draw(n_examples=90)
    scores, membership = scores[0].round(decimals), membership[0]
    expected = [brute_force(scores[labels == c], membership[labels == c]) for c in range(3)]
    np.testing.assert_array_equal(attacks.class_thresholds(scores, membership, labels), expected)


def test_several_reference_models_are_taken_together():
    scores, membership, labels = draw(n_models=4, n_examples=60)
    together = attacks.class_thresholds(scores.ravel(), membership.ravel(), np.tile(labels, 4))
    np.testing.assert_array_equal(attacks.class_thresholds(scores, membership, labels), together)


def test_order_of_examples_does_not_matter():
    scores, membership, labels = draw()
    order = np.random.default_rng(1).permutation(len(labels))
    np.testing.assert_array_equal(
        attacks.class_thresholds(scores[:, order], membership[:, order], labels[order]),
        attacks.class_thresholds(scores, membership, labels),
    )


def test_the_side_of_the_threshold_tells_members():
    scores, membership, labels = draw(n_examples=3000)
    thresholds = attacks.class_thresholds(scores, membership, labels)
    target, target_membership, _ = draw(seed=1, n_examples=3000)
    called = attacks.modified_entropy(-target[0], labels=labels, thresholds=thresholds) >= 0
    accuracy = 0.5 * (called[target_membership[0]].mean() + (~called)[~target_membership[0]].mean())
    # Gamma(3) with scales 0.4 and 1 cut at their crossing, x = 3·log(2.5)/1.5: (F(x/0.4) + 1 − F(x))/2.
    x = 3 * np.log(2.5) / 1.5
    below = [1 - np.exp(-t) * (1 + t + t * t / 2) for t in (x / 0.4, x)]
    assert accuracy == pytest.approx(0.5 * (below[0] + 1 - below[1]), abs=0.03)


def test_constant_scores_give_themselves_as_threshold_and_an_auc_of_one_half():
    membership = np.arange(10) % 2 == 0
    thresholds = attacks.class_thresholds(np.full(10, -1.0), membership, np.zeros(10, int))
    scores = attacks.modified_entropy(np.ones(10), labels=np.zeros(10, int), thresholds=thresholds)
    np.testing.assert_array_equal(scores, 0.0)
    assert auc(scores, membership) == 0.5


def test_a_class_with_one_side_is_refused_or_takes_the_overall_threshold():
    scores, membership, labels = draw(n_examples=90)
    membership[0, labels == 1] = True
    with pytest.raises(InputError, match=r"1 of 3 classes \(the first is 1\) have no members or no non-members"):
        attacks.class_thresholds(scores, membership, labels)
    thresholds = attacks.class_thresholds(scores, membership, labels, scarce="overall", n_classes=4)
    assert thresholds[1] == thresholds[3] == brute_force(scores[0], membership[0])
    assert thresholds[0] == brute_force(scores[0, labels == 0], membership[0, labels == 0])


@pytest.mark.parametrize(
    ("scores", "membership", "labels", "options", "message"),
    [
        ([], [], [], {}, r"scores have shape \(0,\)"),
        ([1.0, np.nan], [True, False], [0, 0], {}, "scores holds 1 NaN"),
        ([1.0, 2.0], [True, True], [0, 0], {}, "holds only one side"),
        ([1.0, 2.0], [1, 0], [0, 0], {}, "dtype int"),
        ([1.0, 2.0], [True], [0, 0], {}, r"membership has shape \(1,\)"),
        ([1.0, 2.0], [True, False], [0], {}, r"labels has shape \(1,\): pass 2 classes"),
        ([1.0, 2.0], [True, False], [0, 0.5], {}, "labels holds values that are no classes"),
        ([1.0, 2.0], [True, False], [0, -1], {}, "labels holds values that are no classes"),
        ([1.0, 2.0], [True, False], [0, 0], {"n_classes": 0}, "n_classes is 0: pass a whole number of at least 1"),
        ([1.0, 2.0], [True, False], [0, 0], {"scarce": "ignore"}, "scarce is 'ignore'"),
    ],
)
def test_bad_input_is_refused(scores, membership, labels, options, message):
    with pytest.raises(InputError, match=message):
        attacks.class_thresholds(scores, membership, labels, **options)


def test_modified_entropy_is_measured_from_the_threshold_of_the_class():
    scores = attacks.modified_entropy([0.5, 0.5, 2.0], labels=[0, 1, 1], thresholds=[-0.25, -1.0])
    np.testing.assert_allclose(scores, [-0.25, 0.5, -1.0])


def test_thresholds_help_where_classes_differ_in_certainty():
    scores, membership, labels = draw(n_examples=3000)
    thresholds = attacks.class_thresholds(scores, membership, labels)
    target, target_membership, _ = draw(seed=1, n_examples=3000)
    with_thresholds = attacks.modified_entropy(-target[0], labels=labels, thresholds=thresholds)
    without = attacks.modified_entropy(-target[0])
    assert auc(with_thresholds, target_membership[0]) > auc(without, target_membership[0]) + 0.05


def test_peer_error_modified_entropy_depends_on_batch_mates():
    generator = np.random.default_rng(0)
    values, labels, thresholds = generator.exponential(size=50), np.arange(50) % 3, [-0.1, -1.0, -2.0]
    whole = attacks.modified_entropy(values, labels=labels, thresholds=thresholds)
    alone = [
        attacks.modified_entropy([v], labels=[y], thresholds=thresholds)[0]
        for v, y in zip(values, labels, strict=True)
    ]
    np.testing.assert_array_equal(whole, alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [0]}, "thresholds is missing"),
        ({"thresholds": [-1.0]}, "labels is missing"),
        ({"labels": [1], "thresholds": [-1.0]}, "labels go up to 1 and there are 1 thresholds"),
        ({"labels": [0, 0], "thresholds": [-1.0]}, "labels has shape"),
        ({"labels": [0], "thresholds": [np.nan]}, "thresholds holds 1 NaN"),
        ({"labels": [0], "thresholds": [0.5]}, "thresholds go up to 0.5: pass them on the scale of the score"),
    ],
)
def test_modified_entropy_refuses_bad_thresholds(options, message):
    with pytest.raises(InputError, match=message):
        attacks.modified_entropy([0.5], **options)
