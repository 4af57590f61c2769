"""The true positive rate at a false positive rate, with an interval that covers the chance in the threshold."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betainc
from scipy.stats import binom, rankdata

from hf_privacy.statistics.checks import check_confidence, check_fpr, check_scores
from hf_privacy.statistics.clusters import counted_groups, design_effect, group_of_each
from hf_privacy.statistics.intervals import beta_limits
from hf_privacy.statistics.roc import roc_counts

# Share of a tail's risk that may lie with counts left out of the sum; it is added to the risk, so it only widens.
_LEFT_OUT = 1e-3


def tpr_at_fpr(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    fpr: float,
    confidence: float = 0.95,
    groups: ArrayLike | None = None,
) -> dict[str, Any]:
    """True positive rate at the lowest threshold that a fresh non-member passes with at most the target's chance.

    Nothing is interpolated: the rate belongs to a threshold that an attacker could have used on these examples. Of n
    non-members it lets ⌊fpr · (n + 1)⌋ − 1 pass: a threshold that k of them pass is passed by a fresh one with
    probability (k + 1)/(n + 1), so that an attack that knows nothing has a TPR of at most fpr on average.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]
    fpr : float
        Target false positive rate, in (0, 1).
    confidence : float, default 0.95
    groups : array-like of int or str, shape [N], optional
        What was drawn as a whole, such as the author an example is of: every interval then counts as many examples as
        would say as much if they were independent (see Notes).

    Returns
    -------
    dict
        ``fpr``; ``tpr``; ``low`` and ``high``, which cover the TPR **at that FPR**, the chance in the threshold
        included; ``conditional_low`` and ``conditional_high``, the Clopper-Pearson interval of the share of members
        above this very threshold, whatever its FPR. Where the non-members cannot resolve the target (fewer than
        1/fpr − 1 of them) all but ``fpr`` are None and ``reason`` says why.

    Raises
    ------
    InputError
        See `check_scores`; also if fpr or confidence lies outside (0, 1).

    Notes
    -----
    The interval is one of order statistics. How many of the non-members pass the threshold whose FPR is the target is
    binomial: each possible count k has its probability, whatever the distribution of the scores, and the curve says
    how many members that threshold then finds, at least and at most; given that number, Clopper-Pearson's limits hold.
    ``low`` and ``high`` are where the probabilities, summed over k, leave half of the risk on either side. Nothing is
    assumed of the scores' distribution, ties included, so few non-members say little: where none of them may lie above
    the threshold with more than half of the risk (fewer than 3.7/fpr, at 95 %), ``low`` is 0 even of a perfect
    attack, since nobody can tell a threshold with that FPR from one with a lower.

    Of groups, members and non-members are each divided by a design effect: that of being called at the threshold or,
    where that is larger, of the share of the other side below an example; times (t/z)², since it is estimated from so
    many groups alone (Korn and Graubard). The rate itself and its threshold are the same with and without groups.

    References
    ----------
    Order statistics: David and Nagaraja, "Order statistics", 2003, section 7.1. Sum over a binomial nuisance: the
    confidence distributions of Schweder and Hjort, "Confidence, likelihood, probability", 2016. Rank of the threshold:
    Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005.

    Examples
    --------
    >>> scores = [9.0, 8.0, 3.0, 7.0, 2.0, 1.0, 0.0]
    >>> membership = [True, True, True, False, False, False, False]
    >>> result = tpr_at_fpr(scores, membership, fpr=0.4)
    >>> result["tpr"], round(result["low"], 3), result["high"], round(result["conditional_low"], 3)
    (1.0, 0.0, 1.0, 0.292)
    >>> tpr_at_fpr(scores, membership, fpr=0.01)["reason"]
    '4 non-members cannot resolve a false positive rate of 0.01: at least 99 are needed'
    """
    check_confidence(confidence)
    fpr = check_fpr(fpr)
    false_positives, true_positives, thresholds = roc_counts(scores, membership)
    allowed = allowed_false_positives(int(false_positives[-1]), fpr)
    effects = (1.0, 1.0)
    if groups is not None and allowed >= 0:
        values, truth = check_scores(scores, membership)
        called = values >= thresholds[np.searchsorted(false_positives, allowed, side="right") - 1]
        effects = _effects(values, called, truth, group_of_each(groups, len(values)), (1.0 - confidence) / 2)
    return tpr_from_counts(false_positives, true_positives, fpr, confidence, effects=effects)


def allowed_false_positives(n_nonmembers: int, fpr: float) -> int:
    """How many of the non-members may pass a threshold that a fresh one passes with probability at most ``fpr``.

    Negative where there are too few to set one.

    Examples
    --------
    >>> [allowed_false_positives(n, 0.01) for n in (98, 99, 1000)]
    [-1, 0, 9]
    """
    # Counts, not rates, are compared: 3 of 29 must pass a target of 4/30 whatever the rounding of 30 · (4/30).
    return int(np.floor((n_nonmembers + 1) * fpr * (1 + 1e-12))) - 1


def why_unresolved(n_nonmembers: int, fpr: float) -> str:
    """Say that there are too few non-members to set a threshold, and how many would do.

    Examples
    --------
    >>> why_unresolved(98, 0.01)
    '98 non-members cannot resolve a false positive rate of 0.01: at least 99 are needed'
    """
    needed = int(np.ceil(1.0 / fpr * (1 - 1e-12))) - 1
    return (
        f"{n_nonmembers:,} non-members cannot resolve a false positive rate of {fpr:g}: at least {needed:,} are needed"
    )


def tpr_from_counts(
    false_positives: NDArray[np.int64],
    true_positives: NDArray[np.int64],
    fpr: float,
    confidence: float,
    *,
    effects: tuple[float, float] = (1.0, 1.0),
) -> dict[str, Any]:
    """`tpr_at_fpr` from the two counts of `roc_counts`; members and non-members have such design effects.

    Examples
    --------
    >>> tpr_from_counts(np.array([0, 0, 1, 2]), np.array([0, 3, 3, 3]), 0.4, 0.95)["tpr"]
    1.0
    """
    n_nonmembers, n_members = int(false_positives[-1]), int(true_positives[-1])
    allowed = allowed_false_positives(n_nonmembers, fpr)
    if allowed < 0:
        nothing = dict.fromkeys(("tpr", "low", "high", "conditional_low", "conditional_high"))
        return {"fpr": fpr, **nothing, "reason": why_unresolved(n_nonmembers, fpr)}
    found = int(true_positives[np.searchsorted(false_positives, allowed, side="right") - 1])
    tpr = found / n_members
    low, high = _interval(false_positives, true_positives, fpr, confidence, effects)
    conditional = beta_limits(found / effects[0], n_members / effects[0], (1.0 - confidence) / 2)
    return {
        "fpr": fpr,
        "tpr": tpr,
        "low": min(low, tpr),
        "high": max(high, tpr),
        "conditional_low": float(conditional[0]),
        "conditional_high": float(conditional[1]),
    }


def _effects(
    scores: NDArray[np.float64],
    called: NDArray[np.bool_],
    membership: NDArray[np.bool_],
    group: NDArray[np.int64],
    tail: float,
) -> tuple[float, float]:
    """Design effects of members and non-members, each with what its own uncertainty adds."""
    ranks = rankdata(scores)
    effects = []
    for side in (membership, ~membership):
        below = ranks[side] - rankdata(scores[side])  # how many of the other side
        effect = max(design_effect(values, group[side]) for values in (below, called[side].astype(np.float64)))
        effect *= counted_groups(len(np.unique(group[side])), tail)
        effects.append(min(effect, float(side.sum())))
    return effects[0], effects[1]


def _interval(
    false_positives: NDArray[np.int64],
    true_positives: NDArray[np.int64],
    fpr: float,
    confidence: float,
    effects: tuple[float, float],
) -> tuple[float, float]:
    n_members = int(true_positives[-1])
    tail = (1.0 - confidence) / 2
    of_members, of_nonmembers = effects
    counts, chance = _counts_above(int(false_positives[-1] / of_nonmembers), fpr, tail * _LEFT_OUT)
    # So many of what says as much as one independent non-member: as rows, a part of one more or less.
    at_least, at_most = counts * of_nonmembers - (of_nonmembers - 1), counts * of_nonmembers + (of_nonmembers - 1)
    # The lowest threshold whose FPR is not above the target, where k non-members lie above the target's place: at most
    # k pass it, and at least k pass the next lower value that a score can take. Of the steps of the curve it may be
    # the last that at most k pass, or, where a tie spans the place, the one before the first that at least k pass.
    most = true_positives[np.searchsorted(false_positives, at_most, side="right") - 1]
    fewest = true_positives[np.maximum(np.searchsorted(false_positives, at_least, side="left") - 1, 0)]
    low = _limit(fewest, n_members, chance, tail, of_members)
    return low, 1.0 - _limit(n_members - most, n_members, chance, tail, of_members)


@lru_cache(maxsize=64)
def _counts_above(n_nonmembers: int, fpr: float, left_out: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of non-members that may lie above the threshold whose FPR is the target, and their probabilities."""
    spread = binom(n_nonmembers, fpr)
    counts = np.arange(int(spread.ppf(left_out)), int(spread.isf(left_out)) + 1)
    return counts, spread.pmf(counts)


def _limit(found: NDArray[np.int64], n_members: int, chance: NDArray[np.float64], tail: float, effect: float) -> float:
    """Lower limit of a rate, where ``found`` of the members were found with such a chance each."""
    values, inverse = np.unique(found, return_inverse=True)
    weights = np.bincount(inverse, weights=chance)
    some = values > 0
    counts, trials, weights = values[some] / effect, n_members / effect, weights[some]
    beyond = 1.0 - weights.sum()  # nothing found, whose limit is 0, and the counts left out
    if beyond >= tail:
        return 0.0

    def risk(rate: float) -> float:
        return float(beyond + weights @ betainc(counts, trials - counts + 1.0, rate) - tail)

    return float(brentq(risk, 0.0, 1.0, xtol=1e-12, rtol=1e-9))
