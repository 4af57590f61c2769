"""Token LiRA: the likelihood ratio of a row's whole vector of log-probabilities, neighbours being correlated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice, check_number
from hf_privacy.attacks.inputs import log_probabilities
from hf_privacy.attacks.ragged import ragged_rows
from hf_privacy.attacks.reference_inputs import refuse_always_in, refuse_never_in
from hf_privacy.attacks.reference_rows import References, Sides, as_table, count_in, membership_rows, side_moments
from hf_privacy.attacks.side_gaussians import rising_normal_cdf, side_variance
from hf_privacy.errors import InputError

_MODES = ("online", "offline")
# A correlation of one would leave a row of a thousand tokens the weight of one.
_LARGEST_CORRELATION = 0.99


def token_lira(
    log_prob: ArrayLike,
    reference_log_probs: References,
    offsets: ArrayLike,
    reference_membership: References,
    *,
    mode: Literal["online", "offline"] = "online",
    shrinkage: float = 0.5,
) -> NDArray[np.float64]:
    """Membership score of LiRA on token log-probabilities, with a Gaussian vector for each side of each row.

    The mean of a side is taken token by token over its reference models. Its covariance is one for all rows,
    Σ = σ²·[(1 − s)·R + s·I] with R_ij = ρ^|i − j|: the variance σ² and the correlation ρ of neighbouring tokens are
    pooled over all rows around each token's own mean (ΣSS/Σ(m − 1) for m reference models), IN and OUT apart.

    Online: log N(l; μ_in, Σ_in) − log N(l; μ_out, Σ_out). Offline: Φ(z), z = 1ᵀΣ⁻¹(l − μ_out)/√(1ᵀΣ⁻¹1), the standard
    score of what all tokens moved by, **one-sided** as `lira`'s. A row of one token has `lira`'s score of pooled
    variance.

    Parameters
    ----------
    log_prob : array-like of float, shape [T]
        l_t = log p(x_t | x_<t) of every scored token under the target, in nats, ≤ 0: the rows one after the other.
    reference_log_probs : array-like of float, shape [K, T]
        The same of each of K ≥ 2 reference models: an array, or a list of K arrays such as one memory-mapped file per
        model. Read in place, a stretch of tokens at a time; some ten vectors of length T are held.
    offsets : array-like of int, shape [N + 1]
        Where each row starts, from 0, and T at the end. No row may be empty.
    reference_membership : array-like of bool, shape [K, N]
        True where reference model k was trained on row n.
    mode : {"online", "offline"}, default "online"
        Offline uses the OUT side alone.
    shrinkage : float, default 0.5
        s in [0, 1]: 0 takes the correlation as measured, 1 takes tokens as independent.

    Returns
    -------
    float64[N]
        Higher for likelier members. Online a log-likelihood ratio in nats, of all tokens together and so larger for
        longer rows; offline in [0, 1].

    Raises
    ------
    InputError
        If shapes disagree, a log-probability is NaN, infinite or, of the target, positive, the offsets do not fit,
        rows hold no token (how many), membership is not boolean, there are fewer than two reference models, a row has
        none on a side that the mode needs, no row has two on such a side, or they do not differ.

    References
    ----------
    Rossi et al., "Membership inference attacks on sequence models", 2025 (arXiv 2506.05126): modelling the correlation
    within a sequence helps. This covariance is ours.
    Carlini et al., "Membership inference attacks from first principles", IEEE S&P 2022 (arXiv 2112.03570).

    Notes
    -----
    Σ is that of a first-order autoregression seen through white noise, so a Kalman filter gives its whitened
    residuals in one sweep over the tokens, O(T), instead of O(n³) for every row.

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> references = [[-1.0, -2.0, -3.0], [-1.5, -1.0, -2.0], [-3.0, -4.0, -1.0], [-2.0, -5.0, -1.5]]
    >>> membership = [[True, False], [True, False], [False, True], [False, True]]
    >>> attacks.token_lira([-1.0, -1.5, -3.0], references, [0, 2, 3], membership).round(2)
    array([21.33, -5.53])
    """
    check_choice("mode", mode, _MODES)
    shrinkage = check_number("shrinkage", shrinkage, 0.0, 1.0, such_as="0.5")
    starts, (values,) = ragged_rows(offsets, log_prob=log_probabilities("log_prob", log_prob))
    rows, is_in, n_in = _references(reference_log_probs, reference_membership, starts, mode)
    lengths = np.diff(starts)
    counts = {"IN": np.repeat(n_in, lengths), "OUT": len(rows) - np.repeat(n_in, lengths)}
    sides = side_moments("reference_log_probs", rows, is_in, counts["IN"])
    products = _neighbour_products(rows, is_in, sides, starts)

    scores = np.zeros(len(lengths))
    for side, mean, squares in (("OUT", sides.out_mean, sides.out_squares), ("IN", sides.in_mean, sides.in_squares)):
        if side == "IN" and mode == "offline":
            break
        variance = float(
            side_variance(
                counts[side],
                mean,
                squares,
                variance="pooled",
                prior_degrees=1.0,
                side=side,
                reference_name="reference_log_probs",
            )
        )
        degrees = np.maximum(counts[side] - 1, 0)[_has_neighbour(starts)].sum()
        correlation = products[side] / max(degrees, 1) / variance
        correlation = float(np.clip(correlation, -_LARGEST_CORRELATION, _LARGEST_CORRELATION))
        fit = _Fit(variance, correlation, shrinkage)
        if mode == "offline":
            return rising_normal_cdf(_common_shift(values - mean, starts, fit))
        scores += _log_density(values - mean, starts, fit) * (1.0 if side == "IN" else -1.0)
    return scores


class _Fit(NamedTuple):
    """Covariance of a side: its variance, the correlation of neighbours, and how far that is shrunk."""

    variance: float
    correlation: float
    shrinkage: float


def _references(
    reference_log_probs: References, reference_membership: References, offsets: NDArray[np.int64], mode: str
) -> tuple[list[NDArray[Any]], list[NDArray[np.bool_]], NDArray[np.int64]]:
    """K rows of log-probabilities [T] (not yet read) and of membership, token by token, and the IN count of rows."""
    table, n_rows = as_table("reference_log_probs", reference_log_probs), len(offsets) - 1
    if len(table.shape) != 2 or table.shape[1] != offsets[-1]:
        raise InputError(
            f"reference_log_probs has shape {table.shape} and log_prob {offsets[-1]:,} values: pass one row per "
            "reference model and one column per scored token"
        )
    if len(table.rows) < 2:
        raise InputError(f"reference_log_probs hold {len(table.rows)} reference models: pass at least 2")
    membership = membership_rows("reference_membership", reference_membership, (len(table.rows), n_rows))
    n_in = count_in(membership)
    refuse_always_in(n_in, len(membership))
    if mode == "online":
        refuse_never_in(n_in, len(membership), "use mode='offline', or leave them out")
    return table.rows, [np.repeat(row, np.diff(offsets)) for row in membership], n_in


def _has_neighbour(offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which tokens of the flat array, but for its last, have their row's next one behind them."""
    followed = np.ones(offsets[-1], dtype=np.bool_)
    followed[offsets[1:] - 1] = False
    return followed


