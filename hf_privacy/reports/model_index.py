"""One result of a model card's metadata, as the Hub lists results under ``model-index``."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult

AUC_METRIC, TPR_METRIC = "membership_inference_auc", "membership_inference_tpr_at_fpr"
ROBUST_METRIC = "robust_accuracy"
HELD_OUT_SPLIT, ATTACKED_SPLIT = "held-out (non-members)", "members and non-members"


def result(dataset: dict[str, Any], split: str, metric: str, title: str, value: float, **arguments: Any) -> EvalResult:
    """Give an estimate among what else is said of it, in that order; the value, low and high with four digits."""
    return EvalResult(
        **dataset,
        dataset_split=split,
        metric_type=metric,
        metric_name=title,
        metric_value=round(value, 4),
        metric_args={n: round(a, 4) if n in ("low", "high") else a for n, a in arguments.items()},
    )
