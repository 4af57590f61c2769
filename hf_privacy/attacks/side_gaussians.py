"""Gaussians of the reference models on each side of an example: how wide they are, their density and its integral."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from hf_privacy.arguments import check_choice, check_number
from hf_privacy.errors import InputError

# Beyond six standard deviations Φ is within 1e-9 of one and soon rounds to it.
_TAIL_START = 6.0
VARIANCES = ("per_example", "pooled", "shrunk", "global")

Variance: TypeAlias = Literal["per_example", "pooled", "shrunk", "global"]


def check_variance(variance: str, prior_degrees: float) -> None:
    """Refuse an unknown variance, and a prior that counts for nothing.

    Raises
    ------
    InputError
        If ``variance`` is none of `VARIANCES`, or ``prior_degrees`` not a finite number above 0.

    Examples
    --------
    >>> check_variance("pooled", 8.0)
    """
    check_choice("variance", variance, VARIANCES)
    check_number("prior_degrees", prior_degrees, 0.0, low_open=True)


def side_variance(
    n_models: NDArray[np.int64],
    mean: NDArray[np.float64],
    squares: NDArray[np.float64],
    *,
    variance: str,
    prior_degrees: float,
    side: str,
    reference_name: str,
) -> NDArray[np.float64]:
    """Variance of one side, as one value per example (in the place of ``squares``) or one for all.

    Parameters
    ----------
    n_models, mean, squares : arrays of shape [N]
        Of the side's reference models, per example: their number, mean and summed squared distance from it
        (overwritten).
    variance : str
        One of `VARIANCES`, as in `hf_privacy.attacks.lira`.
    prior_degrees : float
        Of "shrunk".
    side : {"IN", "OUT"}
        For messages.
    reference_name : str
        The argument that holds the reference models' values, for messages.

    Raises
    ------
    InputError
        If there are too few reference models for the variance, or it comes out as zero.

    Examples
    --------
    >>> settings = {"variance": "per_example", "prior_degrees": 8.0, "side": "IN", "reference_name": "references"}
    >>> side_variance(np.array([3]), np.array([1.0]), np.array([4.0]), **settings)
    array([2.])
    """
    if variance == "global":
        return _global_variance(n_models, mean, squares, side, reference_name)
    degrees = np.maximum(n_models - 1, 0)
    if variance == "per_example":
        short = int(np.sum(degrees < 1))
        if short:
            raise InputError(
                f"variance='per_example' needs 2 {side} reference models per example and {short:,} of "
                f"{len(degrees):,} examples have fewer: use 'pooled' or 'shrunk', or train more"
            )
        flat = int(np.sum(squares == 0))
        if flat:
            raise InputError(
                f"{reference_name} have zero variance over the {side} reference models for {flat:,} of "
                f"{len(degrees):,} examples: use variance='shrunk' or 'pooled'"
            )
        return np.divide(squares, degrees, out=squares)
    if degrees.sum() == 0:
        raise InputError(
            f"no example has 2 {side} reference models, so no variance around its mean can be estimated: "
            "train more reference models, or use variance='global'"
        )
    pooled = squares.sum() / degrees.sum()
    if pooled == 0:
        raise InputError(
            f"{reference_name} have zero variance over the {side} reference models for every example: "
            "the reference models do not differ"
        )
    if variance == "pooled":
        return np.asarray(pooled)
    squares += prior_degrees * pooled
    return np.divide(squares, prior_degrees + degrees, out=squares)


def _global_variance(
    n_models: NDArray[np.int64],
    mean: NDArray[np.float64],
    squares: NDArray[np.float64],
    side: str,
    reference_name: str,
) -> NDArray[np.float64]:
    """Variance of all values of a side around their one mean: within examples and between them."""
    n_values = n_models.sum()
    between = mean - mean[np.argmax(n_models > 0)]  # from some example's mean, so that a large offset cannot cancel
    between[n_models == 0] = 0.0
    between -= np.dot(n_models, between) / n_values
    between *= between
    result = (squares.sum() + np.dot(n_models, between)) / n_values
    if result == 0:
        raise InputError(
            f"{reference_name} have one and the same value for every example and every {side} reference model: "
            "neither differs"
        )
    return np.asarray(result)


def log_normal_density(
    signal: NDArray[np.float64], mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Logarithm of the normal density, without the constant that both sides share.

    Examples
    --------
    >>> log_normal_density(np.array([1.0, 3.0]), np.array([1.0, 1.0]), np.asarray(1.0))
    array([-0., -2.])
    """
    density = signal - mean
    density *= density
    density /= variance
    density += np.log(variance)
    density *= -0.5
    return density


def rising_normal_cdf(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Φ, strictly rising where float64 has no room left for it.

    Examples
    --------
    >>> scores = rising_normal_cdf(np.array([0.0, 40.0, 50.0]))
    >>> scores.round(6), bool(scores[2] > scores[1])
    (array([0.5, 1. , 1. ]), True)
    """
    tail = ndtr(-_TAIL_START) * _TAIL_START / np.maximum(distance, _TAIL_START)
    return np.where(distance > _TAIL_START, 1.0 - tail, ndtr(distance))
