"""From a bound of ε for a group of equal examples, put in or left out together, to one for a single example."""

from __future__ import annotations

from collections.abc import Callable
from math import exp

from hf_privacy.statistics.bisection import last_holding
from hf_privacy.statistics.gdp import gdp_epsilon


def epsilon_of_one(bound: Callable[[float], float], *, delta: float, repetitions: int) -> float:
    """Lower bound of ε at δ for one example, where each canary stood r times in the training set.

    What is (ε, δ)-private for one example is (rε, δ(1 + e^ε + … + e^((r−1)ε)))-private for r of them; a bound on the
    group that refutes the latter refutes the former. At δ = 0 that is the group's ε over r.

    Parameters
    ----------
    bound : callable
        From a δ to the group's lower bound of ε there.
    delta : float
        In [0, 1).
    repetitions : int
        r, at least 1.

    References
    ----------
    Vadhan, "The complexity of differential privacy", 2017, Lemma 7.2.2.

    Examples
    --------
    >>> epsilon_of_one(lambda delta: 3.0, delta=0.0, repetitions=1)
    3.0
    >>> round(epsilon_of_one(lambda delta: 3.0, delta=0.0, repetitions=4), 6)
    0.75
    """
    if repetitions == 1:
        return bound(delta)

    def refuted(epsilon: float) -> bool:
        group_delta = delta * sum(exp(number * epsilon) for number in range(repetitions))
        return group_delta < 1.0 and bound(group_delta) > repetitions * epsilon

    return last_holding(refuted, high=bound(delta) / repetitions + 1e-9, absolute=1e-7)


def gaussian_epsilon_of_one(epsilon: float, *, delta: float, repetitions: int) -> float:
    """The same of a mechanism taken to be Gaussian: r examples of a μ-GDP one have rμ.

    Examples
    --------
    >>> round(gaussian_epsilon_of_one(gdp_epsilon(2.0, delta=1e-5), delta=1e-5, repetitions=2), 4)
    4.3772
    """
    if repetitions == 1 or epsilon <= 0.0:
        return epsilon
    mu = last_holding(lambda mu: gdp_epsilon(mu, delta=delta) < epsilon, absolute=1e-9)
    return gdp_epsilon(mu / repetitions, delta=delta)
