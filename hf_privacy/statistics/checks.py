"""The one door through which scores, membership and a confidence level enter this room."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.errors import InputError


def check_scores(scores: ArrayLike, membership: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Membership scores and the truth about membership, as a float64 and a boolean vector of one length.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        One membership score per example, higher means more likely a member; finite.
    membership : array-like of bool, shape [N]
        True where the example is a member.

    Returns
    -------
    scores : float64[N]
    membership : bool[N]

    Raises
    ------
    InputError
        If either is empty, not one-dimensional or of another length than the other, if a score is NaN or infinite,
        if membership is not boolean, or if it holds only members or only non-members.

    Examples
    --------
    >>> check_scores([0.25, 1.5], [False, True])
    (array([0.25, 1.5 ]), array([False,  True]))
    """
    truth = _array("membership", membership)
    if truth.ndim != 1:
        raise InputError(f"membership has shape {truth.shape}: pass one dimension, one value per example")
    values = _array("scores", scores)
    if values.ndim != 1:
        raise InputError(f"scores have shape {values.shape}: pass one dimension, one score per example")
    if len(values) == 0:
        raise InputError("scores are empty: pass at least one member and one non-member")
    if len(values) != len(truth):
        raise InputError(f"membership has {len(truth):,} rows and scores {len(values):,}: pass one score per example")
    if truth.dtype != np.bool_:
        raise InputError(
            f"membership has dtype {truth.dtype}: pass booleans, True for a member (0/1: membership == 1)"
        )
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == np.bool_) or np.iscomplexobj(values):
        raise InputError(f"scores have dtype {values.dtype}: pass real numbers")
    values = values.astype(np.float64, copy=False)
    n_bad = int(np.count_nonzero(~np.isfinite(values)))
    if n_bad:
        raise InputError(f"scores hold {n_bad:,} NaN or infinite values of {len(values):,}: pass finite scores")
    if truth.all() or not truth.any():
        present = "members" if truth[0] else "non-members"
        raise InputError(f"membership holds only {present} ({len(truth):,}): pass members and non-members")
    return values, truth


def check_confidence(confidence: float) -> float:
    """A confidence level strictly between 0 and 1.

    Raises
    ------
    InputError
        If it lies outside (0, 1), or is no number.

    Examples
    --------
    >>> check_confidence(0.95)
    0.95
    """
    if not isinstance(confidence, (int, float, np.floating)) or not 0.0 < confidence < 1.0:
        raise InputError(f"confidence is {confidence!r}: pass a number in (0, 1), such as 0.95")
    return float(confidence)


def check_delta(delta: float) -> float:
    """The δ of (ε, δ)-differential privacy, in [0, 1).

    Raises
    ------
    InputError
        If it lies outside [0, 1), or is no number.

    Examples
    --------
    >>> check_delta(1e-5)
    1e-05
    """
    if isinstance(delta, bool) or not isinstance(delta, (int, float, np.number)) or not 0.0 <= delta < 1.0:
        raise InputError(f"delta is {delta!r}: pass a number in [0, 1), such as 1e-5")
    return float(delta)


def check_fpr(fpr: float) -> float:
    """A false positive rate strictly between 0 and 1.

    Raises
    ------
    InputError
        If it lies outside (0, 1), or is no number.

    Examples
    --------
    >>> check_fpr(0.01)
    0.01
    """
    if not isinstance(fpr, (int, float, np.floating)) or not 0.0 < fpr < 1.0:
        raise InputError(f"fpr is {fpr!r}: pass a false positive rate in (0, 1), such as 0.01")
    return float(fpr)


def check_whole(name: str, value: int, *, at_least: int) -> int:
    """A whole number, not below a limit.

    Raises
    ------
    InputError
        If it is no whole number or too small.

    Examples
    --------
    >>> check_whole("n_resamples", 1000, at_least=1)
    1000
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise InputError(f"{name} is {value!r}: pass a whole number of at least {at_least:,}")
    return int(value)


def check_groups(groups: ArrayLike, n_examples: int) -> NDArray[Any]:
    """One group label per example, as a vector that can be sorted.

    Raises
    ------
    InputError
        If the labels are not one-dimensional, of another number than the examples, NaN, or of mixed types.

    Examples
    --------
    >>> check_groups(["a", "b", "a"], 3).tolist()
    ['a', 'b', 'a']
    """
    labels = _array("groups", groups)
    if labels.ndim != 1 or len(labels) != n_examples:
        raise InputError(f"groups have shape {labels.shape} for {n_examples:,} examples: pass one label per example")
    if labels.dtype.kind not in "biuUSf" or (labels.dtype.kind == "f" and np.isnan(labels).any()):
        raise InputError(f"groups have dtype {labels.dtype} or hold NaN: pass whole numbers or strings")
    return labels


def _array(name: str, values: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different length
        raise InputError(f"{name} is ragged: pass one dimension, one value per example") from error
