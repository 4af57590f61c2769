"""A classifier trained on reference models' signals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc

CLASSIFIERS = ("logistic", "mlp", "forest")


def draw(seed=0, n_references=4, n_examples=300, share=0.5, shift=2.0):
    """Two signals of a target and of reference models; the first is ``shift`` higher for members, the second noise."""
    generator = np.random.default_rng(seed)
    membership = generator.random((n_references + 1, n_examples)) < share
    signals = generator.normal(size=(n_references + 1, n_examples, 2))
    signals[:, :, 0] += shift * membership
    return signals[0], membership[0], signals[1:], membership[1:]


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_members_score_higher(classifier):
    signals, truth, references, membership = draw()
    scores = attacks.shadow_classifier(signals, references, membership, classifier=classifier)
    assert auc(scores, truth) == pytest.approx(0.921, abs=0.05)  # Φ(2/√2), the most there is


@pytest.mark.parametrize("share", [0.5, 0.15])
def test_log_odds_of_normal_signals_are_their_likelihood_ratio_whatever_the_share_of_in(share):
    _, _, references, membership = draw(n_references=20, n_examples=1000, share=share, shift=1.0)
    points = np.zeros((1000, 2))
    points[:, 0] = np.linspace(-2, 3, 1000)
    scores = attacks.shadow_classifier(points, references, membership)
    np.testing.assert_allclose(scores, points[:, 0] - 0.5, atol=0.25)  # log N(x; 1, 1) − log N(x; 0, 1)


def test_one_classifier_a_class_is_the_same_as_the_classes_apart():
    signals, _, references, membership = draw()
    labels = np.arange(300) % 3
    references[:, labels == 1, 0] *= -1  # a class whose members have lower signals
    scores = attacks.shadow_classifier(signals, references, membership, labels=labels)
    for number in range(3):
        columns = labels == number
        alone = attacks.shadow_classifier(signals[columns], references[:, columns], membership[:, columns])
        np.testing.assert_allclose(scores[columns], alone, atol=1e-9)


def test_classifiers_a_class_help_where_classes_differ():
    signals, truth, references, membership = draw()
    labels = np.arange(300) % 2
    signals[labels == 1, 0] *= -1
    references[:, labels == 1, 0] *= -1
    assert auc(attacks.shadow_classifier(signals, references, membership), truth) < 0.65
    assert auc(attacks.shadow_classifier(signals, references, membership, labels=labels), truth) > 0.85


def test_the_network_is_read_before_its_sigmoid():
    signals, _, references, membership = draw(n_examples=100)
    scores = attacks.shadow_classifier(signals, references, membership, classifier="mlp", seed=3)
    scaler = StandardScaler().fit(references.reshape(-1, 2))
    network = MLPClassifier((64,), random_state=3).fit(scaler.transform(references.reshape(-1, 2)), membership.ravel())
    log_probability = network.predict_log_proba(scaler.transform(signals))
    prior = np.log(membership.sum() / (~membership).sum())
    np.testing.assert_allclose(scores, log_probability[:, 1] - log_probability[:, 0] - prior, atol=1e-9)


@pytest.mark.parametrize("classifier", ["logistic", "mlp"])
def test_scores_of_the_most_exposed_do_not_tie_by_rounding(classifier):
    _, _, references, membership = draw()
    points = np.zeros((300, 2))
    points[:, 0] = np.linspace(50, 500, 300)  # probabilities that all round to 1
    scores = attacks.shadow_classifier(points, references, membership, classifier=classifier)
    assert scores.min() > 37
    assert len(np.unique(scores)) == 300


def test_one_signal_may_come_without_its_axis():
    signals, _, references, membership = draw()
    np.testing.assert_array_equal(
        attacks.shadow_classifier(signals[:, 0], references[:, :, 0], membership),
        attacks.shadow_classifier(signals[:, :1], references[:, :, :1], membership),
    )


def test_one_reference_model_is_enough():
    signals, truth, references, membership = draw(n_references=1)
    assert auc(attacks.shadow_classifier(signals, references, membership), truth) > 0.85


def test_rows_kept_apart_are_taken_as_they_are():
    signals, _, references, membership = draw()
    np.testing.assert_array_equal(
        attacks.shadow_classifier(signals, list(references), list(membership)),
        attacks.shadow_classifier(signals, references, membership),
    )


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_the_score_of_an_example_does_not_depend_on_the_targets_signals_of_others(classifier):
    signals, _, references, membership = draw()
    scores = attacks.shadow_classifier(signals, references, membership, classifier=classifier)
    signals[1:] = 5.0
    other = attacks.shadow_classifier(signals, references, membership, classifier=classifier)
    assert other[0] == pytest.approx(scores[0], abs=1e-9)


def test_at_most_max_rows_are_drawn_by_the_seed():
    signals, truth, references, membership = draw()
    first = attacks.shadow_classifier(signals, references, membership, max_rows=100, seed=1)
    np.testing.assert_array_equal(
        attacks.shadow_classifier(signals, references, membership, max_rows=100, seed=1), first
    )
    assert np.any(attacks.shadow_classifier(signals, references, membership, max_rows=100, seed=2) != first)
    assert auc(first, truth) > 0.85


def test_rows_that_are_not_drawn_are_checked_all_the_same():
    signals, _, references, membership = draw()
    references[-1, -1, -1] = np.nan
    for seed in range(5):
        with pytest.raises(InputError, match="reference_signals holds 1 NaN"):
            attacks.shadow_classifier(signals, references, membership, max_rows=20, seed=seed)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_equal_signals_have_equal_scores_wherever_they_stand(classifier):
    _, _, references, membership = draw()
    points = np.tile([[0.3, -0.7], [1.1, 0.4], [0.1, 0.9]], (101, 1))[:300]
    scores = attacks.shadow_classifier(points, references, membership, classifier=classifier)
    assert len(np.unique(scores)) <= 3


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_constant_signals_have_an_auc_of_one_half(classifier):
    _, truth, _, membership = draw(n_examples=50)
    scores = attacks.shadow_classifier(np.ones((50, 2)), np.ones((4, 50, 2)), membership, classifier=classifier)
    assert auc(scores, truth) == 0.5


GOOD = {
    "signals": [0.0, 1.0],
    "reference_signals": [[0.0, 1.0], [1.0, 0.0]],
    "reference_membership": [[True, False], [False, True]],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signals": []}, r"signals has shape \(0,\)"),
        ({"signals": [np.nan, 0.0]}, "signals holds 1 NaN"),
        ({"signals": [0.0]}, r"reference model of shape \(2,\) and signals \(1,\)"),
        ({"reference_signals": []}, r"reference_signals is empty"),
        ({"reference_signals": 1.0}, "single number"),
        ({"reference_signals": [[0.0, np.inf], [1.0, 0.0]]}, "reference_signals holds 1 NaN or infinite"),
        ({"reference_membership": [[True, False]]}, r"reference_membership has shape \(1, 2\)"),
        ({"reference_membership": [[1, 0], [0, 1]]}, "reference_membership has dtype int"),
        ({"reference_membership": [[True, True], [True, True]]}, "holds only IN in the 4 rows to train on"),
        (
            {"reference_membership": [[False, True], [False, True]], "labels": [0, 1]},
            "only OUT in the 2 rows of class 0",
        ),
        ({"labels": [0]}, r"labels has shape \(1,\)"),
        ({"classifier": "svm"}, "classifier is 'svm'"),
        ({"max_rows": 1}, "max_rows is 1"),
        ({"seed": 0.5}, "seed is 0.5"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        attacks.shadow_classifier(**(GOOD | change))
