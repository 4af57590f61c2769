"""The one-run audit: the paper's formula and figures, and that the bound holds as often as it says."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy.stats import beta, binom

from hf_privacy.errors import InputError
from hf_privacy.statistics import correct_guesses, epsilon_lower_bounds, epsilon_one_run, one_run_p_value

REPETITIONS = 500
ALLOWED = 0.05 + 3 * np.sqrt(0.05 * 0.95 / REPETITIONS)


def randomised_response(generator, epsilon, m):
    """Fair coins; each canary answers truly with probability e^ε/(1 + e^ε): exactly (ε, 0)-private."""
    membership = generator.random(m) < 0.5
    true_answer = generator.random(m) < np.exp(epsilon) / (1 + np.exp(epsilon))
    return np.where(true_answer, membership, ~membership) + 0.9 * generator.random(m), membership


def scores_with(n_correct, n_guesses, n_canaries):
    """Scores whose guesses come out right so many times: half IN at the top, half OUT at the bottom."""
    half = n_guesses // 2
    membership = np.arange(n_canaries) % 2 == 0
    membership[:half], membership[n_canaries - half :] = False, True
    membership[: n_guesses - n_correct] = True  # wrong ones among the lowest
    return np.arange(float(n_canaries)), membership


# The formula


@pytest.mark.parametrize("delta", [0.0, 1e-4])
@pytest.mark.parametrize(
    ("v", "r", "m", "epsilon"), [(75, 100, 1000, 0.5), (9, 10, 10, 1.3), (1, 1, 5, 0.0), (60, 60, 80, 3.0)]
)
def test_p_value_is_the_papers_sum_term_by_term(v, r, m, epsilon, delta):
    q = np.exp(epsilon) / (1 + np.exp(epsilon))
    mass = [comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(r + 1)]
    alpha = max(sum(mass[v - i : v]) / i for i in range(1, v + 1))
    expected = min(1.0, sum(mass[v:]) + 2 * m * delta * alpha)
    assert one_run_p_value(v, r, m, epsilon=epsilon, delta=delta) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("m", "r", "v", "delta", "published"),
    [(1000, 100, 75, 1e-4, 0.673), (100_000, 1510, 1439, 1e-5, 2.675)],  # appendix D and section 7 of 2305.08846
)
def test_bound_reproduces_the_papers_examples(m, r, v, delta, published):
    bound = epsilon_one_run(*scores_with(v, r, m), n_guesses=r, delta=delta)
    assert published - 5e-4 <= bound < published + 1e-3


@pytest.mark.parametrize(("v", "r"), [(60, 100), (100, 100), (800, 1000)])
def test_without_delta_the_bound_is_the_clopper_pearson_limit_of_the_accuracy(v, r):
    q = beta.ppf(0.05, v, r - v + 1)
    bound = epsilon_one_run(*scores_with(v, r, 2000), n_guesses=r)
    assert bound == pytest.approx(np.log(q / (1 - q)), abs=1e-8)


@pytest.mark.parametrize("delta", [0.0, 1e-6, 1e-4])
def test_the_search_ends_on_the_low_side_of_the_first_epsilon_that_is_not_rejected(delta):
    for v, r, m in [(45, 50, 60), (330, 600, 1000), (90, 100, 5000)]:
        bound = epsilon_one_run(*scores_with(v, r, m), n_guesses=r, delta=delta)
        grid = np.linspace(0, 6, 601)
        p = np.array([one_run_p_value(v, r, m, epsilon=epsilon, delta=delta) for epsilon in grid])
        first = grid[np.argmax(p >= 0.05)]
        assert np.all(p[grid >= first] >= 0.05)  # one crossing: nothing above is rejected again
        assert first - 0.01 - 1e-9 <= bound <= first
        if bound:
            assert one_run_p_value(v, r, m, epsilon=bound, delta=delta) < 0.05


def test_delta_lowers_the_bound_to_nothing():
    bounds = [epsilon_one_run(*scores_with(90, 100, 1000), n_guesses=100, delta=d) for d in (0, 1e-6, 1e-4, 1e-1)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[-1] == 0.0


# The guesses


def test_the_highest_are_guessed_in_and_the_lowest_out():
    scores = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    membership = np.array([False, True, False, True, False, True])
    assert correct_guesses(scores, membership, n_guesses=[2, 4, 6]) == [(2, 2), (4, 2), (6, 4)]
    assert correct_guesses(scores, membership, n_guesses=3, sides="in") == [(3, 2)]
    assert correct_guesses(scores, membership, n_guesses=1, sides="out") == [(1, 1)]


def test_ties_are_ordered_without_a_look_at_the_coins():
    # Members first: an order by position would guess every one of them right.
    membership = np.arange(400) < 200
    scores = np.r_[np.ones(300), np.zeros(100)]
    right = np.array([correct_guesses(scores, membership, n_guesses=100, seed=seed)[0][1] for seed in range(200)])
    assert right.mean() == pytest.approx(50 * 200 / 300 + 50, abs=1.5)


def test_one_score_guessed_both_ways_cancels_in_pairs_and_counts_as_wrong():
    membership = np.array([True, False, True, False, False, False])
    scores = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    # Three IN of the score 1, two OUT of it and the one of score 0: one IN and the one OUT remain.
    for seed in range(5):
        assert correct_guesses(scores, membership, n_guesses=6, seed=seed)[0][1] in (1, 2)


@pytest.mark.parametrize("sides", ["both", "in", "out"])
def test_constant_scores_show_nothing(sides):
    membership = np.random.default_rng(0).random(100) < 0.5
    assert epsilon_one_run(np.ones(100), membership, n_guesses=20, sides=sides) == 0.0


# It holds as often as it says

METHODS = [
    {"n_guesses": 60},
    {"n_guesses": 200},
    {"n_guesses": 40, "sides": "in"},
    {"n_guesses": [20, 60, 100, 200]},
    {"n_guesses": 60, "delta": 1e-4},
]


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_calibration_the_bound_exceeds_the_true_epsilon_at_its_level(method, epsilon):
    generator = np.random.default_rng(1)
    above = sum(
        epsilon_one_run(*randomised_response(generator, epsilon, 200), **method) > epsilon for _ in range(REPETITIONS)
    )
    assert above / REPETITIONS <= ALLOWED


def test_calibration_holds_where_scores_depend_on_each_other():
    # One number for all canaries moves every score, and the sign of the attack differs from run to run.
    generator = np.random.default_rng(2)
    above = 0
    for _ in range(REPETITIONS):
        membership = generator.random(200) < 0.5
        scores = generator.normal() * generator.normal(size=200) + generator.normal()
        above += epsilon_one_run(scores, membership, n_guesses=100) > 0
    assert above / REPETITIONS <= ALLOWED


def test_null_calibration_holds_with_two_score_values():
    generator = np.random.default_rng(3)
    above = 0
    for _ in range(REPETITIONS):
        membership, scores = generator.random(200) < 0.5, (generator.random(200) < 0.3).astype(float)
        above += epsilon_one_run(scores, membership, n_guesses=100) > 0
    assert above / REPETITIONS <= ALLOWED


def test_null_calibration_is_exact_at_every_number_of_guesses():
    for r in (2, 10, 40, 100):
        rejected = [v for v in range(r + 1) if one_run_p_value(v, r, 100, epsilon=0.0) < 0.05]
        assert binom.pmf(rejected, r, 0.5).sum() < 0.05


def test_the_bound_tends_to_epsilon_with_the_number_of_canaries():
    generator = np.random.default_rng(4)
    bounds = [
        epsilon_one_run(*randomised_response(generator, 2.0, m), n_guesses=int(0.8 * m)) for m in (100, 2000, 100_000)
    ]
    assert bounds == sorted(bounds)
    assert 1.9 < bounds[-1] <= 2.0


def test_peer_error_the_best_of_many_guess_counts_must_be_paid_for():
    # Privacy Meter: the maximum over guess counts, uncorrected, rejects a true ε = 0 in half of all audits.
    generator = np.random.default_rng(5)
    counts = list(range(10, 501, 10))
    bound_of = {}  # by (guesses, right): the same few are met again and again

    def naive_bound(guessed, right):
        if (guessed, right) not in bound_of:
            bound_of[guessed, right] = one_run_p_value(right, guessed, 500, epsilon=0.0) < 0.05
        return bound_of[guessed, right]

    naive = ours = 0
    for _ in range(REPETITIONS):
        scores, membership = generator.normal(size=500), generator.random(500) < 0.5
        naive += any(naive_bound(*tally) for tally in correct_guesses(scores, membership, n_guesses=counts))
        ours += epsilon_one_run(scores, membership, n_guesses=counts) > 0
    assert naive / REPETITIONS > 0.2
    assert ours / REPETITIONS <= 0.05


def test_repeated_guess_counts_are_paid_for_once():
    scores, membership = randomised_response(np.random.default_rng(6), 2.0, 500)
    assert epsilon_one_run(scores, membership, n_guesses=[100, 100]) == epsilon_one_run(
        scores, membership, n_guesses=100
    )


# What it refuses

BAD = {
    "none": ({"n_guesses": 0}, "n_guesses is 0"),
    "negative": ({"n_guesses": [2, -2]}, "n_guesses is -2"),
    "odd": ({"n_guesses": 3}, "n_guesses is 3: pass an even number"),
    "too many": ({"n_guesses": 10}, "n_guesses is 10 for 8 canaries"),
    "half": ({"n_guesses": 2.5}, "n_guesses is 2.5"),
    "empty": ({"n_guesses": []}, "n_guesses is empty"),
    "delta": ({"n_guesses": 2, "delta": 1.0}, "delta is 1.0"),
    "confidence": ({"n_guesses": 2, "confidence": 0}, "confidence is 0"),
    "sides": ({"n_guesses": 2, "sides": "left"}, "sides is 'left'"),
    "seed": ({"n_guesses": 2, "seed": 1.5}, "seed is 1.5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(InputError, match=message):
        epsilon_one_run(np.arange(8.0), np.arange(8) % 2 == 0, **arguments)


def test_an_odd_number_of_guesses_is_fine_on_one_side():
    assert epsilon_one_run(np.arange(8.0), np.arange(8) >= 3, n_guesses=5, sides="in") > 0


@pytest.mark.parametrize(
    ("counts", "message"),
    [((3, 2, 5), "3 correct of 2 guesses"), ((1, 6, 5), "of 6 guesses about 5"), ((-1, 2, 5), "n_correct is -1")],
)
def test_counts_that_cannot_be_are_refused(counts, message):
    with pytest.raises(InputError, match=message):
        one_run_p_value(*counts, epsilon=0.0)
    with pytest.raises(InputError, match="epsilon is"):
        one_run_p_value(1, 2, 5, epsilon=-1.0)


@pytest.mark.parametrize("name", ["clopper_pearson", "gdp", "one_run", "one_run_fdp"])
@pytest.mark.parametrize(
    ("scores", "membership", "message"),
    [
        ([0.1, np.nan, 0.2, 0.3], [True, False, True, False], "1 NaN or infinite"),
        ([0.1, np.inf, 0.2, 0.3], [True, False, True, False], "1 NaN or infinite"),
        ([0.1, 0.2, 0.3], [True] * 3, "only members"),
        ([0.1, 0.2, 0.3], [True, False], "membership has 2 rows and scores 3"),
    ],
)
def test_bad_scores_are_refused_by_every_bound(name, scores, membership, message):
    from hf_privacy import statistics

    arguments = {"n_guesses": 2} if "one_run" in name else {}
    with pytest.raises(InputError, match=message):
        getattr(statistics, f"epsilon_{name}")(scores, membership, delta=1e-5, **arguments)


def test_all_bounds_side_by_side_are_those_of_the_single_functions():
    from hf_privacy import statistics

    scores, membership = randomised_response(np.random.default_rng(7), 2.0, 1000)
    bounds = epsilon_lower_bounds(scores, membership, delta=1e-5, confidence=0.9, n_guesses=100)
    assert list(bounds) == ["clopper_pearson", "gdp", "one_run", "one_run_fdp"]
    for name, bound in bounds.items():
        arguments = {"n_guesses": 100} if "one_run" in name else {}
        single = getattr(statistics, f"epsilon_{name}")
        assert single(scores, membership, delta=1e-5, confidence=0.9, **arguments) == bound
    assert list(epsilon_lower_bounds(scores, membership, delta=1e-5)) == ["clopper_pearson", "gdp"]
