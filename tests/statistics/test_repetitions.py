"""What so many canaries can show, and a group's bound brought back to one example."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.statistics import epsilon_one_run, gdp_epsilon
from hf_privacy.statistics.repetitions import epsilon_of_one, gaussian_epsilon_of_one


def all_right(n_canaries: int, **settings) -> float:
    """The bound where every canary is guessed, and rightly."""
    scores = np.arange(n_canaries)
    return epsilon_one_run(scores, scores >= n_canaries // 2, n_guesses=n_canaries, **settings)


@pytest.mark.parametrize(("n_canaries", "shown"), [(40, 2.55), (100, 3.49), (256, 4.44), (1000, 5.81)])
def test_what_so_many_canaries_can_show_at_95_percent(n_canaries, shown):
    assert all_right(n_canaries) == pytest.approx(shown, abs=0.005)


def test_without_delta_the_bound_is_divided():
    bound = all_right(256)
    assert epsilon_of_one(lambda delta: bound, delta=0.0, repetitions=1) == bound
    assert epsilon_of_one(lambda delta: bound, delta=0.0, repetitions=5) == pytest.approx(bound / 5, abs=1e-6)


@pytest.mark.parametrize("repetitions", [2, 4])
def test_with_delta_it_is_the_largest_that_the_group_refutes(repetitions):
    delta, found = 1e-4, []
    of_one = epsilon_of_one(lambda d: all_right(256, delta=d), delta=delta, repetitions=repetitions)
    for epsilon in np.linspace(0.01, 2.5, 250):  # every ε on a grid, by the definition
        group = delta * sum(np.exp(number * epsilon) for number in range(repetitions))
        if group < 1 and all_right(256, delta=group) > repetitions * epsilon:
            found.append(epsilon)
    assert max(found) <= of_one <= max(found) + 0.0101
    assert of_one < all_right(256, delta=delta) / repetitions  # the group's δ is larger


def test_a_gaussian_group_has_r_times_the_mu():
    group = gdp_epsilon(3.0, delta=1e-5)
    assert gaussian_epsilon_of_one(group, delta=1e-5, repetitions=3) == pytest.approx(
        gdp_epsilon(1.0, delta=1e-5), abs=1e-6
    )
    assert gaussian_epsilon_of_one(0.0, delta=1e-5, repetitions=3) == 0.0
