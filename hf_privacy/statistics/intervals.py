"""Confidence intervals for a rate and for an AUC."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import beta, norm, rankdata
from scipy.stats import t as student_t

from hf_privacy.arrays import whole_array
from hf_privacy.errors import InputError
from hf_privacy.statistics.checks import check_confidence, check_scores
from hf_privacy.statistics.clusters import design_effect, group_of_each, group_sums, variance_of_mean

# With fewer examples than this that lose (or win), DeLong's variance is itself too uncertain to be relied on.
_ENOUGH_LOSERS = 60
_FEWEST_DEGREES = 5.0  # of Student's t: with fewer, that interval says nothing and the score interval decides


def clopper_pearson(successes: ArrayLike, trials: ArrayLike, *, confidence: float = 0.95) -> tuple[Any, Any]:
    """Exact two-sided interval for a binomial proportion; it never covers less than it promises.

    Parameters
    ----------
    successes, trials : int or array-like of int
        Broadcast against each other; 0 ≤ successes ≤ trials, trials ≥ 1.
    confidence : float, default 0.95
        In (0, 1); each side misses with probability at most (1 − confidence)/2.

    Returns
    -------
    low, high : float, or float64 arrays of the broadcast shape
        In [0, 1]; low is 0 at no success and high is 1 at no failure.

    Raises
    ------
    InputError
        If a count is no whole number, trials < 1, or successes lie outside [0, trials].

    References
    ----------
    Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 1934.

    Examples
    --------
    >>> low, high = clopper_pearson(0, 10)
    >>> round(low, 4), round(high, 4)
    (0.0, 0.3085)
    """
    tail = (1.0 - check_confidence(confidence)) / 2
    k, n = together(successes=successes, trials=trials)
    if np.any(n < 1):
        raise InputError(f"trials hold {int(n.min())}: pass at least one trial")
    if np.any((k < 0) | (k > n)):
        wrong = int(k[(k < 0) | (k > n)].flat[0])
        raise InputError(f"successes hold {wrong}: pass counts between 0 and the number of trials")
    low, high = beta_limits(k, n, tail)
    if k.ndim == 0:
        return float(low), float(high)
    return low, high


def beta_limits(successes: Any, trials: Any, tail: float) -> tuple[Any, Any]:
    """`clopper_pearson` of numbers that need not be whole: of examples that say as much as fewer independent ones.

    Examples
    --------
    >>> [round(float(end), 3) for end in beta_limits(2.5, 5.0, 0.025)]
    [0.094, 0.906]
    """
    failures = trials - successes
    # Where the Beta quantile is undefined (no success, no failure) the limit is the end of [0, 1] itself.
    low = np.where(successes == 0, 0.0, beta.ppf(tail, np.where(successes == 0, 1, successes), failures + 1))
    high = np.where(failures == 0, 1.0, beta.ppf(1.0 - tail, successes + 1, np.where(failures == 0, 1, failures)))
    return low, high


def together(**counts: ArrayLike) -> list[NDArray[np.int64]]:
    """Whole numbers by name, broadcast against each other.

    Raises
    ------
    InputError
        If they are no whole numbers or their shapes do not go together.

    Examples
    --------
    >>> [part.tolist() for part in together(successes=[1, 2], trials=5)]
    [[1, 2], [5, 5]]
    """
    arrays = {name: whole_array(name, values) for name, values in counts.items()}
    try:
        return list(np.broadcast_arrays(*arrays.values()))
    except ValueError as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(f"the shapes of {shapes} do not go together: pass one shape, or single numbers") from error


def auc_interval(
    scores: ArrayLike, membership: ArrayLike, *, confidence: float = 0.95, groups: ArrayLike | None = None
) -> tuple[float, float]:
    """Confidence interval for the AUC: DeLong's variance on the logit scale, widened near 0 and 1.

    DeLong's variance is computed from mid-ranks in O(N log N), ties included. Working on the logit scale keeps the
    interval inside (0, 1). Where that variance says little, a wider interval takes its place:

    - Few examples that ever lose (AUC near 1) or win (near 0): the variance rests on them, and is too small whenever
      the worst of them happen not to be drawn. Their number, counted as Kish counts unequal weights, gives the degrees
      of freedom of Student's t; below 60 the interval is joined with a score interval, of every AUC from which the
      measured one is no further than the normal quantile allows by Hanley and McNeil's variance *at that AUC*, its
      larger sample on its worse side.

    - AUC exactly 0 or 1: pair the examples off into min(n_members, n_nonmembers) disjoint (member, non-member) pairs;
      all of them are won (or lost), so the Clopper-Pearson interval of that many straight wins holds.
    - DeLong variance zero (constant scores) or undefined (a single member or non-member): the largest variance any
      distribution allows, AUC·(1 − AUC)/min(n_members, n_nonmembers), on the logit scale.

    Examples of one group are not independent. With ``groups`` the variance is Obuchowski's, of sums over groups, but
    never below DeLong's and without what groups that hold members **and** non-members take off it. Groups are counted
    in place of examples where pairs, losers or degrees of freedom are, and in the score interval as many independent
    examples as have that variance.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]
    confidence : float, default 0.95
    groups : array-like of int or str, shape [N], optional
        What was drawn as a whole, such as the author an example is of.

    Returns
    -------
    low, high : float
        0 ≤ low ≤ AUC ≤ high ≤ 1.

    Raises
    ------
    InputError
        See `check_scores`; also if confidence lies outside (0, 1) or groups do not match.

    Notes
    -----
    The interval speaks of examples (or groups) drawn afresh for *this* model and attack. It does not cover the chance
    of training: another seed or another split has an AUC of its own.

    Measured at 95 % for AUC 0.5 to 0.9999 and 50 to 2,500 examples a side, balanced or not, with normal scores of
    equal and unequal spread, exponential ones and mixtures: `recipes/benchmarks/calibration`.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, Biometrics 1988; by ranks: Sun and Xu, IEEE Signal Processing Letters 2014;
    groups: Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 1997;
    largest variance: Birnbaum and Klose, Annals of Mathematical Statistics 1957; score interval: Newcombe, "Confidence
    intervals for an effect size measure based on the Mann-Whitney statistic, part 2", Statistics in Medicine 2006.

    Examples
    --------
    >>> low, high = auc_interval([4.0, 3.0, 1.0, 3.5, 2.0, 0.0], [True, True, True, False, False, False])
    >>> round(low, 3), round(high, 3)
    (0.079, 0.979)
    """
    tail = (1.0 - check_confidence(confidence)) / 2
    scores, membership = check_scores(scores, membership)
    members, nonmembers = scores[membership], scores[~membership]
    group = group_of_each(groups, len(scores))
    of_members, of_nonmembers = group[membership], group[~membership]
    n_pairs = min(len(np.unique(of_members)), len(np.unique(of_nonmembers)))
    ranks = rankdata(scores)
    # Share of the other class below each example: DeLong's structural components, whose mean is the AUC.
    won_by_member = (ranks[membership] - rankdata(members)) / len(nonmembers)
    won_over_nonmember = 1.0 - (ranks[~membership] - rankdata(nonmembers)) / len(members)
    area = float(won_by_member.mean())
    # Compared by scores, not by `area`, whose mean of shares may be a rounding error away from its end.
    if members.min() > nonmembers.max():
        return clopper_pearson(n_pairs, n_pairs, confidence=confidence)
    if members.max() < nonmembers.min():
        return clopper_pearson(0, n_pairs, confidence=confidence)
    variance = 0.0
    if n_pairs > 1:
        variance = variance_of_mean(won_by_member, of_members) + variance_of_mean(won_over_nonmember, of_nonmembers)
    shares = [
        group_sums(share, sides)
        for won, sides in ((won_by_member, of_members), (won_over_nonmember, of_nonmembers))
        for share in (won, 1.0 - won)
    ]
    n_losers = min(map(_effective_number, shares))
    # Few groups are all there is, where few examples that lose are a matter of the attack.
    fewest = _FEWEST_DEGREES if groups is None else min(_FEWEST_DEGREES, max(n_pairs - 1.0, 1.0))
    quantile, degrees = float(norm.isf(tail)), max(n_losers - 1.0, fewest)
    reach = float(student_t.isf(tail, degrees)) * np.sqrt(variance)
    if variance == 0.0:
        reach = quantile * np.sqrt(area * (1.0 - area) / n_pairs)
    centre, reach = logit(area), reach / (area * (1.0 - area))
    low, high = float(expit(centre - reach)), float(expit(centre + reach))
    if n_losers < _ENOUGH_LOSERS:
        n_members = len(members) / design_effect(won_by_member, of_members)
        n_nonmembers = len(nonmembers) / design_effect(won_over_nonmember, of_nonmembers)
        widened = _score_interval(area, n_members, n_nonmembers, quantile)
        low, high = min(low, widened[0]), max(high, widened[1])
    return low, high


def _effective_number(weights: NDArray[np.float64]) -> float:
    """Of equal weights their number, of unequal ones that of as many equal ones as vary as much (Kish)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _score_interval(area: float, n_members: float, n_nonmembers: float, quantile: float) -> tuple[float, float]:
    larger, smaller = max(n_members, n_nonmembers) - 1, min(n_members, n_nonmembers) - 1

    def beyond(true_area: float) -> float:
        both_beat_one = true_area / (2.0 - true_area) - true_area**2
        one_beats_both = 2.0 * true_area**2 / (1.0 + true_area) - true_area**2
        worse, better = max(both_beat_one, one_beats_both), min(both_beat_one, one_beats_both)
        variance = true_area * (1.0 - true_area) + larger * worse + smaller * better
        return (area - true_area) ** 2 - quantile**2 * variance / (n_members * n_nonmembers)

    # At the ends the variance is zero, at the measured area the distance.
    return float(brentq(beyond, 0.0, area)), float(brentq(beyond, area, 1.0))
