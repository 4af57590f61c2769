"""LiRA: the likelihood ratio of a signal under models trained with and without the example."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from hf_privacy.attacks.inputs import as_array, finite
from hf_privacy.attacks.reference_rows import References, as_table, count_in, membership_rows, side_moments
from hf_privacy.errors import InputError

_MODES = ("online", "offline")
_VARIANCES = ("per_example", "pooled", "shrunk", "global")
# Beyond six standard deviations Φ is within 1e-9 of one and soon rounds to it.
_TAIL_START = 6.0


def lira(
    signal: ArrayLike,
    reference_signals: References,
    reference_membership: References,
    *,
    mode: Literal["online", "offline"] = "online",
    variance: Literal["per_example", "pooled", "shrunk", "global"] = "pooled",
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
        The same of each reference model: an array, or a list of K arrays of length N (Q such lists), such as one
        memory-mapped file per model. Read in place, a stretch of examples at a time, so what is memory-mapped stays
        on disk and about ten vectors of length N are held, however many reference models there are.
    reference_membership : array-like of bool, shape [K, N]
        True where reference model k was trained on example n; also a list of K arrays.
    mode : {"online", "offline"}, default "online"
        Offline uses the OUT side alone.
    variance : {"per_example", "pooled", "shrunk", "global"}, default "pooled"
        Per query, IN and OUT apart, with n reference models on a side of an example and SS their summed squared
        distance from its mean:

        - ``per_example``: SS/(n − 1); wants dozens of reference models a side;
        - ``pooled``: one for all examples, ΣSS/Σ(n − 1), around each example's own mean;
        - ``shrunk``: (ν₀·σ²_pooled + SS)/(ν₀ + n − 1);
        - ``global``: one for all examples, the mean squared distance of all values from their one grand mean. Blind
          to how much of it is examples differing from one another, so wider than ``pooled``, but the only one that
          two reference models, one a side, can give.
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
        models, a mode or variance is unknown, an example has no reference model on a side that the mode needs, a
        variance cannot be estimated (too few reference models) or is zero, or a square overflows.

    References
    ----------
    Carlini et al., "Membership inference attacks from first principles", IEEE S&P 2022 (arXiv 2112.03570),
    algorithm 1. ``global`` is the ``fix_variance`` of the authors' code, save that theirs takes the IN deviation for
    the OUT side too and medians for means; ``pooled`` takes each example's mean out first.

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
    n_in = count_in(membership)
    _check_sides(n_in, len(membership), mode)

    total = np.zeros(signals.shape[1])
    n_out = len(membership) - n_in
    for query_signal, query_rows in zip(signals, references, strict=True):
        sides = side_moments("reference_signals", query_rows, membership, n_in)
        out_variance = _variance(n_out, sides.out_mean, sides.out_squares, variance, prior_degrees, "OUT")
        if mode == "offline":
            total += (query_signal - sides.out_mean) / np.sqrt(out_variance)
            continue
        in_variance = _variance(n_in, sides.in_mean, sides.in_squares, variance, prior_degrees, "IN")
        total += _log_density(query_signal, sides.in_mean, in_variance)
        total -= _log_density(query_signal, sides.out_mean, out_variance)
    if mode == "offline":
        return _rising_normal_cdf(total / np.sqrt(len(signals)))
    return total


def _check_shapes(
    signal: ArrayLike, reference_signals: References, reference_membership: References
) -> tuple[NDArray[np.float64], list[list[NDArray[Any]]], list[NDArray[np.bool_]]]:
    """Signal as [Q, N], references as Q lists of K rows (not yet read), membership as K rows."""
    signals, references = as_array("signal", signal), as_table("reference_signals", reference_signals)
    if signals.ndim not in (1, 2) or len(references.shape) != signals.ndim + 1:
        raise InputError(
            f"signal has shape {signals.shape} and reference_signals {references.shape}: "
            "pass [N] with [K, N], or [Q, N] with [Q, K, N]"
        )
    signals = np.atleast_2d(signals)
    n_queries, n_references, n_examples = (1, *references.shape)[-3:]
    if signals.shape != (n_queries, n_examples):
        raise InputError(
            f"signal has {signals.shape[1]:,} examples of {signals.shape[0]} queries and reference_signals "
            f"{n_examples:,} of {n_queries}: pass the same examples and queries in both"
        )
    if signals.size == 0:
        raise InputError("signal is empty: pass at least one example")
    if n_references < 2:
        raise InputError(f"reference_signals hold {n_references} reference models: pass at least 2")
    membership = membership_rows("reference_membership", reference_membership, (n_references, n_examples))
    rows = [references.rows[first : first + n_references] for first in range(0, len(references.rows), n_references)]
    return finite("signal", signals), rows, membership


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


def _variance(
    n_models: NDArray[np.int64],
    mean: NDArray[np.float64],
    squares: NDArray[np.float64],
    variance: str,
    prior_degrees: float,
    name: str,
) -> NDArray[np.float64]:
    """Variance of one side, as one value per example (in the place of ``squares``) or one for all."""
    if variance == "global":
        return _global_variance(n_models, mean, squares, name)
    degrees = np.maximum(n_models - 1, 0)
    if variance == "per_example":
        short = int(np.sum(degrees < 1))
        if short:
            raise InputError(
                f"variance='per_example' needs 2 {name} reference models per example and {short:,} of "
                f"{len(degrees):,} examples have fewer: use 'pooled' or 'shrunk', or train more"
            )
        flat = int(np.sum(squares == 0))
        if flat:
            raise InputError(
                f"reference_signals have zero variance over the {name} reference models for {flat:,} of "
                f"{len(degrees):,} examples: use variance='shrunk' or 'pooled'"
            )
        return np.divide(squares, degrees, out=squares)
    if degrees.sum() == 0:
        raise InputError(
            f"no example has 2 {name} reference models, so no variance around its mean can be estimated: "
            "train more reference models, or use variance='global'"
        )
    pooled = squares.sum() / degrees.sum()
    if pooled == 0:
        raise InputError(
            f"reference_signals have zero variance over the {name} reference models for every example: "
            "the reference models do not differ"
        )
    if variance == "pooled":
        return np.asarray(pooled)
    squares += prior_degrees * pooled
    return np.divide(squares, prior_degrees + degrees, out=squares)


def _global_variance(
    n_models: NDArray[np.int64], mean: NDArray[np.float64], squares: NDArray[np.float64], name: str
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
            f"reference_signals have one and the same value for every example and every {name} reference model: "
            "neither differs"
        )
    return np.asarray(result)


def _log_density(
    signal: NDArray[np.float64], mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Logarithm of the normal density, without the constant that both sides share."""
    density = signal - mean
    density *= density
    density /= variance
    density += np.log(variance)
    density *= -0.5
    return density


def _rising_normal_cdf(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Φ, strictly rising where float64 has no room left for it."""
    tail = ndtr(-_TAIL_START) * _TAIL_START / np.maximum(distance, _TAIL_START)
    return np.where(distance > _TAIL_START, 1.0 - tail, ndtr(distance))
