"""BASE: the target's log-probability less that of an average of reference models."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc

MODES = ("all", "balanced", "offline")


def draw(seed=0, n_references=6, n_examples=300):
    """Log-probabilities of a target and of reference models, nearer to 0 for what the model was trained on."""
    generator = np.random.default_rng(seed)
    membership = generator.random((n_references + 1, n_examples)) < 0.4
    membership[-2], membership[-1] = False, True  # both sides for everybody
    logit = generator.normal(0, 3, n_examples) + 2.0 * membership + generator.normal(0, 0.5, membership.shape)
    log_prob = -np.logaddexp(0.0, -logit)
    return log_prob[0], membership[0], log_prob[1:], membership[1:]


def brute_force(log_prob, references, membership, mode):
    scores = []
    for n, value in enumerate(log_prob):
        inside = [math.exp(row[n]) for row, is_in in zip(references, membership, strict=True) if is_in[n]]
        outside = [math.exp(row[n]) for row, is_in in zip(references, membership, strict=True) if not is_in[n]]
        mean = {
            "all": lambda i, o: sum(i + o) / len(i + o),
            "balanced": lambda i, o: (sum(i) / len(i) + sum(o) / len(o)) / 2,
            "offline": lambda i, o: sum(o) / len(o),
        }[mode](inside, outside)
        scores.append(value - math.log(mean))
    return scores


@pytest.mark.parametrize("mode", MODES)
def test_base_matches_a_loop_over_examples(mode):
    log_prob, _, references, membership = draw()
    scores = attacks.base(log_prob, references, reference_membership=membership, mode=mode)
    np.testing.assert_allclose(scores, brute_force(log_prob, references, membership, mode), atol=1e-9)


def test_the_default_is_all_without_membership_and_balanced_with_it():
    log_prob, _, references, membership = draw()
    np.testing.assert_array_equal(attacks.base(log_prob, references), attacks.base(log_prob, references, mode="all"))
    np.testing.assert_array_equal(
        attacks.base(log_prob, references, reference_membership=membership),
        attacks.base(log_prob, references, reference_membership=membership, mode="balanced"),
    )


def test_one_reference_model_gives_the_difference_of_the_two():
    log_prob, _, references, _ = draw()
    np.testing.assert_allclose(
        attacks.base(log_prob, references[:1]), attacks.base_calibration(log_prob, references[0]), atol=1e-12
    )


def test_balanced_equals_all_where_there_are_as_many_in_as_out():
    log_prob, _, references, _ = draw()
    membership = np.arange(6)[:, np.newaxis] < np.full(300, 3)
    np.testing.assert_allclose(
        attacks.base(log_prob, references, reference_membership=membership, mode="balanced"),
        attacks.base(log_prob, references),
        atol=1e-12,
    )


@pytest.mark.parametrize("mode", MODES)
def test_members_score_higher(mode):
    log_prob, target_membership, references, membership = draw(n_references=16, n_examples=1000)
    scores = attacks.base(log_prob, references, reference_membership=membership, mode=mode)
    assert auc(scores, target_membership) > 0.8
    assert auc(scores, target_membership) > auc(log_prob, target_membership)


@pytest.mark.parametrize("mode", MODES)
def test_probabilities_that_underflow_keep_their_order(mode):
    references, membership = [[-1000.0] * 2, [-1010.0] * 2], [[True] * 2, [False] * 2]
    scores = attacks.base([-900.0, -950.0], references, reference_membership=membership, mode=mode)
    assert np.all(np.isfinite(scores))
    assert scores[0] - scores[1] == pytest.approx(50.0)


@pytest.mark.parametrize("mode", MODES)
def test_order_of_references_and_batch_do_not_matter(mode):
    log_prob, _, references, membership = draw()
    scores = attacks.base(log_prob, references, reference_membership=membership, mode=mode)
    turned = attacks.base(log_prob, references[::-1], reference_membership=membership[::-1], mode=mode)
    np.testing.assert_allclose(turned, scores, atol=1e-12)
    part = np.random.default_rng(0).permutation(len(log_prob))[:40]
    alone = attacks.base(log_prob[part], references[:, part], reference_membership=membership[:, part], mode=mode)
    np.testing.assert_allclose(alone, scores[part], atol=1e-12)


def test_rows_kept_apart_are_taken_as_they_are():
    log_prob, _, references, _ = draw()
    np.testing.assert_array_equal(attacks.base(log_prob, list(references)), attacks.base(log_prob, references))


@pytest.mark.parametrize(
    ("log_prob", "references", "options", "message"),
    [
        ([], np.zeros((2, 0)), {}, "log_prob is empty"),
        ([0.5], [[-1.0]], {}, "log_prob goes up to 0.5: a log-probability is at most 0, pass −loss"),
        ([-1.0], [[0.5]], {}, "reference_log_probs goes up to 0.5"),
        ([-np.inf], [[-1.0]], {}, "log_prob holds 1 NaN or infinite"),
        ([-1.0], [[np.nan]], {}, "reference_log_probs holds 1 NaN"),
        ([-1.0], [[-1.0, -1.0]], {}, r"reference_log_probs has shape \(1, 2\) and log_prob 1 examples"),
        ([-1.0], np.zeros((0, 1)), {}, r"reference_log_probs has shape \(0, 1\)"),
        ([-1.0], -1.0, {}, r"reference_log_probs has shape \(\)"),
        ([-1.0], [[-1.0]], {"mode": "online"}, "mode is 'online'"),
        ([-1.0], [[-1.0]], {"mode": "offline"}, "reference_membership is missing"),
        ([-1.0], [[-1.0]], {"mode": "offline", "reference_membership": [[True]]}, "IN for all 1"),
        ([-1.0], [[-1.0]], {"mode": "balanced", "reference_membership": [[False]]}, "OUT for all 1"),
        ([-1.0], [[-1.0]], {"mode": "offline", "reference_membership": [[0]]}, "has dtype int"),
    ],
)
def test_bad_input_is_refused(log_prob, references, options, message):
    with pytest.raises(InputError, match=message):
        attacks.base(log_prob, references, **options)
