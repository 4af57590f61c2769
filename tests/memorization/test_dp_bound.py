"""Violations of the bound that differential privacy sets: counted, and told from chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from hf_privacy.errors import InputError
from hf_privacy.memorization import (
    agresti_caffo,
    dp_bound_violations,
    feldman_zhang,
    memorization_bound,
    memorization_standard_error,
)


def test_the_papers_bound_is_the_closed_form():
    assert memorization_bound(0.0) == 0.0
    assert memorization_bound(2.0) == pytest.approx(1 - np.exp(-2))
    assert memorization_bound(2.0, 0.1) == pytest.approx(1 - 0.9 * np.exp(-2))
    assert memorization_bound(float("inf"), 1e-5) == 1.0


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("delta", [0.0, 0.05])
def test_no_pair_of_chances_that_dp_allows_exceeds_a_bound_and_one_reaches_the_tight_one(epsilon, delta):
    chances = np.linspace(0, 1, 2001)
    p_in, p_out = np.meshgrid(chances, chances, indexing="ij")
    allowed = (p_in <= np.exp(epsilon) * p_out + delta) & (1 - p_out <= np.exp(epsilon) * (1 - p_in) + delta)
    largest = (p_in - p_out)[allowed].max()
    tight = memorization_bound(epsilon, delta, bound="tight")
    assert tight - 0.002 <= largest <= tight + 1e-9
    assert tight <= memorization_bound(epsilon, delta) + 1e-12


@pytest.mark.parametrize("n_references", [8, 16, 64])
@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_examples_just_at_the_bound_are_put_beyond_it_in_no_more_than_the_stated_share(drawn, n_references, epsilon):
    n_examples, bound = 20_000, 1 - np.exp(-epsilon)
    chance_in = np.linspace(bound, 1, n_examples)
    tables = drawn(chance_in, chance_in - bound, n_references=n_references)
    centres, errors = agresti_caffo(tables.correct, tables.membership)
    scores = feldman_zhang(tables.correct, tables.membership)
    result = dp_bound_violations(scores, errors, epsilon, centres=centres)
    assert result["n_beyond_noise"] <= result["n_expected_at_most"] == pytest.approx(1000)
    assert result["n_above"] > 0.2 * n_examples  # counted raw, chance alone puts a large part above


def test_plain_standard_errors_take_the_agreement_of_a_few_models_for_certainty(drawn):
    bound = 1 - np.exp(-3.0)
    tables = drawn(np.ones(2000), np.full(2000, 1 - bound), n_references=16)
    scores = feldman_zhang(tables.correct, tables.membership)
    plain = dp_bound_violations(scores, memorization_standard_error(tables.correct, tables.membership), 3.0)
    assert plain["share_beyond_noise"] > 0.5


@pytest.mark.parametrize("n", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0, 3.0])
def test_that_share_holds_for_every_pair_of_chances_at_the_bound(n, epsilon):
    # By exact enumeration of the numbers right among n IN and n OUT models.
    bound, right = 1 - np.exp(-epsilon), np.arange(n + 1)
    membership = np.repeat([True, False], n)[:, None] & np.ones((n + 1) ** 2, dtype=bool)
    in_right, out_right = (part.ravel() for part in np.meshgrid(right, right, indexing="ij"))
    correct = np.concatenate([np.arange(n)[:, None] < in_right, np.arange(n)[:, None] < out_right]).astype(float)
    centres, errors = agresti_caffo(correct, membership)
    beyond = np.array(
        [
            dp_bound_violations([0.0], [error], epsilon, centres=[centre])["n_beyond_noise"]
            for centre, error in zip(centres, errors, strict=True)
        ]
    )
    for chance in np.linspace(bound, 1, 41):
        mass = binom.pmf(in_right, n, chance) * binom.pmf(out_right, n, chance - bound)
        assert mass[beyond == 1].sum() <= 0.051


def test_true_violations_are_found(drawn):
    tables = drawn(np.repeat([1.0, 0.9], [100, 900]), np.repeat([0.0, 0.9], [100, 900]), n_references=64)
    centres, errors = agresti_caffo(tables.correct, tables.membership)
    result = dp_bound_violations(feldman_zhang(tables.correct, tables.membership), errors, 0.5, centres=centres)
    assert (result["n_above"], result["n_beyond_noise"], result["share_beyond_noise"]) == (100, 100, 0.1)


def test_without_privacy_nothing_can_exceed_the_bound():
    result = dp_bound_violations([1.0, 0.5], [0.0, 0.1], float("inf"))
    assert (result["n_above"], result["n_beyond_noise"], result["bound"]) == (0, 0, 1.0)


def test_a_score_on_the_bound_is_no_violation():
    assert dp_bound_violations([1 - np.exp(-1.0)], [0.0], 1.0)["n_above"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": -1.0}, "epsilon is -1.0"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"delta": 1.0}, "delta is 1.0"),
        ({"bound": "loose"}, "bound is 'loose'"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"scores": [0.5, np.nan]}, "scores holds 1 NaN"),
        ({"standard_errors": [0.1]}, "standard_errors has 1 rows for 2 examples"),
        ({"standard_errors": [0.1, -0.1]}, "standard_errors go down to -0.1"),
        ({"centres": [0.1]}, "centres has 1 rows"),
    ],
)
def test_bad_input_is_one_clear_sentence(change, message):
    with pytest.raises(InputError, match=message) as error:
        dp_bound_violations(**{"scores": [0.5, 0.2], "standard_errors": [0.1, 0.1], "epsilon": 1.0, **change})
    assert "\n" not in str(error.value)
