"""Gaussian differential privacy: conversion to ε, and a bound of μ that holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from hf_privacy.errors import InputError
from hf_privacy.statistics import clopper_pearson, epsilon_clopper_pearson, epsilon_gdp, gdp_delta, gdp_epsilon

REPETITIONS = 500
ALLOWED = 0.05 + 3 * np.sqrt(0.05 * 0.95 / REPETITIONS)
DELTA = 1e-3


def gaussian_mechanism(generator, mu, n):
    membership = np.arange(n) < n // 2
    return generator.normal(size=n) + mu * membership, membership


@pytest.mark.parametrize("mu", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 2.0])
def test_delta_is_the_mass_by_which_one_density_exceeds_the_other(mu, epsilon):
    start = epsilon / mu + mu / 2  # where N(μ, 1) first exceeds e^ε N(0, 1)
    excess = quad(lambda x: norm.pdf(x, mu) - np.exp(epsilon) * norm.pdf(x), start, start + 15, epsabs=1e-14)[0]
    assert gdp_delta(mu, epsilon=epsilon) == pytest.approx(excess, rel=1e-6, abs=1e-13)


@pytest.mark.parametrize("delta", [1e-12, 1e-5, 0.01, 0.3])
@pytest.mark.parametrize("mu", [0.01, 0.5, 2.0, 30.0])
def test_epsilon_inverts_delta_from_below(mu, delta):
    epsilon = gdp_epsilon(mu, delta=delta)
    if epsilon == 0.0:
        assert gdp_delta(mu, epsilon=0.0) <= delta
        return
    assert gdp_delta(mu, epsilon=epsilon) >= delta
    assert gdp_delta(mu, epsilon=epsilon + 2e-9 * max(1.0, epsilon)) <= delta


def test_no_leakage_is_epsilon_zero():
    assert gdp_epsilon(0.0, delta=1e-9) == gdp_delta(0.0, epsilon=0.0) == 0.0


def test_epsilon_grows_with_mu_and_falls_with_delta():
    assert np.all(np.diff([gdp_epsilon(mu, delta=1e-5) for mu in (0.1, 0.5, 1, 2, 5, 20)]) > 0)
    assert np.all(np.diff([gdp_epsilon(1.0, delta=delta) for delta in (1e-9, 1e-5, 1e-2)]) < 0)


def test_bound_is_that_of_the_two_upper_limits():
    scores, membership = gaussian_mechanism(np.random.default_rng(0), 1.5, 2000)
    called = scores >= 1.0
    fpr = clopper_pearson(int((called & ~membership).sum()), 1000)[1]
    fnr = clopper_pearson(int((~called & membership).sum()), 1000)[1]
    mu = norm.ppf(1 - fpr) - norm.ppf(fnr)
    bound = epsilon_gdp(scores, membership, delta=1e-5, threshold=1.0)
    assert bound == pytest.approx(gdp_epsilon(mu, delta=1e-5), abs=1e-6)


METHODS = [{"correction": "split"}, {"correction": "bonferroni"}, {"threshold": 0.5}]


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("mu", [0.0, 1.0])
def test_calibration_the_bound_exceeds_the_true_epsilon_at_its_level(method, mu):
    generator = np.random.default_rng(1)
    truth = gdp_epsilon(mu, delta=DELTA)
    above = sum(
        epsilon_gdp(*gaussian_mechanism(generator, mu, 200), delta=DELTA, **method) > truth for _ in range(REPETITIONS)
    )
    assert above / REPETITIONS <= ALLOWED


@pytest.mark.parametrize("correction", ["split", "bonferroni"])
def test_the_bound_tends_to_the_true_epsilon(correction):
    generator = np.random.default_rng(2)
    truth = gdp_epsilon(1.0, delta=DELTA)
    bounds = [
        epsilon_gdp(*gaussian_mechanism(generator, 1.0, n), delta=DELTA, correction=correction)
        for n in (400, 4000, 400_000)
    ]
    assert bounds == sorted(bounds)
    assert 0.95 * truth < bounds[-1] <= truth


def test_a_gaussian_mechanism_is_told_more_about_than_any_mechanism():
    scores, membership = gaussian_mechanism(np.random.default_rng(3), 1.0, 4000)
    assert epsilon_gdp(scores, membership, delta=1e-5) > epsilon_clopper_pearson(scores, membership, delta=1e-5) > 0


def test_constant_scores_show_nothing():
    assert epsilon_gdp(np.ones(100), np.arange(100) < 50, delta=1e-5) == 0.0


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, float("nan"), "small"])
def test_a_delta_without_an_epsilon_is_refused(delta):
    with pytest.raises(InputError, match="delta is"):
        epsilon_gdp(np.arange(8.0), np.arange(8) < 4, delta=delta)
    with pytest.raises(InputError, match="delta is"):
        gdp_epsilon(1.0, delta=delta)


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_a_mu_or_epsilon_that_is_none_is_refused(value):
    with pytest.raises(InputError, match="mu is"):
        gdp_epsilon(value, delta=0.1)
    with pytest.raises(InputError, match="epsilon is"):
        gdp_delta(1.0, epsilon=value)
