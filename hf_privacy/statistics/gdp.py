"""Gaussian differential privacy: its ε at a δ, and a lower bound of it from a membership attack."""

from __future__ import annotations

from math import exp, expm1

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtri

from hf_privacy.arguments import check_number
from hf_privacy.errors import InputError
from hf_privacy.statistics.bisection import last_holding
from hf_privacy.statistics.checks import check_delta
from hf_privacy.statistics.operating_points import error_limits


def gdp_delta(mu: float, *, epsilon: float) -> float:
    """The δ at which a μ-GDP mechanism is (ε, δ)-differentially private.

    Parameters
    ----------
    mu : float
        At least 0.
    epsilon : float
        At least 0.

    Returns
    -------
    float
        Φ(−ε/μ + μ/2) − e^ε Φ(−ε/μ − μ/2), in [0, 1).

    Raises
    ------
    InputError
        If mu or epsilon is negative, NaN or infinite.

    References
    ----------
    Dong, Roth and Su, "Gaussian differential privacy", JRSS-B 2022, Corollary 2.13.

    Examples
    --------
    >>> round(gdp_delta(1.0, epsilon=1.0), 6)
    0.126937
    """
    mu = check_number("mu", mu, 0.0)
    epsilon = check_number("epsilon", epsilon, 0.0)
    if mu == 0.0:
        return 0.0
    # By logarithms: e^ε overflows and the two terms nearly cancel where δ is small.
    first = float(log_ndtr(-epsilon / mu + mu / 2))
    second = epsilon + float(log_ndtr(-epsilon / mu - mu / 2))
    return -exp(first) * expm1(min(second - first, 0.0))


def gdp_epsilon(mu: float, *, delta: float) -> float:
    """The smallest ε for which a μ-GDP mechanism is (ε, δ)-differentially private, from below.

    Parameters
    ----------
    mu : float
        At least 0.
    delta : float
        In (0, 1): at δ = 0 a Gaussian mechanism has no finite ε.

    Returns
    -------
    float
        Within 1e-9 (relative, above 1) of the exact value and never above it.

    Raises
    ------
    InputError
        If mu is negative or not finite, or delta lies outside (0, 1).

    Examples
    --------
    >>> round(gdp_epsilon(1.0, delta=1e-5), 4)
    4.3772
    """
    mu = check_number("mu", mu, 0.0)
    if check_delta(delta) == 0.0:
        raise InputError("delta is 0: a Gaussian mechanism has no finite ε there, pass a delta in (0, 1) such as 1e-5")
    if gdp_delta(mu, epsilon=0.0) <= delta:
        return 0.0
    return last_holding(lambda epsilon: gdp_delta(mu, epsilon=epsilon) > delta, absolute=1e-9, relative=1e-9)


def epsilon_gdp(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    delta: float,
    confidence: float = 0.95,
    correction: str = "split",
    threshold: float | None = None,
    n_thresholds: int = 10,
    seed: int = 0,
) -> float:
    """Lower bound of ε at δ for a mechanism taken to be Gaussian (μ-GDP).

    μ is bounded from an attack's two error rates, μ ≥ Φ⁻¹(1 − FPR_U) − Φ⁻¹(FNR_U), and turned into ε. The same two
    rates say more about a Gaussian mechanism than about any mechanism, so the bound is higher than
    `epsilon_clopper_pearson`.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]
    delta : float
        In (0, 1).
    confidence : float, default 0.95
    correction : {"split", "bonferroni", "none"}, default "split"
    threshold : float, optional
    n_thresholds : int, default 10
    seed : int, default 0
        As in `epsilon_clopper_pearson`.

    Returns
    -------
    float
        At least 0.

    Raises
    ------
    InputError
        See `error_limits`; also if delta lies outside (0, 1).

    Notes
    -----
    A bound on ε only where the mechanism's trade-off curve is Gaussian, or nearly, as that of DP-SGD over many steps;
    without noise of that kind it is a figure of speech. Scores count as independent, see `epsilon_clopper_pearson`.

    References
    ----------
    Nasr et al., "Tight auditing of differentially private machine learning", USENIX Security 2023, section 4.2; Dong,
    Roth and Su, JRSS-B 2022.

    Examples
    --------
    >>> import numpy as np
    >>> membership = np.arange(4000) < 2000
    >>> scores = np.random.default_rng(0).normal(size=4000) + membership  # μ = 1
    >>> round(gdp_epsilon(1.0, delta=1e-5), 2), round(epsilon_gdp(scores, membership, delta=1e-5), 2)
    (4.38, 3.37)
    """
    gdp_epsilon(0.0, delta=delta)  # refuses a δ of 0 or outside (0, 1)
    limits = error_limits(
        scores,
        membership,
        lower_bound=_mu,
        confidence=confidence,
        correction=correction,
        threshold=threshold,
        n_thresholds=n_thresholds,
        seed=seed,
    )
    return gdp_epsilon(max(0.0, float(_mu(*limits).max())), delta=delta)


def _mu(fpr_upper: NDArray[np.float64], fnr_upper: NDArray[np.float64]) -> NDArray[np.float64]:
    # A limit of 1 gives minus infinity: that threshold bounds nothing. Upper limits are never 0.
    return -ndtri(fpr_upper) - ndtri(fnr_upper)
