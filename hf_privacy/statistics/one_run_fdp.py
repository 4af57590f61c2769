"""One-run audit against the curve of a Gaussian mechanism instead of a single (ε, δ)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import erfc, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from hf_privacy.statistics.bisection import last_holding
from hf_privacy.statistics.checks import check_confidence
from hf_privacy.statistics.gdp import gdp_epsilon
from hf_privacy.statistics.one_run import correct_guesses

_normal_quantile = NormalDist().inv_cdf


def epsilon_one_run_fdp(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    n_guesses: int | Sequence[int],
    delta: float,
    confidence: float = 0.95,
    sides: str = "both",
    seed: int = 0,
) -> float:
    """Lower bound of ε at δ from one training run, for a mechanism taken to be Gaussian (μ-GDP).

    The largest μ is found at which so many correct guesses are too unlikely, and turned into ε(δ). Against a Gaussian
    mechanism it says more than `epsilon_one_run`, because it uses the whole trade-off curve.

    Every canary must have been put in or left out by **its own fair coin**, as for `epsilon_one_run`.

    Parameters
    ----------
    scores : array-like of float, shape [m]
        One score per canary, higher means more likely a member; computed without a look at the coins.
    membership : array-like of bool, shape [m]
        The coins.
    n_guesses : int or sequence of int
        Fixed before looking; several share the risk (Bonferroni).
    delta : float
        In (0, 1).
    confidence : float, default 0.95
    sides : {"both", "in", "out"}, default "both"
    seed : int, default 0
        As in `epsilon_one_run`.

    Returns
    -------
    float
        At least 0, from below within 1e-6 of μ.

    Raises
    ------
    InputError
        As `epsilon_one_run`; also if delta is 0, where a Gaussian mechanism has no finite ε.

    Notes
    -----
    A bound on ε only where the mechanism's trade-off curve is Gaussian, or nearly, as that of DP-SGD over many steps.

    References
    ----------
    Mahloujifar, Melis and Chaudhuri, "Auditing f-differential privacy in one run", ICML 2025 (arXiv 2410.22235),
    Algorithm 3 with k = 2; guesses that are not made count as wrong ones, so ties cost power, never validity.

    Examples
    --------
    >>> import numpy as np
    >>> from hf_privacy.statistics import epsilon_one_run
    >>> generator = np.random.default_rng(0)
    >>> membership = generator.random(2000) < 0.5
    >>> scores = generator.normal(size=2000) + membership  # μ = 1, ε(1e-5) = 4.38
    >>> round(epsilon_one_run_fdp(scores, membership, n_guesses=200, delta=1e-5), 2)
    3.59
    >>> round(epsilon_one_run(scores, membership, n_guesses=200, delta=1e-5), 2)
    2.39
    """
    gdp_epsilon(0.0, delta=delta)  # refuses a δ of 0 or outside (0, 1)
    level = 1.0 - check_confidence(confidence)
    tally = correct_guesses(scores, membership, n_guesses=n_guesses, sides=sides, seed=seed)
    n_canaries = len(np.asarray(scores))
    mu = max(_largest_rejected_mu(n_correct, guessed, n_canaries, level / len(tally)) for guessed, n_correct in tally)
    return gdp_epsilon(mu, delta=delta)


def gdp_rejected(n_correct: int, n_guesses: int, n_canaries: int, *, mu: float, level: float) -> bool:
    """Whether so many correct guesses have a probability below the level under every μ-GDP training.

    Let p_i be the probability of exactly i correct guesses, R_i = Σ_{l ≥ i} l·p_l/m and W_i = Σ_{l ≥ i} (r − l)·p_l/m.
    f-DP, averaged over canaries (the curve is concave), asks W_{i−1} ≥ Φ(Φ⁻¹(R_i) − μ). Starting from probability
    `level` of n_correct, the least mass that this asks for is added going down. If it comes to more than all, such a
    probability is impossible.

    Parameters
    ----------
    n_correct, n_guesses, n_canaries : int
        v ≤ r ≤ m.
    mu : float
        At least 0.
    level : float
        In (0, 1).

    Returns
    -------
    bool
        True where μ-GDP is rejected. Monotone: less μ is rejected the sooner.

    Examples
    --------
    >>> gdp_rejected(90, 100, 1000, mu=0.5, level=0.05), gdp_rejected(90, 100, 1000, mu=5.0, level=0.05)
    (True, False)
    """
    all_mass = n_guesses / n_canaries
    right = level * n_correct / n_canaries
    wrong = level * (n_guesses - n_correct) / n_canaries
    for correct in range(n_correct - 1, -1, -1):
        needed = 0.5 * erfc((mu - _normal_quantile(right)) / sqrt(2.0))
        if needed <= wrong:  # the curve asks for nothing more: such a mechanism exists
            return False
        right += correct / (n_guesses - correct) * (needed - wrong)
        wrong = needed
        if right + wrong > all_mass:
            return True
    return False


def _largest_rejected_mu(n_correct: int, n_guesses: int, n_canaries: int, level: float) -> float:
    rejected = partial(gdp_rejected, n_correct, n_guesses, n_canaries, level=level)
    return last_holding(lambda mu: rejected(mu=mu), absolute=1e-6) if rejected(mu=0.0) else 0.0
