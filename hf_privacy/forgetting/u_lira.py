"""U-LiRA: can an example that was trained on and then unlearned be told from one that was never seen?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from hf_privacy.arguments import check_choice, check_number
from hf_privacy.arrays import finite_vector, squarable
from hf_privacy.errors import InputError
from hf_privacy.forgetting.inputs import model_table
from hf_privacy.statistics import auc, summarize, tpr_at_fpr
from hf_privacy.statistics.checks import check_confidence, check_shares

_JACKKNIFE_BLOCKS = 16  # at most: with more of them the interval hardly changes, and the time grows

Variance = Literal["per_example", "pooled", "shrunk"]


class ULira(NamedTuple):
    """Scores of held-out models, and what they say.

    Attributes
    ----------
    unlearned_scores, never_scores : float64[F, N]
        Of each pair of held-out models; higher means likelier unlearned than never seen.
    summary : dict
        As `hf_privacy.statistics.summarize` over all F · N scores of either kind ("members" are those of unlearned
        models), but with ``auc`` the mean of the areas of single pairs and with wider intervals (see `u_lira`); and
        ``n_pairs`` (F) and ``n_examples``.
    """

    unlearned_scores: NDArray[np.float64]
    never_scores: NDArray[np.float64]
    summary: dict[str, Any]


def u_lira_scores(
    phi: ArrayLike,
    unlearned_phi: ArrayLike,
    never_phi: ArrayLike,
    *,
    variance: Variance = "pooled",
    prior_degrees: float = 8.0,
    variance_floor: float = 1e-3,
) -> NDArray[np.float64]:
    """Log-likelihood ratio of a model's signal: Gaussian of unlearned models against that of models that never saw.

    Parameters
    ----------
    phi : array-like of float, shape [N]
        φ = logit_y − logsumexp of the other logits, of the model to be judged on each forget example; of a language
        model the mean log-likelihood of the row's scored tokens. It must **not** be among those of the fit.
    unlearned_phi : array-like of float, shape [K, N], K ≥ 2
        The same of models trained with each example and then made to forget it.
    never_phi : array-like of float, shape [L, N], L ≥ 2
        The same of models that never saw it.
    variance : {"per_example", "pooled", "shrunk"}, default "pooled"
        As in `hf_privacy.attacks.lira`, each side apart: SS/(n − 1) of the example, one for all examples, or the first
        drawn to the second.
    prior_degrees : float, default 8
        Of "shrunk": how many observations the pooled variance counts for.
    variance_floor : float, default 1e-3
        No variance is below this share of the pooled variance of both sides. Models that agree on an example (σ = 0)
        thus give a large score, never NaN or infinity.

    Returns
    -------
    float64[N]
        log N(φ; μ_unlearned, σ_unlearned) − log N(φ; μ_never, σ_never), finite; higher for likelier unlearned.

    Raises
    ------
    InputError
        If shapes disagree, a value is not finite, there are fewer than 2 models a side, the tables hold 0 and 1 alone
        (correctness, not φ), or an option is out of range.

    Examples
    --------
    >>> u_lira_scores([0.0, 3.0], [[2.0, 2.0], [4.0, 4.0]], [[-1.0, -1.0], [1.0, 1.0]]).round(3)
    array([-2.25,  2.25])
    """
    target = squarable("phi", finite_vector("phi", phi))
    unlearned, never = _tables(unlearned_phi, never_phi, at_least=2, n_examples=len(target))
    _check_options(variance, prior_degrees, variance_floor)
    return _scores(target[None], unlearned, never, variance, prior_degrees, variance_floor)[0]


def u_lira(
    unlearned_phi: ArrayLike,
    never_phi: ArrayLike,
    *,
    variance: Variance = "pooled",
    prior_degrees: float = 8.0,
    variance_floor: float = 1e-3,
    fprs: Iterable[float] = (0.01,),
    confidence: float = 0.95,
) -> ULira:
    """How well unlearned examples are told from never-seen ones, each model judged by Gaussians of the others.

    One unlearned and one never-seen model are left out at a time and **both** are scored by the same Gaussians, those
    of the models that remain. Were they scored by different ones (each left out of its own side alone), a perfect
    unlearner would come out below an AUC of one half.

    Parameters
    ----------
    unlearned_phi : array-like of float, shape [K, N], K ≥ 4
        φ of models trained with each example and then made to forget it, from different seeds.
    never_phi : array-like of float, shape [L, N], L ≥ 4
        φ of models that never saw it, such as retrained ones. With another number of models min(K, L) pairs are left
        out, and the rest of the longer side takes part in every fit.
    variance, prior_degrees, variance_floor
        As in `u_lira_scores`.
    fprs : iterable of float, default (0.01,)
        False positive rates at which to give the TPR.
    confidence : float, default 0.95

    Returns
    -------
    ULira

    Raises
    ------
    InputError
        As `u_lira_scores`; also with fewer than 4 models a side, and as `hf_privacy.statistics.summarize`.

    Notes
    -----
    **Null**: models whose distribution is that of retraining give an AUC of 0.5 in expectation, whatever K and N, and
    a TPR near the FPR, not above it.

    The scores are not independent: every model takes part in the fits that judge the others, so that intervals that
    take them for it fail for a perfect unlearner in 20 % of cases instead of 5 %. Those of ``auc`` and of each TPR
    are therefore the wider of `summarize`'s and of a jackknife that leaves models out of the whole procedure (in at
    most 16 blocks), which errs on the safe side (Efron and Stein, Annals of Statistics 1981). They cover the chance
    of training and, by the former, that of the examples.

    References
    ----------
    Hayes et al., "Inexact unlearning needs more careful evaluations to avoid a false sense of privacy" (arXiv
    2403.01218). Released versions score 0/1 correctness, with models that took part in the fit, and give NaN at σ = 0.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> never = generator.normal(size=(8, 200))
    >>> result = u_lira(generator.normal(size=(8, 200)) + 1.0, never)
    >>> round(result.summary["auc"], 2), result.summary["n_pairs"], result.unlearned_scores.shape
    (0.72, 8, (8, 200))
    """
    unlearned, never = _tables(unlearned_phi, never_phi, at_least=4)
    _check_options(variance, prior_degrees, variance_floor)
    level, targets = check_confidence(confidence), check_shares("fprs", fprs)
    scores = _held_out_scores(unlearned, never, variance, prior_degrees, variance_floor)
    summary = _summarize(scores, targets, level)
    errors = _jackknife_errors(unlearned, never, targets, level, (variance, prior_degrees, variance_floor))
    summary["auc_low"], summary["auc_high"] = _widened(
        summary["auc"], summary["auc_low"], summary["auc_high"], errors[0]
    )
    for rate, error in zip(summary["tpr_at_fpr"], errors[1:], strict=True):
        if rate["tpr"] is not None:
            rate["low"], rate["high"] = _widened(rate["tpr"], rate["low"], rate["high"], error)
    summary |= {"n_pairs": scores.shape[1], "n_examples": scores.shape[2]}
    return ULira(scores[0], scores[1], summary)


def _held_out_scores(
    unlearned: NDArray[np.float64],
    never: NDArray[np.float64],
    variance: Variance,
    prior_degrees: float,
    variance_floor: float,
) -> NDArray[np.float64]:
    """Scores of unlearned and of never-seen models, [2, F, N], each by the Gaussians of the others."""
    n_pairs = min(len(unlearned), len(never))
    scores = np.empty((2, n_pairs, unlearned.shape[1]))
    for pair in range(n_pairs):
        scores[:, pair] = _scores(
            np.stack([unlearned[pair], never[pair]]),
            np.delete(unlearned, pair, axis=0),
            np.delete(never, pair, axis=0),
            variance,
            prior_degrees,
            variance_floor,
        )
    return scores


def _summarize(scores: NDArray[np.float64], fprs: list[float], confidence: float) -> dict[str, Any]:
    membership = np.repeat([True, False], scores[0].size)
    return summarize(scores.ravel(), membership, fprs=fprs, confidence=confidence) | {"auc": _mean_area(scores)}


def _mean_area(scores: NDArray[np.float64]) -> float:
    # Pair by pair, where both sides are scored by one and the same fit: of all scores together it would lie a little
    # below one half for a perfect unlearner, since the fit of one pair holds the models of the others.
    one_pair = np.repeat([True, False], scores.shape[2])
    return float(np.mean([auc(scores[:, pair].ravel(), one_pair) for pair in range(scores.shape[1])]))


def _jackknife_errors(
    unlearned: NDArray[np.float64],
    never: NDArray[np.float64],
    fprs: list[float],
    confidence: float,
    options: tuple[Variance, float, float],
) -> list[float]:
    """How far to either side of the AUC, and of each TPR, the chance of the models reaches."""
    n_blocks = min(len(unlearned), len(never), _JACKKNIFE_BLOCKS)
    blocks = zip(
        np.array_split(np.arange(len(unlearned)), n_blocks),
        np.array_split(np.arange(len(never)), n_blocks),
        strict=True,
    )
    values = []
    for ours, theirs in blocks:
        scores = _held_out_scores(np.delete(unlearned, ours, axis=0), np.delete(never, theirs, axis=0), *options)
        membership = np.repeat([True, False], scores[0].size)
        # Fewer pairs may not resolve a target that all of them did: the nearest one that they do stands in.
        finest = 1.0 / (scores[0].size + 1)
        rates = [tpr_at_fpr(scores.ravel(), membership, fpr=max(fpr, finest))["tpr"] for fpr in fprs]
        values.append([_mean_area(scores), *rates])
    variances = (n_blocks - 1) * np.var(values, axis=0)
    return list(t.isf((1.0 - confidence) / 2, n_blocks - 1) * np.sqrt(variances))


def _widened(value: float, low: float, high: float, reach: float) -> tuple[float, float]:
    return float(max(min(low, value - reach), 0.0)), float(min(max(high, value + reach), 1.0))


def _scores(
    phi: NDArray[np.float64],
    unlearned: NDArray[np.float64],
    never: NDArray[np.float64],
    variance: Variance,
    prior_degrees: float,
    variance_floor: float,
) -> NDArray[np.float64]:
    """Scores of the rows of ``phi``."""
    means = [table.mean(axis=0) for table in (unlearned, never)]
    squares = [((table - mean) ** 2).sum(axis=0) for table, mean in zip((unlearned, never), means, strict=True)]
    degrees = [len(unlearned) - 1, len(never) - 1]
    n_examples = phi.shape[1]
    floor = variance_floor * (squares[0].sum() + squares[1].sum()) / (sum(degrees) * n_examples)
    # Where the models of each side agree on every example: far below any difference that float32 logits could show.
    size = max(np.abs(unlearned).max(), np.abs(never).max())
    floor = max(floor, (1e-6 * (1.0 + size)) ** 2)
    total = np.zeros_like(phi)
    for sign, mean, square, freedom in zip((1.0, -1.0), means, squares, degrees, strict=True):
        pooled = square.sum() / (freedom * n_examples)
        if variance == "per_example":
            spread = square / freedom
        elif variance == "pooled":
            spread = np.full(n_examples, pooled)
        else:
            spread = (prior_degrees * pooled + square) / (prior_degrees + freedom)
        spread = np.maximum(spread, floor)
        total -= sign * 0.5 * ((phi - mean) ** 2 / spread + np.log(spread))
    return total


def _tables(
    unlearned_phi: ArrayLike, never_phi: ArrayLike, *, at_least: int, n_examples: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    unlearned = model_table("unlearned_phi", unlearned_phi, at_least=at_least, n_examples=n_examples)
    never = model_table("never_phi", never_phi, at_least=at_least, n_examples=unlearned.shape[1])
    squarable("unlearned_phi", unlearned)
    squarable("never_phi", never)
    if all(np.all((table == 0) | (table == 1)) for table in (unlearned, never)):
        raise InputError(
            "unlearned_phi and never_phi hold 0 and 1 alone: pass the signal φ computed from logits, correctness has "
            "no Gaussian"
        )
    return unlearned, never


def _check_options(variance: str, prior_degrees: float, variance_floor: float) -> None:
    check_choice("variance", variance, ("per_example", "pooled", "shrunk"))
    check_number("prior_degrees", prior_degrees, 0.0, low_open=True)
    check_number("variance_floor", variance_floor, 0.0, low_open=True)
