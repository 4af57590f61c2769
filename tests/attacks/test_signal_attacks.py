"""LOSS, modified entropy, Attack-P and calibration by the base checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc


def draw(seed=0):
    """Losses of 300 members, lower on average, and of 200 non-members."""
    generator = np.random.default_rng(seed)
    membership = np.arange(500) < 300
    return generator.exponential(np.where(membership, 0.3, 1.0)), membership, generator


def test_loss_is_the_loss_with_its_sign_turned():
    np.testing.assert_array_equal(attacks.loss([0.0, 0.5, 3.0]), [0.0, -0.5, -3.0])


def test_modified_entropy_is_its_value_with_its_sign_turned():
    np.testing.assert_array_equal(attacks.modified_entropy([0.0, 0.5, 3.0]), [0.0, -0.5, -3.0])


def test_attack_p_is_the_share_of_population_losses_strictly_above():
    generator = np.random.default_rng(1)
    losses, population = generator.exponential(size=50).round(1), generator.exponential(size=30).round(1)
    table = (population[None, :] > losses[:, None]).mean(axis=1)
    scores = attacks.attack_p(losses, population)
    np.testing.assert_allclose(scores, table, atol=1e-9)
    np.testing.assert_array_equal(rankdata(scores), rankdata(-losses))  # as LOSS orders them


def test_attack_p_on_a_population_of_the_nonmembers_themselves_does_not_favour_members():
    # In steps of that population alone, every member would tie with the non-member below it: 0.5 + 0.5/n.
    generator = np.random.default_rng(5)
    areas = []
    for _ in range(400):
        losses, membership = generator.exponential(size=24), generator.permutation(24) < 12
        areas.append(auc(attacks.attack_p(losses, losses[~membership]), membership))
    assert np.mean(areas) == pytest.approx(0.5, abs=3 * 0.12 / np.sqrt(400))


def test_attack_p_false_positive_rate_is_one_minus_the_score():
    generator = np.random.default_rng(2)
    scores = attacks.attack_p(generator.exponential(size=20_000), generator.exponential(size=20_000))
    for target in (0.01, 0.1):
        assert np.mean(scores >= 1 - target) == pytest.approx(target, rel=0.2)


def test_base_calibration_takes_out_what_the_base_model_knew():
    generator = np.random.default_rng(3)
    membership = np.arange(500) < 250
    easiness = generator.normal(0, 5, 500)
    tuned = easiness + membership + generator.normal(0, 0.5, 500)
    assert auc(tuned, membership) < 0.65
    assert auc(attacks.base_calibration(tuned, easiness), membership) > 0.85


@pytest.mark.parametrize("function", [attacks.loss, attacks.modified_entropy, lambda x: attacks.attack_p(x, [1.0])])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "is empty"),
        ([[0.1]], r"has shape \(1, 1\)"),
        ([0.1, np.nan], "holds 1 NaN"),
        ([np.inf], "holds 1 NaN or infinite"),
        ([-0.1, 0.5], "goes down to -0.1: it cannot be negative, its sign may be turned"),
        (["a"], "has dtype"),
        ([[0.1], [0.1, 0.2]], "is ragged"),
    ],
)
def test_bad_losses_are_refused(function, values, message):
    with pytest.raises(InputError, match=message):
        function(values)


def test_a_loss_a_rounding_error_below_zero_is_taken():
    assert attacks.loss([-1e-16])[0] == pytest.approx(0.0, abs=1e-12)


def test_attack_p_refuses_a_bad_population():
    with pytest.raises(InputError, match="population_loss is empty"):
        attacks.attack_p([0.1], [])


def test_base_calibration_refuses_other_lengths():
    with pytest.raises(InputError, match="base_signal has 1 rows and signal 2"):
        attacks.base_calibration([0.1, 0.2], [0.1])


def test_attack_p_takes_a_loss_that_rounding_left_below_zero():
    scores = attacks.attack_p([-1e-40, 0.0, 0.2], population_loss=[0.1, 0.3])
    assert scores[0] == scores[1] > scores[2]
