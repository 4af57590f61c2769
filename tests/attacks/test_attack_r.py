"""Attack-R: the loss among the losses of models trained without the example."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc


def draw(seed=0, n_references=8, n_examples=400):
    """Losses of a target and of reference models, a third as high where the model was trained on the example."""
    generator = np.random.default_rng(seed)
    membership = generator.random((n_references + 1, n_examples)) < 0.5
    membership[-1] = False  # everybody is OUT for one at least
    hardness = generator.exponential(size=n_examples)
    losses = generator.exponential(hardness * np.where(membership, 1 / 3, 1.0))
    return losses[0], membership[0], losses[1:], membership[1:]


def test_attack_r_is_the_share_of_out_reference_losses_strictly_above():
    loss, _, references, membership = draw(1)
    loss, references = loss.round(1), references.round(1)  # ties
    expected = []
    for n, value in enumerate(loss):
        out = [references[k, n] for k in range(len(references)) if not membership[k, n]]
        expected.append(sum(other > value for other in out) / len(out))
    np.testing.assert_allclose(attacks.attack_r(loss, references, membership), expected, atol=1e-9)


def test_a_tied_loss_counts_as_not_above():
    assert attacks.attack_r([1.0], [[1.0], [2.0]], [[False], [False]])[0] == 0.5


def test_it_takes_out_how_hard_an_example_is():
    loss, target_membership, references, membership = draw(n_references=32, n_examples=2000)
    scores = attacks.attack_r(loss, references, membership)
    assert auc(scores, target_membership) > auc(attacks.loss(loss), target_membership) + 0.02


def test_without_leakage_one_minus_the_score_is_the_false_positive_rate():
    generator = np.random.default_rng(2)
    losses = generator.exponential(generator.exponential(size=5000), size=(20, 5000))
    scores = attacks.attack_r(losses[0], losses[1:], np.zeros((19, 5000), bool))
    for share in range(1, 20):
        assert np.mean(scores >= share / 19 - 1e-12) == pytest.approx(1 - share / 20, abs=0.03)


def test_in_reference_models_are_not_read_for_the_share():
    loss, _, references, membership = draw()
    other = np.where(membership, 1e6, references)
    np.testing.assert_array_equal(
        attacks.attack_r(loss, references, membership), attacks.attack_r(loss, other, membership)
    )


def test_rows_kept_apart_are_taken_as_they_are():
    loss, _, references, membership = draw()
    np.testing.assert_array_equal(
        attacks.attack_r(loss, list(references), list(membership)), attacks.attack_r(loss, references, membership)
    )


@pytest.mark.parametrize(
    ("loss", "references", "membership", "message"),
    [
        ([], np.zeros((2, 0)), np.zeros((2, 0), bool), "loss is empty"),
        ([np.nan], [[1.0]], [[False]], "loss holds 1 NaN"),
        ([-1.0], [[1.0]], [[False]], "sign may be turned"),
        ([1.0], [[-1.0]], [[False]], "reference_losses goes down to -1"),
        ([1.0], [[np.inf]], [[False]], "reference_losses holds 1 NaN or infinite"),
        ([1.0, 2.0], [[1.0]], [[False]], r"reference_losses has shape \(1, 1\) and loss 2 examples"),
        ([1.0], [1.0], [[False]], r"reference_losses has shape \(1,\)"),
        ([1.0], np.zeros((0, 1)), np.zeros((0, 1), bool), r"reference_losses has shape \(0, 1\)"),
        ([1.0], [[1.0]], [[0]], "reference_membership has dtype int"),
        ([1.0], [[1.0]], [[False], [True]], r"reference_membership has shape \(2, 1\)"),
        ([1.0, 1.0], [[1.0, 1.0]], [[True, False]], "1 of 2 examples IN for all 1 reference models"),
    ],
)
def test_bad_input_is_refused(loss, references, membership, message):
    with pytest.raises(InputError, match=message):
        attacks.attack_r(loss, references, membership)
