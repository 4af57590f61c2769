"""Confidence: the probability of the true class."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy import attacks
from hf_privacy.errors import InputError


def test_confidence_is_the_probability_of_the_true_class():
    np.testing.assert_array_equal(attacks.confidence([0.0, 0.25, 1.0]), [0.0, 0.25, 1.0])


def test_it_orders_examples_as_loss_does():
    probability = np.random.default_rng(0).uniform(size=200)
    order = np.argsort(attacks.confidence(probability))
    np.testing.assert_array_equal(order, np.argsort(attacks.loss(-np.log(probability))))


def test_the_array_passed_in_is_not_handed_back():
    probability = np.array([0.5])
    attacks.confidence(probability)[0] = 0.0
    assert probability[0] == 0.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "probability is empty"),
        ([[0.1]], r"shape \(1, 1\)"),
        ([np.nan], "holds 1 NaN"),
        ([1.5], "reaches from 1.5 to 1.5: pass probabilities"),
        ([-0.5, 0.5], "reaches from -0.5"),
    ],
)
def test_bad_probabilities_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        attacks.confidence(values)