def _neighbour_products(
    rows: list[NDArray[Any]], is_in: list[NDArray[np.bool_]], sides: Sides, offsets: NDArray[np.int64]
) -> dict[str, float]:
    """Sum over reference models and neighbours of the product of their distances from the side's means."""
    followed = _has_neighbour(offsets)[:-1]
    products = {"IN": 0.0, "OUT": 0.0}
    for row, inside in zip(rows, is_in, strict=True):
        distance = row - np.where(inside, sides.in_mean, sides.out_mean)
        product = np.where(followed, distance[:-1] * distance[1:], 0.0)
        products["IN"] += float(product.sum(where=inside[:-1]))
        products["OUT"] += float(product.sum(where=~inside[:-1]))
    return products


def _innovations(
    values: NDArray[np.float64], offsets: NDArray[np.int64], fit: _Fit
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], float, float]]:
    """Token by token: rows that have one, what it holds beyond what those before it tell, of ones, and its variance.

    The variance and what a vector of ones would hold are the same for all rows, in units of the fit's variance.
    """
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    n_left = len(order) - np.searchsorted(np.sort(lengths), np.arange(lengths.max()), side="right")
    correlated = 1.0 - fit.shrinkage
    expected, expected_one, spread = np.zeros(len(order)), 0.0, correlated
    for step, n_rows in enumerate(n_left):
        rows, variance = order[:n_rows], spread + fit.shrinkage
        innovation, one = values[offsets[rows] + step] - expected[:n_rows], 1.0 - expected_one
        yield rows, innovation, one, variance
        gain = spread / variance
        expected = fit.correlation * (expected[:n_rows] + gain * innovation)
        expected_one = fit.correlation * (expected_one + gain * one)
        spread = fit.correlation**2 * spread * (1.0 - gain) + correlated * (1.0 - fit.correlation**2)


def _log_density(distance: NDArray[np.float64], offsets: NDArray[np.int64], fit: _Fit) -> NDArray[np.float64]:
    """Logarithm of N(d; 0, Σ) of every row, without the constant that both sides share."""
    total = np.zeros(len(offsets) - 1)
    for rows, innovation, _, variance in _innovations(distance, offsets, fit):
        scale = variance * fit.variance
        total[rows] += innovation**2 / scale + np.log(scale)
    return -0.5 * total


def _common_shift(distance: NDArray[np.float64], offsets: NDArray[np.int64], fit: _Fit) -> NDArray[np.float64]:
    """1ᵀΣ⁻¹d/√(1ᵀΣ⁻¹1) of every row."""
    shift, weight = np.zeros(len(offsets) - 1), np.zeros(len(offsets) - 1)
    for rows, innovation, one, variance in _innovations(distance, offsets, fit):
        shift[rows] += one * innovation / variance
        weight[rows] += one * one / variance
    return shift / np.sqrt(weight * fit.variance)
