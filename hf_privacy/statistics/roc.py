"""ROC curve and its area, exact under ties."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from hf_privacy.statistics.checks import check_scores


def roc_counts(
    scores: ArrayLike, membership: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Counts of false and true positives at every threshold that separates two different scores.

    An example is called a member when its score is at or above the threshold. Examples with the same score are called
    together, so a tie is one step however many examples share it. Both end points are there.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]

    Returns
    -------
    false_positives, true_positives : int64[T]
        Non-decreasing, from 0 to the number of non-members and of members.
    thresholds : float64[T]
        Decreasing, the first one +inf (nobody is called a member).

    Raises
    ------
    InputError
        See `check_scores`.

    Examples
    --------
    >>> false_positives, true_positives, thresholds = roc_counts([2.0, 1.0, 1.0], [True, True, False])
    >>> false_positives.tolist(), true_positives.tolist(), thresholds.tolist()
    ([0, 0, 1], [0, 1, 2], [inf, 2.0, 1.0])
    """
    scores, membership = check_scores(scores, membership)
    order = np.argsort(-scores, kind="stable")
    ordered_scores = scores[order]
    true_positives = np.cumsum(membership[order], dtype=np.int64)
    last_of_tie = np.append(np.flatnonzero(np.diff(ordered_scores)), len(scores) - 1)
    called = last_of_tie + 1
    true_positives = true_positives[last_of_tie]
    return (
        np.concatenate([[0], called - true_positives]),
        np.concatenate([[0], true_positives]),
        np.concatenate([[np.inf], ordered_scores[last_of_tie]]),
    )


def roc(
    scores: ArrayLike, membership: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """ROC curve of membership scores: false and true positive rate at every distinct score.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]

    Returns
    -------
    fpr, tpr : float64[T]
        From (0, 0) to (1, 1). Ties are one step: a straight line between its ends, never a stair of lucky order.
    thresholds : float64[T]
        Decreasing from +inf; an example is called a member at or above the threshold.

    Raises
    ------
    InputError
        See `check_scores`.

    Examples
    --------
    >>> fpr, tpr, thresholds = roc([3.0, 2.0, 2.0, 1.0], [True, True, False, False])
    >>> fpr.tolist(), tpr.tolist(), thresholds.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0], [inf, 3.0, 2.0, 1.0])
    """
    false_positives, true_positives, thresholds = roc_counts(scores, membership)
    return false_positives / false_positives[-1], true_positives / true_positives[-1], thresholds


def auc(scores: ArrayLike, membership: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a member scores above a non-member, a tie counting one half.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]

    Returns
    -------
    float
        In [0, 1]; 0.5 for constant scores. Computed from mid-ranks (the Mann-Whitney statistic), which equals the
        trapezoid area under `roc`.

    Raises
    ------
    InputError
        See `check_scores`.

    Examples
    --------
    >>> auc([3.0, 2.0, 2.0, 1.0], [True, True, False, False])
    0.875
    """
    scores, membership = check_scores(scores, membership)
    n_members = int(membership.sum())
    n_nonmembers = len(membership) - n_members
    rank_sum = float(rankdata(scores)[membership].sum())
    return (rank_sum - n_members * (n_members + 1) / 2) / (n_members * n_nonmembers)
