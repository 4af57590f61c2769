"""Thresholds per class, tuned on models whose members are known."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice, check_whole
from hf_privacy.arrays import boolean_array, class_labels, finite, real_array
from hf_privacy.errors import InputError
from hf_privacy.statistics.roc import roc_counts

_MOST_CLASSES = 1_000_000  # one threshold each: numbers beyond are identifiers, not classes


def class_thresholds(
    scores: ArrayLike,
    membership: ArrayLike,
    labels: ArrayLike,
    *,
    n_classes: int | None = None,
    scarce: Literal["refuse", "overall"] = "refuse",
) -> NDArray[np.float64]:
    """Threshold of each class that tells the members of reference models from their non-members best.

    Best is the highest balanced accuracy of "member where score ≥ threshold". Candidates are the scores seen; of
    several that do equally well the highest is taken.

    Parameters
    ----------
    scores : array-like of float, shape [N] or [K, N]
        Score of each example under one reference model, or K of them taken together, **higher for likelier members**:
        for `modified_entropy` its values with the sign turned. Read class by class.
    membership : array-like of bool, same shape
        True where that reference model was trained on the example.
    labels : array-like of int, shape [N]
        True class of each example, from 0.
    n_classes : int, optional
        C; by default the largest label and one.
    scarce : {"refuse", "overall"}, default "refuse"
        What to do about a class without members or without non-members: raise, or give it the threshold that is best
        over all examples.

    Returns
    -------
    float64[C]

    Raises
    ------
    InputError
        If shapes disagree, a score is NaN or infinite, membership is not boolean or holds one side only, a label is
        no class, n_classes is too small, scarce is unknown, or it is "refuse" and a class has one side only.

    References
    ----------
    Song and Mittal, "Systematic evaluation of privacy risks of machine learning models", USENIX Security 2021
    (arXiv 2003.10595).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> scores, membership = [-0.1, -0.5, -2.0, -3.0], [True, False, True, False]
    >>> attacks.class_thresholds(scores, membership, labels=[0, 0, 1, 1])
    array([-0.1, -2. ])
    """
    check_choice("scarce", scarce, ("refuse", "overall"))
    values, truth = real_array("scores", scores), boolean_array("membership", membership, true="True for a member")
    if values.ndim == 1:
        values, truth = values[np.newaxis], truth[np.newaxis]
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"scores have shape {np.shape(scores)}: pass [N] or [K, N], at least one example")
    if truth.shape != values.shape:
        raise InputError(
            f"membership has shape {np.shape(membership)} and scores {np.shape(scores)}: pass one boolean per score"
        )
    classes = class_labels("labels", labels, n_examples=values.shape[1])
    n_classes = int(classes.max()) + 1 if n_classes is None else check_whole("n_classes", n_classes, at_least=1)
    if n_classes > _MOST_CLASSES:
        raise InputError(f"labels make {n_classes:,} classes: number them from 0, at most {_MOST_CLASSES:,}")
    if n_classes <= classes.max():
        raise InputError(f"n_classes is {n_classes!r} and labels go up to {classes.max()}: pass a larger number")
    if truth.all() or not truth.any():
        raise InputError("membership holds only one side: pass scores of members and of non-members")

    thresholds = np.full(n_classes, np.nan)
    for number in np.unique(classes):
        columns = np.flatnonzero(classes == number)
        class_scores, class_truth = finite("scores", values[:, columns]).ravel(), truth[:, columns].ravel()
        if class_truth.any() and not class_truth.all():
            thresholds[number] = _best_threshold(class_scores, class_truth)
    one_sided = np.flatnonzero(np.isnan(thresholds))
    if len(one_sided) and scarce == "refuse":
        raise InputError(
            f"{len(one_sided)} of {n_classes} classes (the first is {one_sided[0]}) have no members or no "
            "non-members: pass more reference models, or scarce='overall'"
        )
    if len(one_sided):
        thresholds[one_sided] = _best_threshold(finite("scores", values).ravel(), truth.ravel())
    return thresholds


def _best_threshold(scores: NDArray[np.float64], membership: NDArray[np.bool_]) -> float:
    false_positives, true_positives, thresholds = roc_counts(scores, membership)
    # Times both counts: whole numbers, so that equally good cuts compare as equal.
    advantage = true_positives * false_positives[-1] - false_positives * true_positives[-1]
    return float(thresholds[1 + np.argmax(advantage[1:])])  # the first is infinite, and no score
