"""Label-only attacks: right answers under augmentation, distance to the decision boundary."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc, roc


def draw(seed=0, n_references=8, n_queries=5, n_examples=300):
    """Right answers of a target and of reference models, likelier where the model was trained on the example."""
    generator = np.random.default_rng(seed)
    membership = generator.random((n_references + 1, n_examples)) < 0.5
    membership[-2], membership[-1] = False, True  # both sides for everybody
    ease = generator.uniform(0.1, 0.9, n_examples)
    rate = np.where(membership, 0.3 + 0.7 * ease, ease)
    correct = generator.random((n_references + 1, n_queries, n_examples)) < rate[:, np.newaxis]
    return correct[0], membership[0], correct[1:], membership[1:]


def brute_force(correct, references, membership, calibration):
    n_references, n_queries, n_examples = references.shape
    scores = []
    for n in range(n_examples):
        right = int(correct[:, n].sum())
        inside = [int(references[k, q, n]) for k in range(n_references) for q in range(n_queries) if membership[k, n]]
        outside = [
            int(references[k, q, n]) for k in range(n_references) for q in range(n_queries) if not membership[k, n]
        ]
        if calibration == "difference":
            scores.append(right / n_queries - sum(outside) / len(outside))
            continue
        p, q = (sum(inside) + 0.5) / (len(inside) + 1), (sum(outside) + 0.5) / (len(outside) + 1)
        likelihood = [r**right * (1 - r) ** (n_queries - right) for r in (p, q)]
        scores.append(math.log(likelihood[0] / likelihood[1]))
    return scores


def test_without_reference_models_it_is_the_share_of_right_answers():
    np.testing.assert_allclose(attacks.label_only_augmented([[1, 1, 0], [1, 0, 0]]), [1.0, 0.5, 0.0])


@pytest.mark.parametrize("calibration", ["difference", "likelihood"])
def test_calibration_matches_a_loop_over_examples(calibration):
    correct, _, references, membership = draw(n_examples=60)
    scores = attacks.label_only_augmented(
        correct, reference_correct=references, reference_membership=membership, calibration=calibration
    )
    np.testing.assert_allclose(scores, brute_force(correct, references, membership, calibration), atol=1e-9)


def test_members_score_higher_and_calibration_takes_out_how_easy_an_example_is():
    correct, target_membership, references, membership = draw(n_references=32, n_examples=2000)
    plain = auc(attacks.label_only_augmented(correct), target_membership)
    assert plain > 0.55
    for calibration in ("difference", "likelihood"):
        scores = attacks.label_only_augmented(
            correct, reference_correct=references, reference_membership=membership, calibration=calibration
        )
        assert auc(scores, target_membership) > plain + 0.01


def test_gap_attack_one_query_has_the_generalization_gap_as_its_advantage():
    generator = np.random.default_rng(0)
    membership = np.arange(1000) < 400
    correct = generator.random(1000) < np.where(membership, 0.95, 0.7)
    scores = attacks.label_only_augmented(correct)
    np.testing.assert_array_equal(scores, attacks.label_only_augmented(correct[np.newaxis]))
    fpr, tpr, _ = roc(scores, membership)
    gap = correct[membership].mean() - correct[~membership].mean()
    assert np.max(tpr - fpr) == pytest.approx(gap, abs=1e-12)


def test_peer_error_correctness_under_references_that_agree_gives_no_nan():
    # A Gaussian fitted to 0/1 answers has zero variance where all models agree (DeepUnlearn): NaN.
    references, membership = np.ones((4, 2, 3)), np.array([[True] * 3, [False] * 3] * 2)
    scores = attacks.label_only_augmented(
        [[1, 1, 0], [1, 0, 0]], reference_correct=references, reference_membership=membership, calibration="likelihood"
    )
    assert np.all(np.isfinite(scores))


@pytest.mark.parametrize("calibration", ["difference", "likelihood"])
def test_order_of_queries_and_batch_do_not_matter(calibration):
    correct, _, references, membership = draw()

    def score(examples, queries):
        return attacks.label_only_augmented(
            correct[queries][:, examples],
            reference_correct=references[:, queries][:, :, examples],
            reference_membership=membership[:, examples],
            calibration=calibration,
        )

    scores = score(slice(None), slice(None))
    np.testing.assert_allclose(score(slice(None), slice(None, None, -1)), scores, atol=1e-12)
    part = np.random.default_rng(0).permutation(300)[:20]
    np.testing.assert_allclose(score(part, slice(None)), scores[part], atol=1e-12)


@pytest.mark.parametrize(
    ("correct", "options", "message"),
    [
        ([], {}, r"correct has shape \(0,\)"),
        ([[[1]]], {}, r"correct has shape \(1, 1, 1\)"),
        ([0.5], {}, "correct holds values that are neither 0 nor 1"),
        ([np.nan], {}, "correct holds 1 NaN"),
        ([1], {"reference_correct": [[1]]}, "reference_membership is missing"),
        ([1], {"reference_membership": [[True]]}, "reference_correct is missing"),
        ([1], {"calibration": "ratio"}, "calibration is 'ratio'"),
        ([1], {"reference_correct": [[1, 1]], "reference_membership": [[False]]}, r"has shape \(1, 2\) and correct"),
        ([1], {"reference_correct": [[[1]]], "reference_membership": [[False]]}, r"has shape \(1, 1, 1\) and correct"),
        ([1], {"reference_correct": [[2]], "reference_membership": [[False]]}, "reference_correct holds values"),
        ([1], {"reference_correct": [[1]], "reference_membership": [[1]]}, "reference_membership has dtype int"),
        ([1], {"reference_correct": [[1]], "reference_membership": [[True]]}, "IN for all 1 reference models"),
        (
            [1],
            {"reference_correct": [[1]], "reference_membership": [[False]], "calibration": "likelihood"},
            "OUT for all 1 reference models: use calibration='difference'",
        ),
    ],
)
def test_bad_answers_are_refused(correct, options, message):
    with pytest.raises(InputError, match=message):
        attacks.label_only_augmented(correct, **options)


def test_distance_is_zero_or_negative_for_the_misclassified():
    distance, correct = [2.0, 0.5, 0.1], [True, False, True]
    np.testing.assert_array_equal(attacks.label_only_distance(distance, correct), [2.0, 0.0, 0.1])
    np.testing.assert_array_equal(
        attacks.label_only_distance(distance, correct, misclassified="negative"), [2.0, -0.5, 0.1]
    )


@pytest.mark.parametrize("misclassified", ["zero", "negative"])
def test_members_further_from_the_boundary_score_higher(misclassified):
    # Signed distances of members N(1, 1) and of non-members N(0, 1): the AUC is Φ(1/√2) = 0.760.
    generator = np.random.default_rng(0)
    membership = np.arange(4000) < 2000
    signed = generator.normal(membership, 1.0)
    scores = attacks.label_only_distance(np.abs(signed), signed > 0, misclassified=misclassified)
    assert auc(scores, membership) == pytest.approx(0.760, abs=0.025)


@pytest.mark.parametrize(
    ("distance", "correct", "options", "message"),
    [
        ([], [], {}, "distance is empty"),
        ([-1.0], [1], {}, "distance goes down to -1"),
        ([np.inf], [1], {}, "distance holds 1 NaN or infinite"),
        ([1.0], [1, 1], {}, r"correct has shape \(2,\) and distance \(1,\)"),
        ([1.0], [2], {}, "neither 0 nor 1"),
        ([1.0], [1], {"misclassified": "skip"}, "misclassified is 'skip'"),
    ],
)
def test_bad_distances_are_refused(distance, correct, options, message):
    with pytest.raises(InputError, match=message):
        attacks.label_only_distance(distance, correct, **options)
