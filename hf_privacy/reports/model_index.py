"""One result of a model card's metadata, as the Hub lists results under ``model-index``."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult

AUC_METRIC, TPR_METRIC = "membership_inference_auc", "membership_inference_tpr_at_fpr"
ROBUST_METRIC = "robust_accuracy"
HELD_OUT_SPLIT, ATTACKED_SPLIT = "held-out (non-members)", "members and non-members"


def result(
    dataset: dict[str, Any],
    metric: str,
    title: str,
    estimate: tuple[float, float, float],
    *,
    split: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> EvalResult:
    """Give an estimate with its interval, rounded to four digits, among what else is said of it."""
    value, low, high = (round(figure, 4) for figure in estimate)
    return EvalResult(
        **dataset,
        dataset_split=split,
        metric_type=metric,
        metric_name=title,
        metric_value=value,
        metric_args={**(before or {}), "low": low, "high": high, **(after or {})},
    )
