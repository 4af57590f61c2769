"""Forgetting rate and memory retention rate: what is lost of the forget set, and what is kept of the retain set."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice
from hf_privacy.errors import InputError
from hf_privacy.forgetting.inputs import zero_one_table, zero_one_vector
from hf_privacy.forgetting.paired import ratio_interval
from hf_privacy.statistics import t_interval

Reading: TypeAlias = Literal["accuracy", "membership"]

_BEFORE = {"accuracy": "classified right", "membership": "judged a member"}


def forgetting_rate(after: ArrayLike, before: ArrayLike, *, reading: Reading = "accuracy") -> float:
    """Share of what held for the forget set before unlearning that no longer holds after it.

    Accuracy reading: (Acc_before − Acc_after)/Acc_before. Membership reading: (AF − BF)/BT, with BT and BF the numbers
    of examples judged members and non-members before, and AF the number judged non-members after.

    Parameters
    ----------
    after, before : array-like of 0/1, shape [N]
        Of the same forget examples in the same order. For "accuracy": 1 where the model classifies the example
        right. For "membership": 1 where an attack judges it a member; the same attack, with one threshold, both times.
    reading : {"accuracy", "membership"}, default "accuracy"

    Returns
    -------
    float
        At most 1; 0 where nothing was forgotten, negative where the forget set is known better than before.

    Raises
    ------
    InputError
        If the arrays differ in length, hold anything but 0 and 1, or ``before`` holds no 1: nothing to be forgotten,
        and no rate; or the reading is unknown.

    Notes
    -----
    **The goal is not 1** but the value of a model retrained without the forget set: a good model classifies most of
    what it has never seen. A higher rate than that is over-forgetting, which gives membership away.

    Since AF − BF = BT − AT, the two readings are one formula on two kinds of 0/1; which kind it was must be said with
    the number.

    References
    ----------
    Zuo et al., "Machine unlearning through fine-grained model parameters perturbation", TKDE 2025 (arXiv 2401.04385);
    the membership reading: Liu et al., "Learn to forget: machine unlearning via neuron masking" (arXiv 2003.10933).

    Examples
    --------
    >>> forgetting_rate(after=[1, 0, 0, 0], before=[1, 1, 1, 0])
    0.6666666666666666
    """
    # Counts are subtracted before anything is divided: nothing forgotten is 0, not a rounding error.
    now, then = _checked(after, before, reading)
    n_before = int(then.sum())
    return (n_before - int(now.sum())) / n_before


def memory_retention_rate(after: ArrayLike, before: ArrayLike, *, reading: Reading = "accuracy") -> float:
    """What holds for the retain set after unlearning, over what held before.

    Accuracy reading: Acc_after/Acc_before. Membership reading: members judged after over members judged before.

    Parameters
    ----------
    after, before : array-like of 0/1, shape [N]
        As in `forgetting_rate`, of the same **retain** examples.
    reading : {"accuracy", "membership"}, default "accuracy"

    Returns
    -------
    float
        At least 0; 1 where nothing was lost, above 1 where the retain set is known better than before.

    Raises
    ------
    InputError
        As `forgetting_rate`.

    References
    ----------
    As `forgetting_rate`.

    Examples
    --------
    >>> memory_retention_rate(after=[1, 1, 0, 0], before=[1, 1, 1, 1])
    0.5
    """
    now, then = _checked(after, before, reading)
    return int(now.sum()) / int(then.sum())


def forgetting_rate_interval(
    after: ArrayLike, before: ArrayLike, *, reading: Reading = "accuracy", confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of `forgetting_rate` over the choice of examples; it does not cover the chance of training.

    Examples
    --------
    >>> low, high = forgetting_rate_interval(after=[1, 0, 0, 0], before=[1, 1, 1, 0])
    >>> low < 2 / 3 < high < 1
    True
    """
    low, high = memory_retention_rate_interval(after, before, reading=reading, confidence=confidence)
    return 1 - high, 1 - low


