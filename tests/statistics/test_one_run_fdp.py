"""The one-run audit against a Gaussian curve: never above the truth more often than stated, closer than (ε, δ)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import binom, norm

from hf_privacy.errors import InputError
from hf_privacy.statistics import correct_guesses, epsilon_one_run, epsilon_one_run_fdp, gdp_epsilon
from hf_privacy.statistics.one_run_fdp import gdp_rejected

REPETITIONS = 500
ALLOWED = 0.05 + 3 * np.sqrt(0.05 * 0.95 / REPETITIONS)
DELTA = 1e-5


def gaussian_mechanism(generator, mu, m):
    membership = generator.random(m) < 0.5
    return generator.normal(size=m) + mu * membership, membership


def paper_algorithm(n_correct, n_guesses, n_canaries, mu, level):
    """Algorithm 3 of 2410.22235 as printed: arrays r and h, no early end."""
    r, h = np.zeros(n_correct + 1), np.zeros(n_correct + 1)
    r[n_correct] = level * n_correct / n_canaries
    h[n_correct] = level * (n_guesses - n_correct) / n_canaries
    for i in range(n_correct - 1, -1, -1):
        h[i] = max(h[i + 1], norm.cdf(norm.ppf(min(r[i + 1], 1.0)) - mu))
        r[i] = r[i + 1] + i / (n_guesses - i) * (h[i] - h[i + 1])
    return r[0] + h[0] > n_guesses / n_canaries


@pytest.mark.parametrize(("r", "m"), [(20, 20), (40, 200), (60, 90)])
@pytest.mark.parametrize("level", [0.01, 0.05, 0.3])
def test_rejection_is_the_papers_algorithm(r, m, level):
    for v in range(0, r + 1, 4):
        for mu in (0.0, 0.2, 0.7, 1.5, 4.0):
            assert gdp_rejected(v, r, m, mu=mu, level=level) == paper_algorithm(v, r, m, mu, level), (v, mu)


@pytest.mark.parametrize("mu", [0.0, 0.5, 1.5])
@pytest.mark.parametrize(("r", "m"), [(6, 6), (8, 20)])
def test_rejection_is_the_largest_probability_the_curve_allows(r, m, mu):
    # By linear programming: the curve as a bundle of tangents, every threshold at once.
    tangents = norm.cdf(np.linspace(-6, 6, 150))
    for v in range(r // 2, r + 1):
        rows, limits = [], []
        for i in range(1, r + 1):
            right = np.where(np.arange(r + 1) >= i, np.arange(r + 1), 0) / m
            wrong = np.where(np.arange(r + 1) >= i - 1, r - np.arange(r + 1), 0) / m
            for x in tangents:  # R_i ≤ F(x) + F'(x)(W_{i−1} − x) for the concave F(x) = Φ(Φ⁻¹(x) + μ)
                z = norm.ppf(x)
                height, slope = norm.cdf(z + mu), np.exp(-mu * z - mu**2 / 2)
                rows.append(right - slope * wrong)
                limits.append(height - slope * x)
        best = linprog(
            -(np.arange(r + 1) >= v).astype(float), A_ub=rows, b_ub=limits, A_eq=np.ones((1, r + 1)), b_eq=[1.0]
        )
        allowed = -best.fun
        assert gdp_rejected(v, r, m, mu=mu, level=min(0.999, allowed * 1.02 + 1e-4)) or allowed > 0.97
        assert not gdp_rejected(v, r, m, mu=mu, level=allowed * 0.98)


def test_less_leakage_is_rejected_the_sooner():
    rejected = [gdp_rejected(95, 100, 1000, mu=mu, level=0.05) for mu in np.linspace(0, 4, 60)]
    assert rejected == sorted(rejected, reverse=True)
    assert rejected[0]
    assert not rejected[-1]


def test_null_calibration_is_exact_at_every_number_of_guesses():
    for r in (2, 10, 40, 100):
        for level in (0.05, 0.2):
            rejected = [v for v in range(r + 1) if gdp_rejected(v, r, 100, mu=0.0, level=level)]
            assert binom.pmf(rejected, r, 0.5).sum() <= level


@pytest.mark.parametrize("n_guesses", [40, 200, [20, 60, 200]], ids=str)
@pytest.mark.parametrize("mu", [0.0, 0.5, 1.5])
def test_calibration_the_bound_exceeds_the_true_epsilon_at_its_level(n_guesses, mu):
    generator = np.random.default_rng(1)
    truth = gdp_epsilon(mu, delta=DELTA)
    above = sum(
        epsilon_one_run_fdp(*gaussian_mechanism(generator, mu, 200), n_guesses=n_guesses, delta=DELTA) > truth
        for _ in range(REPETITIONS)
    )
    assert above / REPETITIONS <= ALLOWED


def test_calibration_holds_for_a_mechanism_that_leaks_everything_now_and_then():
    # With probability 0.04 every canary answers truly three times in four, else none says anything. Even with that
    # made public, the trade-off curve is three straight lines, and a Gaussian one through its corners lies above.
    generator = np.random.default_rng(2)
    above, share, accuracy = 0, 0.04, 0.75
    mu = norm.ppf(share * accuracy) - norm.ppf(share * (1 - accuracy))
    truth = gdp_epsilon(mu, delta=DELTA)
    for _ in range(REPETITIONS):
        membership = generator.random(200) < 0.5
        right = generator.random(200) < (accuracy if generator.random() < share else 0.5)
        scores = np.where(right, membership, ~membership) + 0.9 * generator.random(200)
        above += epsilon_one_run_fdp(scores, membership, n_guesses=160, delta=DELTA) > truth
    assert above / REPETITIONS <= ALLOWED


@pytest.mark.parametrize("mu", [1.0, 2.0])
def test_at_a_gaussian_mechanism_it_lies_between_the_plain_one_run_bound_and_the_truth(mu):
    scores, membership = gaussian_mechanism(np.random.default_rng(3), mu, 20_000)
    plain = epsilon_one_run(scores, membership, n_guesses=400, delta=DELTA)
    bound = epsilon_one_run_fdp(scores, membership, n_guesses=400, delta=DELTA)
    assert 1.2 * plain < bound < gdp_epsilon(mu, delta=DELTA)
    assert plain > 1


def test_the_bound_is_the_last_rejected_mu_turned_into_epsilon():
    scores, membership = gaussian_mechanism(np.random.default_rng(4), 2.0, 1000)
    [(guessed, right)] = correct_guesses(scores, membership, n_guesses=100)
    bound = epsilon_one_run_fdp(scores, membership, n_guesses=100, delta=DELTA)
    grid = np.arange(0, 4, 0.01)
    last = max(mu for mu in grid if gdp_rejected(right, guessed, 1000, mu=mu, level=0.05))
    assert gdp_epsilon(last, delta=DELTA) <= bound + 1e-4
    assert bound <= gdp_epsilon(last + 0.01, delta=DELTA)


def test_constant_scores_show_nothing():
    membership = np.random.default_rng(5).random(100) < 0.5
    assert epsilon_one_run_fdp(np.ones(100), membership, n_guesses=20, delta=DELTA) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": 0.0, "n_guesses": 2}, "delta is 0"),
        ({"delta": 1.0, "n_guesses": 2}, "delta is 1.0"),
        ({"delta": 0.1, "n_guesses": 10}, "n_guesses is 10 for 8 canaries"),
        ({"delta": 0.1, "n_guesses": 3}, "n_guesses is 3: pass an even number"),
        ({"delta": 0.1, "n_guesses": 2, "confidence": 1.5}, "confidence is 1.5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        epsilon_one_run_fdp(np.arange(8.0), np.arange(8) % 2 == 0, **arguments)
