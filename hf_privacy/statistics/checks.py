"""What this room asks of scores, membership, groups and rates; read through `hf_privacy.arrays` and `.arguments`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_number, check_numbers
from hf_privacy.arrays import boolean_array, finite, label_array, real_array
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
        If either is empty, masked, not one-dimensional or of another length than the other, if a score is no finite
        real number, if membership is not boolean, or if it holds only members or only non-members.

    Examples
    --------
    >>> check_scores([0.25, 1.5], [False, True])
    (array([0.25, 1.5 ]), array([False,  True]))
    """
    truth = boolean_array("membership", membership, true="True for a member (0/1: membership == 1)")
    if truth.ndim != 1:
        raise InputError(f"membership has shape {truth.shape}: pass one dimension, one value per example")
    values = real_array("scores", scores)
    if values.ndim != 1:
        raise InputError(f"scores have shape {values.shape}: pass one dimension, one score per example")
    if len(values) == 0:
        raise InputError("scores are empty: pass at least one member and one non-member")
    if len(values) != len(truth):
        raise InputError(f"membership has {len(truth):,} rows and scores {len(values):,}: pass one score per example")
    values = finite("scores", values)
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
    return check_number("confidence", confidence, 0.0, 1.0, low_open=True, high_open=True, such_as="0.95")


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
    return check_number("delta", delta, 0.0, 1.0, high_open=True, such_as="1e-5")


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
    return check_number("fpr", fpr, 0.0, 1.0, low_open=True, high_open=True, such_as="0.01")


def check_shares(name: str, values: Iterable[float]) -> list[float]:
    """False positive rates or shares of examples, each strictly between 0 and 1; there may be none.

    Raises
    ------
    InputError
        If one lies outside (0, 1) or is no number, or the values are no list.

    Examples
    --------
    >>> check_shares("fprs", (0.01, 0.1))
    [0.01, 0.1]
    """
    return check_numbers(name, values, 0.0, 1.0, low_open=True, high_open=True, such_as="0.01", at_least=0)


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
    labels = label_array("groups", groups)
    if labels.ndim != 1 or len(labels) != n_examples:
        raise InputError(f"groups have shape {labels.shape} for {n_examples:,} examples: pass one label per example")
    return labels
