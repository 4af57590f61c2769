"""The blind baseline: can the split be told without the model?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hf_privacy import attacks
from hf_privacy.data import TensorDataset
from hf_privacy.data.splits import MembershipSplit
from hf_privacy.signals import flatten_inputs
from hf_privacy.statistics import auc, auc_interval

if TYPE_CHECKING:
    from hf_privacy.auditing.case import AuditCase

# Of each side: what `hf_privacy.attacks.blind_baseline` needs for its folds.
_FEWEST = 30


class BlindBaseline:
    """The examination of the split itself."""

    name = "blind_baseline"

    def check(self, case: AuditCase) -> None:
        """Any split can be tried."""

    def run(self, case: AuditCase) -> dict[str, Any] | None:
        """The report's ``blind_baseline``, and a caveat where the split can be told apart."""
        if not case.settings.blind_baseline:
            return None
        with case.timed("signals"):
            found = blind_baseline(case.data, case.split, confidence=case.settings.confidence)
        if found is not None and found["differs"]:
            case.caveats.append(
                "Members and non-members can be told apart without the model: a classifier that sees only the inputs "
                f"reaches an AUC of {found['auc']:.3f} [{found['auc_low']:.3f}, {found['auc_high']:.3f}]. The figures "
                "of the attacks may hold that difference of the data; draw the split at random."
            )
        return {"blind_baseline": found}


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
