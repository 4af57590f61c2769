"""Lower bounds of ε from the errors of a membership attack at a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.statistics.checks import check_delta
from hf_privacy.statistics.intervals import clopper_pearson, together
from hf_privacy.statistics.operating_points import error_limits


def epsilon_from_counts(
    false_positives: ArrayLike,
    n_nonmembers: ArrayLike,
    false_negatives: ArrayLike,
    n_members: ArrayLike,
    *,
    delta: float = 0.0,
    confidence: float = 0.95,
) -> Any:
    """Lower bound of ε at one threshold, from the number of errors there.

    Parameters
    ----------
    false_positives, n_nonmembers, false_negatives, n_members : int or array-like of int
        Non-members called members and members missed, each out of how many. Broadcast against each other; every
        entry is a bound of its own, and the largest of several is not.
    delta : float, default 0
        In [0, 1).
    confidence : float, default 0.95
        In (0, 1), of the bound as a whole: half of the risk goes to each Clopper-Pearson limit.

    Returns
    -------
    float, or float64 array of the broadcast shape
        max(0, ln((1 − FNR_U − δ)/FPR_U), ln((1 − FPR_U − δ)/FNR_U)). Both terms use the same two limits, so taking
        the larger costs no confidence.

    Raises
    ------
    InputError
        See `clopper_pearson`; also if delta lies outside [0, 1).

    References
    ----------
    Kairouz, Oh and Viswanath, "The composition theorem for differential privacy", ICML 2015, Theorem 2.1; limits as in
    Nasr et al., "Adversary instantiation", S&P 2021.

    Examples
    --------
    >>> round(epsilon_from_counts(10, 1000, 500, 1000), 3)
    3.242
    """
    delta = check_delta(delta)
    together(
        false_positives=false_positives,
        n_nonmembers=n_nonmembers,
        false_negatives=false_negatives,
        n_members=n_members,
    )
    fpr_upper = clopper_pearson(false_positives, n_nonmembers, confidence=confidence)[1]
    fnr_upper = clopper_pearson(false_negatives, n_members, confidence=confidence)[1]
    bound = np.maximum(0.0, _epsilon(np.asarray(fpr_upper), np.asarray(fnr_upper), delta))
    return float(bound) if bound.ndim == 0 else bound


def epsilon_clopper_pearson(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    delta: float = 0.0,
    confidence: float = 0.95,
    correction: str = "split",
    threshold: float | None = None,
    n_thresholds: int = 10,
    seed: int = 0,
) -> float:
    """Lower bound of ε from membership scores, valid although the threshold is chosen.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]
    delta : float, default 0
        In [0, 1).
    confidence : float, default 0.95
        The bound exceeds the true ε in at most a share 1 − confidence of audits.
    correction : {"split", "bonferroni", "none"}, default "split"
        How the choice of a threshold is paid for: a random half chooses and the other half is counted, or the risk is
        divided among `n_thresholds` of fixed ranks; see `error_limits`. "none" is refused without a threshold.
    threshold : float, optional
        One threshold set without these scores: nothing is chosen, nothing is paid.
    n_thresholds : int, default 10
        For "bonferroni"; even.
    seed : int, default 0
        Of the random halves. Set it before looking: the best of several seeds is no bound.

    Returns
    -------
    float
        At least 0; 0 says that nothing was shown, not that nothing leaks.

    Raises
    ------
    InputError
        See `error_limits`; also if delta lies outside [0, 1).

    Notes
    -----
    Clopper-Pearson limits take the examples' scores as independent within members and within non-members. That holds
    for scores from models trained apart. Examples of *one* trained model influence each other: there
    `epsilon_one_run` is the bound that needs no independence.

    References
    ----------
    Kairouz, Oh and Viswanath, ICML 2015, Theorem 2.1. Where tools take the best of all thresholds uncorrected, a
    bound at 95 % fails more often than 5 %.

    Examples
    --------
    >>> import numpy as np
    >>> membership = np.arange(4000) < 2000
    >>> scores = np.random.default_rng(0).normal(size=4000) + 2 * membership
    >>> round(epsilon_clopper_pearson(scores, membership), 2)
    3.31
    >>> round(epsilon_clopper_pearson(scores, membership, correction="bonferroni"), 2)
    3.35
    """
    delta = check_delta(delta)
    limits = error_limits(
        scores,
        membership,
        lower_bound=lambda fpr_upper, fnr_upper: _epsilon(fpr_upper, fnr_upper, delta),
        confidence=confidence,
        correction=correction,
        threshold=threshold,
        n_thresholds=n_thresholds,
        seed=seed,
    )
    return max(0.0, float(_epsilon(*limits, delta).max()))


def _epsilon(fpr_upper: NDArray[np.float64], fnr_upper: NDArray[np.float64], delta: float) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):  # a numerator of 0 or less bounds nothing: minus infinity
        few_false_positives = np.log(np.maximum(1.0 - fnr_upper - delta, 0.0) / fpr_upper)
        few_false_negatives = np.log(np.maximum(1.0 - fpr_upper - delta, 0.0) / fnr_upper)
    return np.maximum(few_false_positives, few_false_negatives)
