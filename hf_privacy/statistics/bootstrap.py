"""Bootstrap intervals of what scores say about membership."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.special import ndtr, ndtri

from hf_privacy.arguments import LARGEST_SEED, check_choice, check_number, check_seed, check_whole, is_choice, seen
from hf_privacy.errors import InputError
from hf_privacy.statistics.checks import check_confidence, check_fpr, check_groups, check_scores
from hf_privacy.statistics.tpr import allowed_false_positives, why_unresolved

_ENTRIES_AT_ONCE = 4_000_000  # of one table of resamples × examples: 32 MB
_JACKKNIFE_BLOCKS = 400  # a stratum, at most: the acceleration is a third moment and needs no more

Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def bootstrap_interval(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    statistic: str | Callable[[NDArray[np.float64], NDArray[np.bool_]], float] = "auc",
    fpr: float | None = None,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    groups: ArrayLike | None = None,
    method: str = "percentile",
) -> tuple[float, float]:
    """Confidence interval by resampling members and non-members apart, or whole groups of examples.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]
    statistic : {"auc", "tpr_at_fpr", "balanced_accuracy"} or callable, default "auc"
        A callable takes (scores, membership) of one resample and returns a finite float; it is called once per
        resample, where the named ones are computed for many resamples at a time.
    fpr : float, optional
        Target of "tpr_at_fpr", in (0, 1); with no other statistic.
    n_resamples : int, default 1000
        At least 2/(1 − confidence).
    confidence : float, default 0.95
    seed : int, default 0
    groups : array-like of int or str, shape [N], optional
        What is drawn together, such as the user an example is from or the target model a score is of. Groups of
        members only, of non-members only and of both are resampled apart, so every resample holds both.
    method : {"percentile", "bca"}, default "percentile"
        "bca" corrects for bias and skewness (jackknife over the groups, in at most 400 blocks a stratum).

    Returns
    -------
    low, high : float

    Raises
    ------
    InputError
        See `check_scores`; also if statistic, method or fpr is unknown or missing, the non-members cannot resolve the
        target, n_resamples is too small, groups do not match, or a callable returns no finite number.

    Notes
    -----
    At the end of the scale the bootstrap is blind: a perfect attack, or constant scores, gives an interval of no
    width, where `auc_interval` and `tpr_at_fpr` state one that holds. Far in the tail (n_nonmembers · fpr of a few
    examples) it covers less than it says, where `tpr_at_fpr` does not.

    References
    ----------
    Efron, "Better bootstrap confidence intervals", JASA 1987; Davison and Hinkley, "Bootstrap methods and their
    application", 1997, sections 3.8 (groups) and 5.3.

    Examples
    --------
    >>> import numpy as np
    >>> membership = np.arange(400) < 200
    >>> scores = np.random.default_rng(0).normal(size=400) + membership
    >>> [round(end, 3) for end in bootstrap_interval(scores, membership)]
    [0.744, 0.829]
    >>> [round(end, 3) for end in bootstrap_interval(scores, membership, statistic="tpr_at_fpr", fpr=0.1)]
    [0.295, 0.56]
    """
    tail = (1.0 - check_confidence(confidence)) / 2
    scores, membership = check_scores(scores, membership)
    n_resamples = check_whole("n_resamples", n_resamples, at_least=1)
    generator = np.random.default_rng(check_seed(seed, at_most=LARGEST_SEED))
    if n_resamples * tail < 1.0 - 1e-9:
        raise InputError(
            f"n_resamples is {n_resamples:,}: a confidence of {confidence:g} needs at least {np.ceil(1 / tail):,.0f}"
        )
    check_choice("method", method, ("percentile", "bca"))
    labels = np.arange(len(scores)) if groups is None else check_groups(groups, len(scores))
    unit = np.unique(labels, return_inverse=True)[1]
    evaluate = _evaluator(scores, membership, unit, statistic, fpr)
    strata = _strata(membership, unit)
    n_units = int(unit.max()) + 1
    rows = max(1, _ENTRIES_AT_ONCE // len(scores))
    values = np.concatenate(
        [evaluate(weights) for weights in _resamples(strata, n_units, n_resamples, rows, generator)]
    )
    quantiles = np.array([tail, 1.0 - tail])
    if method == "bca":
        observed = float(evaluate(np.ones((1, n_units)))[0])
        quantiles = _bca_quantiles(quantiles, values, observed, _acceleration(evaluate, strata, n_units, rows))
    low, high = np.quantile(values, quantiles)
    return float(low), float(high)


def _strata(membership: NDArray[np.bool_], unit: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Units of members only, of non-members only, and of both."""
    n_members = np.bincount(unit, weights=membership)
    n_examples = np.bincount(unit)
    kinds = np.where(n_members == n_examples, 1, np.where(n_members == 0, 0, 2))
    return [np.flatnonzero(kinds == kind) for kind in range(3) if np.any(kinds == kind)]


