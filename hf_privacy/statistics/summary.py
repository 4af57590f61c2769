"""The figures a report states about one attack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.statistics.checks import check_confidence, check_fpr, check_scores, check_shares
from hf_privacy.statistics.intervals import auc_interval, clopper_pearson
from hf_privacy.statistics.roc import auc, roc_counts


def tpr_at_fpr(scores: ArrayLike, membership: ArrayLike, *, fpr: float, confidence: float = 0.95) -> dict[str, Any]:
    """True positive rate at the lowest threshold whose false positive rate is not above the target.

    Nothing is interpolated: the rate belongs to a threshold that an attacker could have used on these examples.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]
    fpr : float
        Target false positive rate, in (0, 1).
    confidence : float, default 0.95

    Returns
    -------
    dict
        ``{"fpr", "tpr", "low", "high"}`` with the Clopper-Pearson interval of the TPR. Where the non-members cannot
        resolve the target (n_nonmembers · fpr < 1) ``tpr``, ``low`` and ``high`` are None and ``reason`` says why.

    Raises
    ------
    InputError
        See `check_scores`; also if fpr or confidence lies outside (0, 1).

    Notes
    -----
    The threshold is set by the non-members alone, so given them the number of members found is binomial and the
    interval exact. It does not cover the chance in the threshold itself: the true FPR there is near the target, not
    at it.

    Examples
    --------
    >>> scores = [9.0, 8.0, 3.0, 7.0, 2.0, 1.0, 0.0]
    >>> membership = [True, True, True, False, False, False, False]
    >>> result = tpr_at_fpr(scores, membership, fpr=0.25)
    >>> result["tpr"], round(result["low"], 3), result["high"]
    (1.0, 0.292, 1.0)
    >>> tpr_at_fpr(scores, membership, fpr=0.01)["reason"]
    '4 non-members cannot resolve a false positive rate of 0.01: at least 100 are needed'
    """
    check_confidence(confidence)
    false_positives, true_positives, _ = roc_counts(scores, membership)
    return _tpr_from_counts(false_positives, true_positives, check_fpr(fpr), confidence)


def summarize(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    fprs: Iterable[float] = (1e-3, 1e-2, 1e-1),
    confidence: float = 0.95,
) -> dict[str, Any]:
    """How well scores tell members from non-members, with intervals, in plain Python numbers.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]
    fprs : iterable of float, default (0.001, 0.01, 0.1)
        Targets for `tpr_at_fpr`, each in (0, 1).
    confidence : float, default 0.95
        Of every interval, each on its own.

    Returns
    -------
    dict
        ``auc``, ``auc_low``, ``auc_high``; ``balanced_accuracy``, the largest (TPR + 1 − FPR)/2 over thresholds, and
        ``advantage``, the largest TPR − FPR: both in hindsight on these very examples, so a little above what an
        attacker would reach; ``tpr_at_fpr``, one dict per target; ``n_members``, ``n_nonmembers``, ``confidence``.

    Raises
    ------
    InputError
        See `check_scores`; also if a target or confidence lies outside (0, 1).

    Examples
    --------
    >>> summary = summarize([4.0, 3.0, 1.0, 2.0, 0.0], [True, True, True, False, False], fprs=[0.5])
    >>> round(summary["auc"], 3), round(summary["balanced_accuracy"], 3), round(summary["advantage"], 3)
    (0.833, 0.833, 0.667)
    >>> summary["tpr_at_fpr"][0]["tpr"], summary["n_members"], summary["n_nonmembers"]
    (1.0, 3, 2)
    """
    targets = check_shares("fprs", fprs)
    scores, membership = check_scores(scores, membership)
    low, high = auc_interval(scores, membership, confidence=confidence)
    false_positives, true_positives, _ = roc_counts(scores, membership)
    n_nonmembers, n_members = int(false_positives[-1]), int(true_positives[-1])
    # Never negative: the curve holds (0, 0), where the difference is zero.
    advantage = float(np.max(true_positives / n_members - false_positives / n_nonmembers))
    return {
        "auc": auc(scores, membership),
        "auc_low": low,
        "auc_high": high,
        "balanced_accuracy": (1.0 + advantage) / 2,
        "advantage": advantage,
        "tpr_at_fpr": [_tpr_from_counts(false_positives, true_positives, target, confidence) for target in targets],
        "n_members": n_members,
        "n_nonmembers": n_nonmembers,
        "confidence": float(confidence),
    }


def _tpr_from_counts(
    false_positives: NDArray[np.int64], true_positives: NDArray[np.int64], fpr: float, confidence: float
) -> dict[str, Any]:
    n_nonmembers, n_members = int(false_positives[-1]), int(true_positives[-1])
    # Counts, not rates, are compared: 3 of 30 must pass a target of 0.1 whatever the rounding of 30 * 0.1.
    allowed = int(np.floor(n_nonmembers * fpr * (1 + 1e-12)))
    if allowed < 1:
        needed = int(np.ceil(1.0 / fpr * (1 - 1e-12)))
        return {
            "fpr": fpr,
            "tpr": None,
            "low": None,
            "high": None,
            "reason": (
                f"{n_nonmembers:,} non-members cannot resolve a false positive rate of {fpr:g}: "
                f"at least {needed:,} are needed"
            ),
        }
    found = int(true_positives[np.searchsorted(false_positives, allowed, side="right") - 1])
    low, high = clopper_pearson(found, n_members, confidence=confidence)
    return {"fpr": fpr, "tpr": found / n_members, "low": low, "high": high}
