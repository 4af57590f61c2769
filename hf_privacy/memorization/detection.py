"""How well a score finds examples whose label is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_privacy.arrays import boolean_vector, finite_vector
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc, auc_interval


def mislabel_auroc(scores: ArrayLike, mislabelled: ArrayLike, *, confidence: float = 0.95) -> dict[str, Any]:
    """Area under the ROC curve of a score as a detector of mislabelled examples.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        **Higher for likelier mislabelled**: memorization, curvature, loss; turn the sign of a confidence. Of examples
        the model was trained on.
    mislabelled : array-like of bool, shape [N]
        True where the label was planted wrong.
    confidence : float, default 0.95

    Returns
    -------
    dict
        ``auroc`` (the chance that a mislabelled example scores above a clean one, ties one half), ``low``, ``high``
        (DeLong, logit scale), ``n_mislabelled``, ``n_clean``, ``confidence``.

    Raises
    ------
    InputError
        If lengths differ, a score is not finite, mislabelled is not boolean or holds one kind only.

    Examples
    --------
    >>> result = mislabel_auroc([0.9, 0.1, 0.8, 0.2], [True, False, False, False])
    >>> result["auroc"], result["n_mislabelled"], result["n_clean"]
    (1.0, 1, 3)
    """
    values = finite_vector("scores", scores)
    wrong = boolean_vector("mislabelled", mislabelled, n_examples=len(values))
    n_wrong = int(np.count_nonzero(wrong))
    if n_wrong in (0, len(wrong)):
        raise InputError(
            f"mislabelled is {bool(n_wrong)} for all {len(wrong):,} examples: pass some of both, mislabelled and clean"
        )
    low, high = auc_interval(values, wrong, confidence=confidence)
    return {
        "auroc": auc(values, wrong),
        "low": low,
        "high": high,
        "n_mislabelled": n_wrong,
        "n_clean": len(wrong) - n_wrong,
        "confidence": float(confidence),
    }