def _resamples(
    strata: list[NDArray[np.int64]], n_units: int, n_resamples: int, rows: int, generator: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """How often each unit was drawn, in blocks of resamples."""
    streams = generator.spawn(len(strata))  # one each, so that the size of the blocks does not change the draw
    for start in range(0, n_resamples, rows):
        n_rows = min(rows, n_resamples - start)
        weights = np.zeros((n_rows, n_units))
        for units, stream in zip(strata, streams, strict=True):
            drawn = stream.integers(len(units), size=(n_rows, len(units)))
            drawn += len(units) * np.arange(n_rows)[:, None]
            weights[:, units] = np.bincount(drawn.ravel(), minlength=n_rows * len(units)).reshape(n_rows, -1)
        yield weights


def _evaluator(
    scores: NDArray[np.float64],
    membership: NDArray[np.bool_],
    unit: NDArray[np.int64],
    statistic: str | Callable[..., float],
    fpr: float | None,
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """From weights of units, one row a resample, to the statistic of each row."""
    if (fpr is not None) != is_choice(statistic, ("tpr_at_fpr",)):
        raise InputError(
            f"fpr is {seen(fpr)} with statistic {seen(statistic)}: pass a target with 'tpr_at_fpr' and only there"
        )
    if callable(statistic):
        return partial(_by_calling, scores, membership, unit, statistic)
    known: dict[str, Statistic] = {"auc": _auc, "balanced_accuracy": _balanced_accuracy}
    if fpr is not None:
        fpr = check_fpr(fpr)
        n_nonmembers = int(np.count_nonzero(~membership))
        if allowed_false_positives(n_nonmembers, fpr) < 0:
            raise InputError(f"fpr is {fpr:g}: {why_unresolved(n_nonmembers, fpr)}, or a higher fpr")
        known["tpr_at_fpr"] = partial(_tpr, fpr=fpr)
    if not is_choice(statistic, known):
        raise InputError(
            f"statistic is {seen(statistic)}: pass 'auc', 'tpr_at_fpr', 'balanced_accuracy' or a function"
        )
    level = np.unique(-scores, return_inverse=True)[1]  # 0 is the highest score
    shape = (int(unit.max()) + 1, int(level.max()) + 1)
    counts = [
        csr_matrix((np.ones(chosen.sum()), (unit[chosen], level[chosen])), shape=shape).T.tocsr()
        for chosen in (membership, ~membership)
    ]
    compute = known[statistic]

    def evaluate(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        members, nonmembers = (np.cumsum((table @ weights.T).T, axis=1) for table in counts)
        return compute(members, nonmembers)

    return evaluate


def _auc(true_positives: NDArray[np.float64], false_positives: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.diff(false_positives, axis=1, prepend=0.0)
    mean_height = true_positives - np.diff(true_positives, axis=1, prepend=0.0) / 2  # a tie counts one half
    return np.sum(steps * mean_height, axis=1) / (true_positives[:, -1] * false_positives[:, -1])


def _balanced_accuracy(
    true_positives: NDArray[np.float64], false_positives: NDArray[np.float64]
) -> NDArray[np.float64]:
    gap = true_positives / true_positives[:, -1:] - false_positives / false_positives[:, -1:]
    return (1.0 + np.maximum(gap.max(axis=1), 0.0)) / 2


def _tpr(
    true_positives: NDArray[np.float64], false_positives: NDArray[np.float64], *, fpr: float
) -> NDArray[np.float64]:
    # As in `tpr_at_fpr`; of groups, a resample may hold another number of non-members.
    allowed = np.floor((false_positives[:, -1:] + 1) * fpr * (1 + 1e-12)) - 1
    found = np.where(false_positives <= allowed, true_positives, 0.0).max(axis=1)
    return found / true_positives[:, -1]


def _by_calling(
    scores: NDArray[np.float64],
    membership: NDArray[np.bool_],
    unit: NDArray[np.int64],
    statistic: Callable[..., Any],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    values = np.empty(len(weights))
    for row, weight in enumerate(weights.astype(np.int64)):
        chosen = np.repeat(np.arange(len(scores)), weight[unit])
        value = statistic(scores[chosen], membership[chosen])
        values[row] = check_number("what statistic returned", value)
    return values


def _acceleration(
    evaluate: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    strata: list[NDArray[np.int64]],
    n_units: int,
    rows: int,
) -> float:
    """Skewness of the statistic's influence, by leaving out a block of units of one stratum at a time."""
    square = cube = 0.0
    for units in strata:
        blocks = np.array_split(units, min(len(units), _JACKKNIFE_BLOCKS))
        if len(blocks) < 2:  # a stratum of one unit cannot be left out: it adds no spread
            continue
        weights = np.ones((len(blocks), n_units))
        for row, block in enumerate(blocks):
            weights[row, block] = 0.0
        left_out = np.concatenate([evaluate(weights[start : start + rows]) for start in range(0, len(blocks), rows)])
        influence = (len(blocks) - 1) / len(blocks) * (left_out.mean() - left_out)
        square += float(np.sum(influence**2))
        cube += float(np.sum(influence**3))
    return cube / (6.0 * square**1.5) if square > 0.0 else 0.0


def _bca_quantiles(
    quantiles: NDArray[np.float64], values: NDArray[np.float64], observed: float, acceleration: float
) -> NDArray[np.float64]:
    # Resamples equal to the observed value count one half; clipped, since a statistic at its end has infinite bias.
    below = np.mean(values < observed) + np.mean(values == observed) / 2
    bias = ndtri(np.clip(below, 0.5 / len(values), 1 - 0.5 / len(values)))
    shifted = bias + ndtri(quantiles)
    return ndtr(bias + shifted / (1.0 - acceleration * shifted))
