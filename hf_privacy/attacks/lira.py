"""LiRA: the likelihood ratio of a signal under models trained with and without the example."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from hf_privacy.attacks.inputs import as_array, boolean_matrix, finite
from hf_privacy.errors import InputError

_MODES = ("online", "offline")
_VARIANCES = ("per_example", "pooled", "shrunk")
# Beyond six standard deviations Φ is within 1e-9 of one and soon rounds to it.
_TAIL_START = 6.0


class _Side(NamedTuple):
    """The IN or the OUT reference models of every example, in three vectors of length N."""

    n_models: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]  # sum of squared distances from the mean


def lira(
    signal: ArrayLike,
    reference_signals: ArrayLike,
    reference_membership: ArrayLike,
    *,
    mode: Literal["online", "offline"] = "online",
    variance: Literal["per_example", "pooled", "shrunk"] = "pooled",
    prior_degrees: float = 8.0,
) -> NDArray[np.float64]:
    """Membership score of the likelihood-ratio attack, with a Gaussian for each side of each example.

    Online: log N(φ; μ_in, σ_in) − log N(φ; μ_out, σ_out). Offline: Φ((φ − μ_out)/σ_out), **one-sided**: a signal
    far below what models without the example show is no sign of membership (the authors' code scores both sides).

    Several queries of an example (augmentations) are treated as independent: their log-likelihood ratios are summed,
    and offline their standard scores are summed and divided by the root of their number. They are not independent in
    truth, which leaves the order of examples meaningful but not the size of the score.

    Parameters
    ----------
    signal : array-like of float, shape [N] or [Q, N]
        φ = logit_y − logsumexp_{j≠y} logit_j of the target model, per query and example.
    reference_signals : array-like of float, shape [K, N] or [Q, K, N]
        The same of each reference model. Read row by row, so a memory-mapped array stays on disk and no more than a
        few vectors of length N are held.
    reference_membership : array-like of bool, shape [K, N]
        True where reference model k was trained on example n.
    mode : {"online", "offline"}, default "online"
        Offline uses the OUT side alone.
    variance : {"per_example", "pooled", "shrunk"}, default "pooled"
        Per query, IN and OUT apart, with n reference models on a side of an example and SS their summed squared
        distance from its mean:

        - ``per_example``: SS/(n − 1); wants dozens of reference models a side;
        - ``pooled``: one for all examples, ΣSS/Σ(n − 1), around each example's own mean;
        - ``shrunk``: (ν₀·σ²_pooled + SS)/(ν₀ + n − 1).
    prior_degrees : float, default 8
        ν₀ of ``shrunk``, > 0: how many observations the pooled variance counts for. No paper gives a value; eight
        weighs it about as much as 16 reference models in random halves.

    Returns
    -------
    float64[N]
        Higher for likelier members. Online it is a log-likelihood ratio; offline it lies in [0, 1] and, since Φ
        would round to 1 and tie the most exposed examples, rises on beyond six standard deviations, within 1e-9 of Φ.

    Raises
    ------
    InputError
        If shapes disagree, a value is NaN or infinite, membership is not boolean, there are fewer than two reference
        models, a mode or variance is unknown, an example has no reference model on a side that the mode needs, or a
        variance cannot be estimated (too few reference models) or is zero.

    References
    ----------
    Carlini et al., "Membership inference attacks from first principles", IEEE S&P 2022 (arXiv 2112.03570),
    algorithm 1. The authors' code pools the variance over all examples' values; ours takes each example's mean out
    first.

    Examples
    --------
    >>> references = [[2.0, 0.0], [4.0, 1.0], [0.0, 3.0], [1.0, 5.0]]
    >>> membership = [[True, False], [True, False], [False, True], [False, True]]
    >>> lira([3.0, 0.5], references, membership).round(3)
    array([ 5.557, -3.756])
    """
    if mode not in _MODES:
        raise InputError(f"mode is {mode!r}: pass one of {', '.join(_MODES)}")
    if variance not in _VARIANCES:
        raise InputError(f"variance is {variance!r}: pass one of {', '.join(_VARIANCES)}")
    if variance == "shrunk" and not (np.isfinite(prior_degrees) and prior_degrees > 0):
        raise InputError(f"prior_degrees is {prior_degrees!r}: pass a number above 0")
    signals, references, membership = _check_shapes(signal, reference_signals, reference_membership)
    n_in = membership.sum(axis=0, dtype=np.int64)
    _check_sides(n_in, len(membership), mode)

    total = np.zeros(signals.shape[1])
    for query_signal, query_references in zip(signals, references, strict=True):
        inside, outside = _sides(query_references, membership, n_in)
        out_variance = _variance(outside, variance, prior_degrees, "OUT")
        out_distance = (query_signal - outside.mean) / np.sqrt(out_variance)
        if mode == "offline":
            total += out_distance
            continue
        in_variance = _variance(inside, variance, prior_degrees, "IN")
        in_distance = (query_signal - inside.mean) / np.sqrt(in_variance)
        total += 0.5 * (out_distance**2 - in_distance**2 + np.log(out_variance) - np.log(in_variance))
    if mode == "offline":
        return _rising_normal_cdf(total / np.sqrt(len(signals)))
    return total


def _check_shapes(
    signal: ArrayLike, reference_signals: ArrayLike, reference_membership: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.bool_]]:
    """Signal as [Q, N], references as [Q, K, N] (not yet read), membership as [K, N]."""
    signals, references = as_array("signal", signal), as_array("reference_signals", reference_signals)
    if signals.ndim not in (1, 2) or references.ndim != signals.ndim + 1:
        raise InputError(
            f"signal has shape {signals.shape} and reference_signals {references.shape}: "
            "pass [N] with [K, N], or [Q, N] with [Q, K, N]"
        )
    if signals.ndim == 1:
        signals, references = signals[np.newaxis], references[np.newaxis]
    n_queries, n_references, n_examples = references.shape
    if signals.shape != (n_queries, n_examples):
        raise InputError(
            f"signal has {signals.shape[1]:,} examples of {signals.shape[0]} queries and reference_signals "
            f"{n_examples:,} of {n_queries}: pass the same examples and queries in both"
        )
    if signals.size == 0:
        raise InputError("signal is empty: pass at least one example")
    if n_references < 2:
        raise InputError(f"reference_signals hold {n_references} reference models: pass at least 2")
    membership = boolean_matrix("reference_membership", reference_membership, (n_references, n_examples))
    return finite("signal", signals), references, membership


def _check_sides(n_in: NDArray[np.int64], n_references: int, mode: str) -> None:
    always_in, never_in = int(np.sum(n_in == n_references)), int(np.sum(n_in == 0))
    if always_in:
        raise InputError(
            f"reference_membership has {always_in:,} of {len(n_in):,} examples IN for all {n_references} reference "
            "models: leave them out, or train reference models without them"
        )
    if never_in and mode == "online":
        raise InputError(
            f"reference_membership has {never_in:,} of {len(n_in):,} examples OUT for all {n_references} reference "
            "models: use mode='offline', or leave them out"
        )


def _sides(references: NDArray[Any], membership: NDArray[np.bool_], n_in: NDArray[np.int64]) -> tuple[_Side, _Side]:
    """Count, mean and squared distances of the IN and the OUT references, from two passes over the rows."""
    # Distances from the first row keep large offsets out of the sums, and make the variance of constants exactly 0.
    origin = finite("reference_signals", references[0])
    in_sum, out_sum = np.zeros(len(n_in)), np.zeros(len(n_in))
    for row, row_membership in zip(references, membership, strict=True):
        distance = finite("reference_signals", row) - origin
        in_part = distance * row_membership
        in_sum += in_part
        out_sum += distance - in_part
    in_count, out_count = n_in.astype(np.float64), (len(membership) - n_in).astype(np.float64)
    in_mean, out_mean = in_sum / np.maximum(in_count, 1), out_sum / np.maximum(out_count, 1)
    in_squares, out_squares = np.zeros(len(n_in)), np.zeros(len(n_in))
    for row, row_membership in zip(references, membership, strict=True):
        squared = (row - origin - np.where(row_membership, in_mean, out_mean)) ** 2
        in_part = squared * row_membership
        in_squares += in_part
        out_squares += squared - in_part
    return _Side(in_count, in_mean + origin, in_squares), _Side(out_count, out_mean + origin, out_squares)


def _variance(side: _Side, variance: str, prior_degrees: float, name: str) -> NDArray[np.float64]:
    """Variance of one side, as one value per example or one for all."""
    degrees = np.maximum(side.n_models - 1, 0)
    if variance == "per_example":
        short = int(np.sum(degrees < 1))
        if short:
            raise InputError(
                f"variance='per_example' needs 2 {name} reference models per example and {short:,} of "
                f"{len(degrees):,} examples have fewer: use 'pooled' or 'shrunk', or train more"
            )
        flat = int(np.sum(side.squares == 0))
        if flat:
            raise InputError(
                f"reference_signals have zero variance over the {name} reference models for {flat:,} of "
                f"{len(degrees):,} examples: use variance='shrunk' or 'pooled'"
            )
        return side.squares / degrees
    if degrees.sum() == 0:
        raise InputError(
            f"no example has 2 {name} reference models, so no variance can be estimated: train more reference models"
        )
    pooled = side.squares.sum() / degrees.sum()
    if pooled == 0:
        raise InputError(
            f"reference_signals have zero variance over the {name} reference models for every example: "
            "the reference models do not differ"
        )
    if variance == "pooled":
        return np.asarray(pooled)
    return (prior_degrees * pooled + side.squares) / (prior_degrees + degrees)


def _rising_normal_cdf(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Φ, strictly rising where float64 has no room left for it."""
    tail = ndtr(-_TAIL_START) * _TAIL_START / np.maximum(distance, _TAIL_START)
    return np.where(distance > _TAIL_START, 1.0 - tail, ndtr(distance))
