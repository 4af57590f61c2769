"""What scores say about membership: ROC curves, intervals and the summary every report is built from."""

from __future__ import annotations

from hf_privacy.statistics.checks import check_scores
from hf_privacy.statistics.intervals import auc_interval, clopper_pearson
from hf_privacy.statistics.roc import auc, roc, roc_counts
from hf_privacy.statistics.summary import summarize, tpr_at_fpr

__all__ = [
    "auc",
    "auc_interval",
    "check_scores",
    "clopper_pearson",
    "roc",
    "roc_counts",
    "summarize",
    "tpr_at_fpr",
]
