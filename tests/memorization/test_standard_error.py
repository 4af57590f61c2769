"""Standard errors against a loop, against repeated draws, and intervals that hold with few models."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from hf_privacy.errors import InputError
from hf_privacy.memorization import agresti_caffo, feldman_zhang, memorization_standard_error


def random_tables(seed=0, n_references=9, n_examples=40):
    generator = np.random.default_rng(seed)
    membership = generator.random((n_references, n_examples)) < 0.5
    membership[:2], membership[2:4] = True, False
    return generator.random((n_references, n_examples)), membership


@pytest.mark.parametrize("kind", ["probabilities", "0/1"])
def test_it_equals_a_loop_over_examples(kind):
    correct, membership = random_tables()
    if kind == "0/1":
        correct = (correct < 0.7).astype(float)
    expected = []
    for values, inside in zip(correct.T, membership.T, strict=True):
        sides = [values[inside], values[~inside]]
        expected.append(np.sqrt(sum(np.var(side, ddof=1) / len(side) for side in sides)))
    np.testing.assert_allclose(memorization_standard_error(correct, membership), expected, atol=1e-9)


def test_for_correctness_it_is_the_binomial_variance_of_both_sides():
    # IN 3 of 4 right, OUT 1 of 5: p(1 − p)/(n − 1) is the unbiased estimate of the variance of p̂.
    correct = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0])[:, None]
    membership = (np.arange(9) < 4)[:, None]
    expected = np.sqrt(0.75 * 0.25 / 3 + 0.2 * 0.8 / 4)
    assert memorization_standard_error(correct, membership)[0] == pytest.approx(expected, abs=1e-12)


def test_its_square_is_the_variance_of_scores_over_repeated_draws(drawn):
    n_draws = 20_000
    tables = drawn(np.full(n_draws, 0.8), np.full(n_draws, 0.3), n_references=8)
    scores = feldman_zhang(tables.correct, tables.membership)
    truth = 0.8 * 0.2 / 4 + 0.3 * 0.7 / 4
    assert scores.var() == pytest.approx(truth, rel=0.05)
    assert np.mean(memorization_standard_error(tables.correct, tables.membership) ** 2) == pytest.approx(
        truth, rel=0.05
    )


def test_probabilities_give_a_smaller_error_than_the_correctness_they_decide():
    generator = np.random.default_rng(0)
    probability = generator.beta(4, 2, (16, 500))
    membership = np.arange(16)[:, None] < np.full(500, 8)
    correct = generator.random((16, 500)) < probability
    assert (
        memorization_standard_error(probability, membership).mean()
        < 0.6 * memorization_standard_error(correct, membership).mean()
    )


def test_where_all_models_of_a_side_agree_the_error_is_zero_and_the_interval_is_not():
    correct, membership = np.array([[1], [1], [0], [0]]), np.array([[True], [True], [False], [False]])
    assert memorization_standard_error(correct, membership)[0] == 0.0
    centre, error = agresti_caffo(correct, membership)
    assert (centre[0], error[0]) == (0.5, pytest.approx(np.sqrt(2 * 0.75 * 0.25 / 4)))


def test_agresti_caffo_is_the_score_of_a_table_with_one_right_and_one_wrong_model_more_a_side():
    correct, membership = random_tables(1)
    correct = (correct < 0.6).astype(float)
    ones, yes = np.ones((1, 40)), np.ones((1, 40), dtype=bool)
    longer = np.concatenate([correct, ones, 0 * ones, ones, 0 * ones])
    longer_membership = np.concatenate([membership, yes, yes, ~yes, ~yes])
    centre, error = agresti_caffo(correct, membership)
    np.testing.assert_allclose(centre, feldman_zhang(longer, longer_membership), atol=1e-12)
    n_in = longer_membership.sum(axis=0)
    p_in = (longer * longer_membership).sum(axis=0) / n_in
    p_out = (longer * ~longer_membership).sum(axis=0) / (13 - n_in)
    np.testing.assert_allclose(error**2, p_in * (1 - p_in) / n_in + p_out * (1 - p_out) / (13 - n_in), atol=1e-12)


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_the_lower_end_of_agresti_caffo_is_at_the_worst_a_little_too_high(n):
    # By exact enumeration of what n models a side can show, over a grid of true chances: 6.5 % at the most for 5 %.
    right = np.arange(n + 1)
    share = (right + 1) / (n + 2)
    error = np.sqrt(np.add.outer(share * (1 - share), share * (1 - share)) / (n + 2))
    low = np.subtract.outer(share, share) - norm.isf(0.05) * error
    for chance_in in np.linspace(0.3, 1, 15):
        for chance_out in np.linspace(0, 0.3, 7):
            mass = np.outer(binom.pmf(right, n, chance_in), binom.pmf(right, n, chance_out))
            assert mass[low > chance_in - chance_out + 1e-12].sum() <= 0.065


@pytest.mark.parametrize("function", [memorization_standard_error, agresti_caffo])
def test_rows_may_be_lists_of_arrays(function):
    correct, membership = random_tables()
    np.testing.assert_array_equal(function(list(correct), list(membership)), function(correct, membership))


@pytest.mark.parametrize("function", [memorization_standard_error, agresti_caffo])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, m: (c[:8], m), "8 rows and reference_membership 9"),
        (lambda c, m: (c * 2, m), "pass 0 and 1, or probabilities"),
        (lambda c, m: (np.where(c > 0.9, np.nan, c), m), "pass 0 and 1, or probabilities"),
        (lambda c, m: (c, m.astype(int)), "reference_membership has dtype int64: pass booleans"),
        (lambda c, m: (c[:2], m[:2]), "are IN for all 2 reference models"),
        (lambda c, m: (c[:, :0], m[:, :0]), "correct is empty"),
    ],
)
def test_bad_input_is_one_clear_sentence(function, change, message):
    with pytest.raises(InputError, match=message) as error:
        function(*change(*random_tables()))
    assert "\n" not in str(error.value)


def test_one_model_a_side_has_no_standard_error():
    with pytest.raises(InputError, match="2 of 2 examples have fewer than 2 of the 3 reference models on a side"):
        memorization_standard_error([[1, 1], [0, 1], [1, 0]], [[True, False], [False, False], [False, True]])
