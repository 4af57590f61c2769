"""Upper limits of an attack's two error rates at thresholds whose choice does not spoil the confidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import LARGEST_SEED, check_number, check_seed, check_whole, is_choice, seen
from hf_privacy.errors import InputError
from hf_privacy.statistics.checks import check_confidence, check_scores
from hf_privacy.statistics.intervals import clopper_pearson
from hf_privacy.statistics.roc import roc_counts

# Thresholds tried on the half that chooses: they cost nothing there, more than this changes nothing.
_N_TRIED = 400

Limits = tuple[NDArray[np.float64], NDArray[np.float64]]


def error_limits(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    lower_bound: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    confidence: float,
    correction: str,
    threshold: float | None,
    n_thresholds: int,
    seed: int,
) -> Limits:
    """Upper Clopper-Pearson limits of the false positive and false negative rate at one or several thresholds.

    All limits hold together with the stated confidence, so any quantity computed from them, and the largest of
    several, is a valid bound at that confidence.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member; an example is called a member at or above a threshold.
    membership : array-like of bool, shape [N]
    lower_bound : callable
        From the two limits to the bound they are wanted for; tells the "split" correction which threshold to choose.
    confidence : float
        Of all limits together. The risk is shared evenly: (1 − confidence)/2 for each of the two limits at one
        threshold, (1 − confidence)/(2T) at T thresholds.
    correction : {"split", "bonferroni", "none"}
        "split": a random half of the members and of the non-members chooses the threshold, the other half is counted
        at it. "bonferroni": everything is counted at T thresholds, those of fixed ranks: the threshold that calls
        the k highest non-members, and the one that misses the k lowest members, for k = 0 … n/2 in geometric steps.
        "none": only with a threshold of one's own, set without these scores.
    threshold : float or None
        Count at this threshold alone; the correction then plays no part.
    n_thresholds : int
        For "bonferroni": even, half by the ranks of non-members and half by those of members. Repeated ranks, in
        small samples, count once.
    seed : int
        Of the random halves.

    Returns
    -------
    fpr_upper, fnr_upper : float64[T]
        In (0, 1].

    Raises
    ------
    InputError
        See `check_scores`; also if correction is unknown or "none" without a threshold, the threshold is NaN,
        n_thresholds is odd or below 2, or a class is too small to be halved.

    Notes
    -----
    Why ranks of one class keep the limits valid: given the non-members, the threshold is fixed and the number of
    members missed is binomial. Of the non-members themselves, at least k lie at or above it; were the true rate there
    above the Clopper-Pearson limit of the count, the count would be too low already at the first threshold, fixed by
    the distribution alone, where a count of k is too low. One event of probability (1 − confidence)/(2T), ties
    included.

    Examples
    --------
    >>> fpr_upper, fnr_upper = error_limits(
    ...     [3.0, 2.0, 1.0, 0.0], [True, True, False, False], lower_bound=lambda fpr, fnr: -fpr, confidence=0.95,
    ...     correction="none", threshold=1.5, n_thresholds=10, seed=0)
    >>> fpr_upper.round(3), fnr_upper.round(3)
    (array([0.842]), array([0.842]))
    """
    risk = 1.0 - check_confidence(confidence)
    scores, membership = check_scores(scores, membership)
    n_thresholds = check_whole("n_thresholds", n_thresholds, at_least=2)
    seed = check_seed(seed, at_most=LARGEST_SEED)
    if n_thresholds % 2:
        raise InputError(f"n_thresholds is {n_thresholds}: pass an even number, half for each error rate")
    if not is_choice(correction, ("split", "bonferroni", "none")):
        raise InputError(f"correction is {seen(correction)}: pass 'split' or 'bonferroni'")
    if threshold is not None:
        return _limits_at(scores, membership, check_number("threshold", threshold, infinite=True), risk)
    if correction == "none":
        raise InputError(
            "correction is 'none' without a threshold: the best of all thresholds bounds nothing at this confidence, "
            "pass 'split' or 'bonferroni', or a threshold set without these scores"
        )
    if correction == "bonferroni":
        false_positives, true_positives, _ = roc_counts(scores, membership)
        points = _points_by_rank(false_positives, true_positives, n_thresholds // 2)
        return _limits(false_positives[points], true_positives[points], false_positives, true_positives, risk)
    choosing, counting = _halves(np.sort(scores[membership]), np.sort(scores[~membership]), seed)
    false_positives, true_positives, thresholds = roc_counts(*choosing)
    points = np.unique(_points_by_rank(false_positives, true_positives, _N_TRIED // 2))
    # As if one threshold had been tried: this half only proposes, and the proposal is judged by the other half.
    one_each = _limits(false_positives[points], true_positives[points], false_positives, true_positives, risk, tried=1)
    best = points[int(np.argmax(lower_bound(*one_each)))]
    return _limits_at(*counting, float(thresholds[best]), risk)


def _limits_at(scores: NDArray[np.float64], membership: NDArray[np.bool_], threshold: float, risk: float) -> Limits:
    called = scores >= threshold
    false_positives = np.array([0, np.count_nonzero(called & ~membership), np.count_nonzero(~membership)])
    true_positives = np.array([0, np.count_nonzero(called & membership), np.count_nonzero(membership)])
    return _limits(false_positives[1:2], true_positives[1:2], false_positives, true_positives, risk)


def _limits(
    false_positives: NDArray[np.int64],
    true_positives: NDArray[np.int64],
    all_false_positives: NDArray[np.int64],
    all_true_positives: NDArray[np.int64],
    risk: float,
    *,
    tried: int | None = None,
) -> Limits:
    """Limits at some points of a curve, whose last point tells the number of non-members and members."""
    n_nonmembers, n_members = int(all_false_positives[-1]), int(all_true_positives[-1])
    confidence = 1.0 - risk / (len(false_positives) if tried is None else tried)
    fpr_upper = clopper_pearson(false_positives, n_nonmembers, confidence=confidence)[1]
    fnr_upper = clopper_pearson(n_members - true_positives, n_members, confidence=confidence)[1]
    return fpr_upper, fnr_upper


def _points_by_rank(
    false_positives: NDArray[np.int64], true_positives: NDArray[np.int64], n_ranks: int
) -> NDArray[np.int64]:
    """Indices into a curve: one per rank of non-members, then one per rank of members.

    How many there are depends on the sizes of the classes alone; two ranks may fall on one point of the curve.
    """
    n_nonmembers, n_members = int(false_positives[-1]), int(true_positives[-1])
    ranks = _ranks(n_nonmembers, n_ranks)
    # Rank 0 is the lowest threshold that calls no non-member; rank k the first that calls at least k.
    by_nonmembers = np.where(
        ranks == 0,
        np.searchsorted(false_positives, 0, side="right") - 1,
        np.searchsorted(false_positives, ranks, side="left"),
    )
    ranks = _ranks(n_members, n_ranks)
    # The mirror image: rank 0 is the highest threshold that misses no member; rank k the last that misses at least k.
    by_members = np.where(
        ranks == 0,
        np.searchsorted(true_positives, n_members, side="left"),
        np.searchsorted(true_positives, n_members - ranks, side="right") - 1,
    )
    return np.concatenate([by_nonmembers, by_members])


def _ranks(n_examples: int, n_ranks: int) -> NDArray[np.int64]:
    """Distinct ranks from 0 to half the class, in geometric steps: low rates are where privacy is lost."""
    return np.unique(np.rint(np.geomspace(1, n_examples // 2 + 1, n_ranks)).astype(np.int64) - 1)


def _halves(
    members: NDArray[np.float64], nonmembers: NDArray[np.float64], seed: int
) -> list[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Both classes halved at random. They come sorted, so that the order of the examples plays no part."""
    smallest = min(len(members), len(nonmembers))
    if smallest < 2:
        raise InputError(f"a class holds {smallest} example: a split needs two of each, pass more or a threshold")
    generator = np.random.default_rng(seed)
    members, nonmembers = generator.permutation(members), generator.permutation(nonmembers)
    halves = []
    for part in (0, 1):
        inside, outside = np.array_split(members, 2)[part], np.array_split(nonmembers, 2)[part]
        truth = np.arange(len(inside) + len(outside)) < len(inside)
        halves.append((np.concatenate([inside, outside]), truth))
    return halves
