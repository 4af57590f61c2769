"""An attack read from both sides: whoever scores highest is called a member, or whoever scores lowest.

A defence can turn an attack around: trained to lower what it knows of its members, a model may know less of them than
of others, and an AUC of 0.4 tells them apart as well as one of 0.6. An attacker who knows the defence, such as by
reference models trained under it, calls from the side that tells more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_privacy.statistics.checks import check_confidence, check_scores, check_shares
from hf_privacy.statistics.intervals import auc_interval
from hf_privacy.statistics.roc import auc, roc_counts
from hf_privacy.statistics.tpr import tpr_at_fpr

HIGH, LOW = "high", "low"
_CONDITIONAL = ("conditional_low", "conditional_high")


def two_sided(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    fprs: Iterable[float] = (1e-3, 1e-2, 1e-1),
    confidence: float = 0.95,
    groups: ArrayLike | None = None,
) -> dict[str, Any]:
    """AUC and TPR from the side of the scores that tells more, with intervals that cover the choice of the side.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher is meant to say member; lower may.
    membership : array-like of bool, shape [N]
    fprs : iterable of float, default (0.001, 0.01, 0.1)
        Targets for `tpr_at_fpr`, each in (0, 1).
    confidence : float, default 0.95
        Of every interval, each on its own.
    groups : array-like of int or str, shape [N], optional
        What was drawn as a whole, see `auc_interval`.

    Returns
    -------
    dict
        ``side``, "high" or "low": where the members' scores lie by the AUC; ``auc``, the larger of AUC and 1 − AUC,
        ``auc_low``, ``auc_high``, all in [0.5, 1]; ``balanced_accuracy`` and ``advantage`` of the better side;
        ``tpr_at_fpr``, one dict per target as `tpr_at_fpr` gives it, of the larger of the two tails' rates, with its
        own ``side`` and with ``low_tail``, the rate of the lowest scores.

    Raises
    ------
    InputError
        See `check_scores`; also if a target or confidence lies outside (0, 1).

    Notes
    -----
    What is estimated is the larger of two true figures. The AUC's interval is the image of that of one side under
    a → max(a, 1 − a): it covers as often, at the least, whatever side was chosen. A rate's upper end is the larger of
    the tails' upper ends, which needs no correction; its lower end is the larger of the two lower ends, each at half
    of the risk. The larger of two estimates is itself a little too large where nothing leaks: read the lower end.

    Examples
    --------
    >>> found = two_sided([0.0, 1.0, 3.0, 2.0, 4.0], [True, True, True, False, False], fprs=[0.5])
    >>> found["side"], round(found["auc"], 3), found["auc_low"], found["tpr_at_fpr"][0]["side"]
    ('low', 0.833, 0.5, 'low')
    """
    targets = check_shares("fprs", fprs)
    level = check_confidence(confidence)
    scores, membership = check_scores(scores, membership)
    area = auc(scores, membership)
    side, *figures = two_sided_area(area, *auc_interval(scores, membership, confidence=level, groups=groups))
    false_positives, true_positives, _ = roc_counts(scores, membership)
    ahead = true_positives / true_positives[-1] - false_positives / false_positives[-1]
    advantage = float(np.max(np.abs(ahead)))
    rates = [
        _two_tails(
            [
                [
                    tpr_at_fpr(values, membership, fpr=target, confidence=at, groups=groups)
                    for values in (scores, -scores)
                ]
                for at in (level, half_the_risk(level))
            ]
        )
        for target in targets
    ]
    return {
        "side": side,
        **dict(zip(("auc", "auc_low", "auc_high"), figures, strict=True)),
        "balanced_accuracy": (1.0 + advantage) / 2,
        "advantage": advantage,
        "tpr_at_fpr": rates,
    }


def two_sided_area(area: float, low: float, high: float) -> tuple[str, float, float, float]:
    """Side, value and interval of max(AUC, 1 − AUC), from an AUC and its interval at any confidence.

    Examples
    --------
    >>> two_sided_area(0.25, 0.125, 0.375)
    ('low', 0.75, 0.625, 0.875)
    >>> two_sided_area(0.75, 0.375, 0.875)
    ('high', 0.75, 0.5, 0.875)
    """
    ends = (low, high) if low >= 0.5 else (1.0 - high, 1.0 - low) if high <= 0.5 else (0.5, max(high, 1.0 - low))
    return HIGH if area >= 0.5 else LOW, max(area, 1.0 - area), *ends


def half_the_risk(confidence: float) -> float:
    """The confidence of each of two lower ends of which the larger is taken.

    Examples
    --------
    >>> half_the_risk(0.9)
    0.95
    """
    return (1.0 + confidence) / 2


def _two_tails(found: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """The larger rate of both tails: upper ends at the confidence itself, lower ends at half of the risk."""
    (upper, lower), corrected = found
    if upper["tpr"] is None:
        return upper
    better = upper if upper["tpr"] >= lower["tpr"] else lower
    ends = {
        name: max(tail[name] for tail in (corrected if name.endswith("low") else (upper, lower)))
        for name in ("low", "high", *_CONDITIONAL)
    }
    return {
        "fpr": upper["fpr"],
        "tpr": better["tpr"],
        **ends,
        "side": HIGH if better is upper else LOW,
        "low_tail": lower["tpr"],
    }
