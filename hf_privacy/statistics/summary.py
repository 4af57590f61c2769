"""The figures a report states about one attack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_privacy.statistics.checks import check_scores, check_shares
from hf_privacy.statistics.intervals import auc_interval
from hf_privacy.statistics.roc import auc, roc_counts
from hf_privacy.statistics.tpr import tpr_at_fpr, tpr_from_counts


def summarize(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    fprs: Iterable[float] = (1e-3, 1e-2, 1e-1),
    confidence: float = 0.95,
    groups: ArrayLike | None = None,
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
    groups : array-like of int or str, shape [N], optional
        What was drawn as a whole, such as the author an example is of: the intervals of `auc_interval` and
        `tpr_at_fpr` are then by group.

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
    >>> round(summary["tpr_at_fpr"][0]["tpr"], 3), summary["n_members"], summary["n_nonmembers"]
    (0.667, 3, 2)
    """
    targets = check_shares("fprs", fprs)
    scores, membership = check_scores(scores, membership)
    low, high = auc_interval(scores, membership, confidence=confidence, groups=groups)
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
        "tpr_at_fpr": [
            tpr_from_counts(false_positives, true_positives, target, confidence)
            if groups is None
            else tpr_at_fpr(scores, membership, fpr=target, confidence=confidence, groups=groups)
            for target in targets
        ],
        "n_members": n_members,
        "n_nonmembers": n_nonmembers,
        "confidence": float(confidence),
    }
