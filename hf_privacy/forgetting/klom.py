"""KLoM: the KL divergence between each example's margins under unlearned and under retrained models."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_number, check_numbers, check_whole, seen
from hf_privacy.errors import InputError
from hf_privacy.forgetting.halves import against_halves
from hf_privacy.forgetting.inputs import model_table


def margin_divergence(
    unlearned: ArrayLike,
    retrained: ArrayLike,
    *,
    n_bins: int = 20,
    clip: tuple[float, float] = (-100.0, 100.0),
    floor: float = 1e-5,
) -> NDArray[np.float64]:
    """KL(unlearned ‖ retrained) of each example's margins, from histograms over their joint range.

    Parameters
    ----------
    unlearned : array-like of float, shape [K, N], K ≥ 2
        Margin logit_y − logsumexp of the other logits, that is φ, per model and example.
    retrained : array-like of float, shape [L, N], L ≥ 2
    n_bins : int, default 20
        Of equal width between the least and the largest margin of the example, over both.
    clip : (float, float), default (-100, 100)
        Margins beyond count as these ends, lest one of them stretch the bins over all the others.
    floor : float, default 1e-5
        Least share of retrained models in a bin that holds unlearned ones: an empty one would make it infinite. The
        largest value there can be is −ln(floor) = 11.5.

    Returns
    -------
    float64[N]
        In nats, at least 0; 0 where all margins of the example are one and the same. Never NaN.

    Raises
    ------
    InputError
        If shapes disagree, a value is not finite, there are fewer than 2 models a side, or an option is out of range.

    References
    ----------
    Georgiev et al., "Attribute-to-delete: machine unlearning via datamodel matching", 2024 (arXiv 2410.23232), E.1.
    Released versions leave the largest margin of each example out of its histogram (it lies on the last edge); ours
    counts it.

    Examples
    --------
    >>> margin_divergence([[0.0, 0.0], [1.0, 1.0]], [[0.0, 5.0], [1.0, 6.0]]).round(3)
    array([ 0.  , 10.82])
    """
    ours = model_table("unlearned", unlearned, at_least=2)
    theirs = model_table("retrained", retrained, at_least=2, n_examples=ours.shape[1])
    return _divergence(ours, theirs, *_options(n_bins, clip, floor))


def klom(
    unlearned: ArrayLike,
    retrained: ArrayLike,
    *,
    n_bins: int = 20,
    clip: tuple[float, float] = (-100.0, 100.0),
    floor: float = 1e-5,
    n_splits: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean and 95th percentile of `margin_divergence` over examples, with the values retraining itself gets.

    Parameters
    ----------
    unlearned : array-like of float, shape [K, N], K ≥ 2
    retrained : array-like of float, shape [L, N], L ≥ 4
    n_bins, clip, floor
        As in `margin_divergence`.
    n_splits : int, default 10
        Random halves of the retrained models for the null.
    seed : int, default 0

    Returns
    -------
    dict
        ``klom_mean``, ``klom_percentile_95`` and ``klom_median`` of all models; ``null_mean`` and
        ``null_percentile_95`` between two halves of the retrained models, averaged over the splits: **the value of a
        perfect unlearner**, well above 0; ``matched_mean`` and ``matched_percentile_95`` of as many unlearned models
        against the second half, the ones to compare with the null; ``n_examples``, ``n_unlearned``, ``n_retrained``,
        ``n_matched``, ``n_bins``.

    Raises
    ------
    InputError
        As `margin_divergence`; also with fewer than 4 retrained models, which have no halves.

    Notes
    -----
    The value falls as models are added, since empty bins cost most: compare at equal numbers only. The paper uses
    100 models a side.

    References
    ----------
    As `margin_divergence`; null and matched values are ours.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> retrained = generator.normal(size=(40, 100))
    >>> result = klom(generator.normal(size=(20, 100)) + 3.0, retrained)
    >>> result["null_mean"] < result["matched_mean"], result["n_matched"]
    (True, 20)
    """
    ours = model_table("unlearned", unlearned, at_least=2)
    theirs = model_table("retrained", retrained, at_least=4, n_examples=ours.shape[1])
    options = _options(n_bins, clip, floor)

    def measure(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        values = _divergence(first, second, *options)
        return np.array([values.mean(), np.percentile(values, 95)])

    whole = _divergence(ours, theirs, *options)
    matched, null = (part.mean(axis=0) for part in against_halves(measure, ours, theirs, n_splits=n_splits, seed=seed))
    return {
        "klom_mean": float(whole.mean()),
        "klom_percentile_95": float(np.percentile(whole, 95)),
        "klom_median": float(np.median(whole)),
        "null_mean": float(null[0]),
        "null_percentile_95": float(null[1]),
        "matched_mean": float(matched[0]),
        "matched_percentile_95": float(matched[1]),
        "n_examples": ours.shape[1],
        "n_unlearned": len(ours),
        "n_retrained": len(theirs),
        "n_matched": min(len(ours), len(theirs) // 2),
        "n_bins": options[0],
    }


def _divergence(
    unlearned: NDArray[np.float64],
    retrained: NDArray[np.float64],
    n_bins: int,
    clip: tuple[float, float],
    floor: float,
) -> NDArray[np.float64]:
    values = np.clip(np.concatenate([unlearned, retrained]), *clip)
    low, width = values.min(axis=0), np.ptp(values, axis=0)
    # All margins alike: any width puts them into the first bin together.
    place = (values - low) / np.where(width > 0, width, 1.0) * n_bins
    bins = np.minimum(place.astype(np.int64), n_bins - 1)
    p = _shares(bins[: len(unlearned)], n_bins)
    q = np.maximum(_shares(bins[len(unlearned) :], n_bins), floor)
    ratio = np.where(p > 0, p, 1.0) / np.where(p > 0, q, 1.0)
    # The floor adds a little mass to q, which can take an exact 0 a little below.
    return np.maximum(np.sum(p * np.log(ratio), axis=1), 0.0)


def _shares(bins: NDArray[np.int64], n_bins: int) -> NDArray[np.float64]:
    """Share of the models in each bin: [N, n_bins]."""
    n_models, n_examples = bins.shape
    flat = (bins + n_bins * np.arange(n_examples)).ravel()
    return np.bincount(flat, minlength=n_examples * n_bins).reshape(n_examples, n_bins) / n_models


def _options(n_bins: int, clip: tuple[float, float], floor: float) -> tuple[int, tuple[float, float], float]:
    n_bins = check_whole("n_bins", n_bins, at_least=2)
    ends = check_numbers("clip", clip)
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise InputError(f"clip is {seen(clip)}: pass two finite numbers, the lower first")
    floor = check_number("floor", floor, 0.0, 1.0, low_open=True, high_open=True, such_as="1e-5")
    return n_bins, (ends[0], ends[1]), floor
