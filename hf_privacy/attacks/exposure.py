"""Exposure of canaries: how far up a secret stands among all that could have been in its place, in bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kstest, norm, skewnorm

from hf_privacy.arguments import check_number, check_seed, check_whole
from hf_privacy.arrays import finite_vector
from hf_privacy.errors import InputError

FEWEST_REFERENCES = 20  # to fit three parameters to
# Gauss–Legendre on [0, 1], for the mass of a skew-normal left of a point.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2


def exposure_by_sampling(loss: ArrayLike, reference_loss: ArrayLike) -> NDArray[np.float64]:
    """Exposure of each canary by its rank among texts drawn from the same space and not trained on.

    log₂ n − log₂ rank with n references, rank = 1 + the number of references that are as likely or likelier. It cannot
    exceed ``log2(n)``, however well a canary is memorized: print that ceiling beside it (`exposure_ceiling`).

    Parameters
    ----------
    loss : array-like of float, shape [m]
        Loss of each canary's secret tokens (sum or mean over a fixed number of tokens), in nats; lower is likelier.
    reference_loss : array-like of float, shape [n]
        The same of secrets drawn at random from the same space, none of which was trained on.

    Returns
    -------
    float64[m]
        Bits, in [0, log₂ n]; of a canary that was not trained on about 1.4 on average.

    Raises
    ------
    InputError
        If either is empty, not one-dimensional, NaN or infinite.

    References
    ----------
    Carlini et al., "The secret sharer", USENIX Security 2019 (arXiv 1802.08232), section 4.2 and 4.3.

    Examples
    --------
    >>> exposure_by_sampling([0.5, 2.5], [1.0, 2.0, 3.0, 4.0])
    array([2.       , 0.4150375])
    """
    own, others = finite_vector("loss", loss), np.sort(finite_vector("reference_loss", reference_loss))
    # A tie counts against the canary: exposure is never overstated.
    rank = 1 + np.searchsorted(others, own, side="right")
    return np.maximum(np.log2(len(others)) - np.log2(rank), 0.0)


def exposure_ceiling(n_references: int) -> float:
    """The largest exposure that so many references can show, in bits.

    Examples
    --------
    >>> round(exposure_ceiling(1000), 2)
    9.97
    """
    return float(np.log2(check_whole("n_references", n_references, at_least=1)))


def exposure_by_extrapolation(
    loss: ArrayLike, reference_loss: ArrayLike, *, level: float = 0.05, n_simulated: int = 99, seed: int = 0
) -> NDArray[np.float64]:
    """Exposure of each canary by a skew-normal fitted to the references' log-perplexities.

    −log₂ F(loss), with F the fitted distribution: beyond what a rank among n references can say, as far as the fit
    holds. The fit is tested, and a bad one refused: the distance of Kolmogorov and Smirnov must not be larger than
    that of all but a share ``level`` of samples drawn from the fit, each fitted anew (the usual table is for a
    distribution that was not fitted to the same values, and lets nearly all fits pass).

    Parameters
    ----------
    loss, reference_loss
        As in `exposure_by_sampling`; at least 20 references, a thousand say more.
    level : float, default 0.05
        In (0, 1).
    n_simulated : int, default 99
        Samples that the test draws.
    seed : int, default 0
        Of these.

    Returns
    -------
    float64[m]
        Bits, at least 0, finite.

    Raises
    ------
    InputError
        As `exposure_by_sampling`; also for too few references, references that are all equal, or a fit that the test
        rejects.

    References
    ----------
    Carlini et al., "The secret sharer", USENIX Security 2019 (arXiv 1802.08232), section 4.3.

    Examples
    --------
    >>> references = np.random.default_rng(0).normal(50.0, 5.0, size=200)
    >>> exposure_by_extrapolation([20.0, 50.0], references).round(0)
    array([25.,  1.])
    """
    own, others = finite_vector("loss", loss), finite_vector("reference_loss", reference_loss)
    level = check_number("level", level, 0.0, 1.0, low_open=True, high_open=True)
    n_simulated = check_whole("n_simulated", n_simulated, at_least=19)
    if len(others) < FEWEST_REFERENCES:
        raise InputError(
            f"reference_loss has {len(others)} values: a distribution is fitted to at least {FEWEST_REFERENCES}, or "
            "use exposure_by_sampling"
        )
    spread = float(others.std())
    if spread == 0.0:
        raise InputError("reference_loss holds one value many times: there is no distribution to fit")
    # In units of their spread: the fit's first guess and its steps are then of one size for any loss.
    centre = float(others.mean())
    fit, p_value = _tested_fit((others - centre) / spread, n_simulated, seed)
    if p_value <= level:
        raise InputError(
            f"the references' losses are not skew-normal (Kolmogorov–Smirnov, p = {p_value:.2g}): exposure cannot be "
            "extrapolated from them, use exposure_by_sampling"
        )
    return np.maximum(-_log_cdf((own - centre) / spread, *fit) / np.log(2), 0.0)


def _tested_fit(values: NDArray[np.float64], n_simulated: int, seed: int) -> tuple[tuple[float, float, float], float]:
    fit, distance = _fit(values)
    rng = np.random.default_rng(check_seed(seed))
    drawn = (skewnorm.rvs(*fit, size=len(values), random_state=rng) for _ in range(n_simulated))
    larger = sum(_fit(sample)[1] >= distance for sample in drawn)
    return fit, (1 + larger) / (1 + n_simulated)


def _fit(values: NDArray[np.float64]) -> tuple[tuple[float, float, float], float]:
    fit = skewnorm.fit(values)
    return fit, float(kstest(values, skewnorm(*fit).cdf).statistic)


def _log_cdf(values: NDArray[np.float64], shape: float, location: float, scale: float) -> NDArray[np.float64]:
    """Logarithm of a skew-normal's distribution function, right also where that is 0 in float64, as SciPy's is not."""
    z = (values - location) / scale
    tail = z < (0.0 if shape >= 0 else -4.0)  # where the density still rises, and F may be small
    found = np.empty_like(z)
    found[~tail] = skewnorm.logcdf(z[~tail], shape)
    # Left of z the density falls off by e³⁷ within this reach: the mass there is summed up relative to that at z.
    at = z[tail, None]
    fall = 1.0 + max(shape, 0.0) ** 2  # as e^(−fall·z²/2)
    reach = np.minimum(9.0 / np.sqrt(fall), 37.0 / (fall * np.maximum(-at, 1e-3)))
    density = _log_density(at - reach * _NODES, shape) - _log_density(at, shape)
    found[tail] = _log_density(at[:, 0], shape) + np.log((np.exp(density) * _WEIGHTS).sum(axis=1) * reach[:, 0])
    return found


def _log_density(z: NDArray[np.float64], shape: float) -> NDArray[np.float64]:
    return np.asarray(np.log(2.0) + norm.logpdf(z) + norm.logcdf(shape * z), dtype=np.float64)
