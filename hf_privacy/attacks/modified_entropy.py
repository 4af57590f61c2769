"""Modified entropy: uncertainty that knows the true class."""

from __future__ import annotations

from numpy import float64
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import class_labels, finite_vector
from hf_privacy.attacks.inputs import nonnegative_vector
from hf_privacy.errors import InputError

# A threshold on a score that is at most 0 cannot lie above 0 by more than rounding.
_ROUNDING = 1e-6


def modified_entropy(
    modified_entropy: ArrayLike, *, labels: ArrayLike | None = None, thresholds: ArrayLike | None = None
) -> NDArray[float64]:
    """Membership score of the modified-entropy attack: the modified entropy with its sign turned.

    With ``thresholds`` it is the margin by which that score passes the threshold of the example's class: 0 and above
    is what the paper calls a member. The score of an example depends on no other example, with thresholds or without.

    Parameters
    ----------
    modified_entropy : array-like of float, shape [N]
        −(1 − p_y)·log p_y − Σ_{j≠y} p_j·log(1 − p_j) of the target model on each example, in nats, ≥ 0; zero only
        for a certain and right answer.
    labels : array-like of int, shape [N], optional
        True class of each example, in [0, C). Together with ``thresholds``.
    thresholds : array-like of float, shape [C], optional
        One per class, on the scale of the score (at most 0), from reference models: see `class_thresholds`.

    Returns
    -------
    float64[N]
        Higher for likelier members; at most 0 without thresholds.

    Raises
    ------
    InputError
        If the values are empty, not one-dimensional, NaN, infinite or negative; if only one of labels and thresholds
        is given, a label is no class of the thresholds, or a threshold is NaN, infinite or above 0.

    References
    ----------
    Song and Mittal, "Systematic evaluation of privacy risks of machine learning models", USENIX Security 2021
    (arXiv 2003.10595); the paper decides by the thresholds, ours keeps the distance from them.

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.modified_entropy([0.1, 2.0])
    array([-0.1, -2. ])
    >>> attacks.modified_entropy([0.1, 2.0], labels=[0, 1], thresholds=[-0.05, -2.5]).round(2)
    array([-0.05,  0.5 ])
    """
    scores = -nonnegative_vector("modified_entropy", modified_entropy)
    if labels is None and thresholds is None:
        return scores
    if labels is None or thresholds is None:
        missing = "labels" if labels is None else "thresholds"
        raise InputError(f"{missing} is missing: pass labels and thresholds together, or neither")
    per_class = finite_vector("thresholds", thresholds)
    if per_class.max() > _ROUNDING:
        raise InputError(
            f"thresholds go up to {per_class.max():.4g}: pass them on the scale of the score, −modified_entropy ≤ 0"
        )
    classes = class_labels("labels", labels, n_examples=len(scores))
    if classes.max() >= len(per_class):
        raise InputError(
            f"labels go up to {classes.max()} and there are {len(per_class)} thresholds: pass one a class"
        )
    return scores - per_class[classes]
