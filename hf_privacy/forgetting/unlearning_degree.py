"""Unlearning degree: how much accuracy on the perturbed forget set goes, beside the most that could go."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_privacy.forgetting.inputs import zero_one_table, zero_one_vector
from hf_privacy.forgetting.paired import difference_interval
from hf_privacy.statistics import t_interval


def unlearning_degree(
    before: ArrayLike, after: ArrayLike, retrained: ArrayLike | None = None, *, confidence: float = 0.95
) -> dict[str, Any]:
    """Acc_before(D̃_u) − Acc_after(D̃_u), with the value of retraining as its ceiling.

    Parameters
    ----------
    before, after : array-like of 0/1, shape [N]
        1 where the model classifies the perturbed forget example right, before and after unlearning.
    retrained : array-like of 0/1, shape [N] or [R, N], optional
        The same of one or several models retrained without the forget set.
    confidence : float, default 0.95

    Returns
    -------
    dict
        ``unlearning_degree`` with ``low`` and ``high`` (over the choice of examples, paired), ``accuracy_before``,
        ``accuracy_after``, ``n_examples``, ``confidence``. With ``retrained`` also ``ceiling``, Acc_before less the
        mean accuracy of the retrained models, ``ceiling_low``, ``ceiling_high`` (over the models where there are
        several, by Student's t, else over the examples), ``share_of_ceiling``, left None where the ceiling is not
        above 0, and ``n_retrained``.

    Raises
    ------
    InputError
        If the arrays differ in length or hold anything but 0 and 1, or confidence lies outside (0, 1).

    Notes
    -----
    More than the ceiling is no better unlearning: the retrained model is the goal. A ceiling near 0 says that the
    perturbed set is predicted without having been trained on, so that the degree cannot tell anything.

    References
    ----------
    Zuo et al., "Machine unlearning through fine-grained model parameters perturbation", TKDE 2025 (arXiv 2401.04385),
    SPD-GAN. The ceiling is ours.

    Examples
    --------
    >>> result = unlearning_degree(before=[1, 1, 1, 1], after=[1, 0, 0, 1], retrained=[1, 0, 0, 0])
    >>> result["unlearning_degree"], result["ceiling"], round(result["share_of_ceiling"], 2)
    (0.5, 0.75, 0.67)
    """
    then = zero_one_vector("before", before)
    now = zero_one_vector("after", after, n_examples=len(then))
    degree = (int(then.sum()) - int(now.sum())) / len(then)
    low, high = difference_interval(then, now, confidence=confidence)
    result: dict[str, Any] = {
        "unlearning_degree": degree,
        "low": low,
        "high": high,
        "accuracy_before": float(then.mean()),
        "accuracy_after": float(now.mean()),
        "n_examples": len(then),
        "confidence": float(confidence),
    }
    if retrained is None:
        return result
    table = zero_one_table("retrained", retrained, n_examples=len(then))
    ceilings = (int(then.sum()) - table.sum(axis=1, dtype=np.int64)) / len(then)
    ceiling = float(ceilings.mean())
    if len(table) == 1:
        ends: tuple[float | None, float | None] = difference_interval(then, table[0], confidence=confidence)
    else:
        ends = t_interval(ceilings, within=(-1.0, 1.0), confidence=confidence)
    return result | {
        "ceiling": ceiling,
        "ceiling_low": ends[0],
        "ceiling_high": ends[1],
        "share_of_ceiling": degree / ceiling if ceiling > 0 else None,
        "n_retrained": len(table),
    }