def memory_retention_rate_interval(
    after: ArrayLike, before: ArrayLike, *, reading: Reading = "accuracy", confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of `memory_retention_rate` over the choice of examples; see `ratio_interval`.

    Examples
    --------
    >>> low, high = memory_retention_rate_interval(after=[1, 1, 0, 0], before=[1, 1, 1, 1])
    >>> 0 < low < 0.5 < high
    True
    """
    now, then = _checked(after, before, reading)
    return ratio_interval(now, then, confidence=confidence)


def summarize_rate(
    after: ArrayLike,
    before: ArrayLike,
    retrained: ArrayLike | None = None,
    *,
    rate: Literal["forgetting_rate", "memory_retention_rate"] = "forgetting_rate",
    reading: Reading = "accuracy",
    confidence: float = 0.95,
) -> dict[str, Any]:
    """One of the two rates with its interval, beside the value of retraining, which is the goal.

    Parameters
    ----------
    after, before : array-like of 0/1, shape [N]
        As in `forgetting_rate`.
    retrained : array-like of 0/1, shape [N] or [R, N], optional
        What stands in the place of ``after`` for one or several models retrained without the forget set.
    rate : {"forgetting_rate", "memory_retention_rate"}, default "forgetting_rate"
    reading : {"accuracy", "membership"}, default "accuracy"
    confidence : float, default 0.95

    Returns
    -------
    dict
        ``value``, ``low``, ``high`` (over the choice of examples), ``reading``, ``n_before`` and ``n_after`` (ones),
        ``n_examples``, ``confidence``. With ``retrained`` also ``retrained`` (mean over the models),
        ``retrained_low``, ``retrained_high`` (Student's t over the models, for one of them over the examples),
        ``gap``, the value less that of retraining, and ``n_retrained``.

    Raises
    ------
    InputError
        As `forgetting_rate`; also if the rate is unknown or confidence lies outside (0, 1).

    Examples
    --------
    >>> result = summarize_rate([1, 0, 0, 0], [1, 1, 1, 1], retrained=[1, 1, 0, 0])
    >>> result["value"], result["retrained"], result["gap"]
    (0.75, 0.5, 0.25)
    """
    check_choice("rate", rate, _RATES)
    measure, interval = _RATES[rate]
    now, then = _checked(after, before, reading)
    low, high = interval(now, then, reading=reading, confidence=confidence)
    value = measure(now, then, reading=reading)
    result: dict[str, Any] = {
        "value": value,
        "low": low,
        "high": high,
        "reading": reading,
        "n_before": int(then.sum()),
        "n_after": int(now.sum()),
        "n_examples": len(then),
        "confidence": float(confidence),
    }
    if retrained is None:
        return result
    table = zero_one_table("retrained", retrained, n_examples=len(then))
    values = np.array([measure(row, then, reading=reading) for row in table])
    ends: tuple[float | None, float | None] = interval(table[0], then, reading=reading, confidence=confidence)
    if len(table) > 1:
        ends = t_interval(values, within=_WITHIN[rate], confidence=confidence)
    return result | {
        "retrained": float(values.mean()),
        "retrained_low": ends[0],
        "retrained_high": ends[1],
        "gap": value - float(values.mean()),
        "n_retrained": len(table),
    }


# Where each rate can lie: after unlearning more may be right than before.
_WITHIN = {"forgetting_rate": (-np.inf, 1.0), "memory_retention_rate": (0.0, np.inf)}
_RATES = {
    "forgetting_rate": (forgetting_rate, forgetting_rate_interval),
    "memory_retention_rate": (memory_retention_rate, memory_retention_rate_interval),
}


def _checked(after: ArrayLike, before: ArrayLike, reading: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    check_choice("reading", reading, _BEFORE)
    then = zero_one_vector("before", before)
    now = zero_one_vector("after", after, n_examples=len(then))
    if not then.any():
        raise InputError(
            f"before holds no 1: none of the {len(then):,} examples was {_BEFORE[reading]} before unlearning, so "
            "there is nothing to forget or to keep and no rate"
        )
    return now, then
