"""The blind baseline: can the split be told without the model?"""

from __future__ import annotations

from typing import Any

from hf_privacy import attacks
from hf_privacy.data import TensorDataset
from hf_privacy.data.splits import MembershipSplit
from hf_privacy.signals import flatten_inputs
from hf_privacy.statistics import auc, auc_interval

# Of each side: what `hf_privacy.attacks.blind_baseline` needs for its folds.
_FEWEST = 30


def blind_baseline(
    dataset: TensorDataset, split: MembershipSplit, *, confidence: float, seed: int = 0
) -> dict[str, Any] | None:
    """AUC of a classifier that tells members from non-members by their inputs alone.

    Parameters
    ----------
    dataset : TensorDataset
        Every row ``split`` counts.
    split : MembershipSplit
    confidence : float
    seed : int
        Of the folds.

    Returns
    -------
    dict or None
        None for fewer than 30 members or non-members, which cannot train such a classifier. Otherwise the report's
        ``blind_baseline``: "auc", "auc_low", "auc_high", "confidence" and "differs", True where the interval lies
        above 0.5: then the figures of the attacks hold a difference of the data, not the model's.
    """
    n_members = int(split.membership.sum())
    if min(n_members, len(split.pool) - n_members) < _FEWEST:
        return None
    features = flatten_inputs(dataset.subset(split.pool))
    scores = attacks.blind_baseline(features, split.membership, seed=seed)
    low, high = auc_interval(scores, split.membership, confidence=confidence)
    return {
        "auc": auc(scores, split.membership),
        "auc_low": low,
        "auc_high": high,
        "confidence": confidence,
        "differs": low > 0.5,
    }
