"""Per-example signals of a model over a dataset, and the store that keeps them.

Names are imported when first used, so that reading a store does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULE_OF = {
    "BOUNDARY_METHODS": "boundary",
    "Curvature": "curvature",
    "ADVERSARIAL_QUERY": "names",
    "QUERY_NAMES": "names",
    "SIGNAL_NAMES": "scores",
    "SignalStore": "store",
    "adversarial_correct": "robustness",
    "augmented_queries": "queries",
    "average_queries": "extract",
    "boundary_distance": "boundary",
    "check_batch_independence": "invariance",
    "check_fit": "fit",
    "compute_curvature": "curvature_dataset",
    "compute_features": "features",
    "compute_signals": "extract",
    "curvature_signal_names": "names",
    "curvature_signals": "log_curvature",
    "evaluation_mode": "extract",
    "flatten_inputs": "input_features",
    "input_curvature": "curvature",
    "label_only_correct": "label_only",
    "position_limit": "fit",
    "recorded_features": "features",
    "robust_accuracy": "robustness",
    "signals_from_logits": "scores",
}

__all__ = [
    "ADVERSARIAL_QUERY",
    "BOUNDARY_METHODS",
    "QUERY_NAMES",
    "SIGNAL_NAMES",
    "Curvature",
    "SignalStore",
    "adversarial_correct",
    "augmented_queries",
    "average_queries",
    "boundary_distance",
    "check_batch_independence",
    "check_fit",
    "compute_curvature",
    "compute_features",
    "compute_signals",
    "curvature_signal_names",
    "curvature_signals",
    "evaluation_mode",
    "flatten_inputs",
    "input_curvature",
    "label_only_correct",
    "position_limit",
    "recorded_features",
    "robust_accuracy",
    "signals_from_logits",
]

if TYPE_CHECKING:
    from hf_privacy.signals.boundary import BOUNDARY_METHODS, boundary_distance
    from hf_privacy.signals.curvature import Curvature, input_curvature
    from hf_privacy.signals.curvature_dataset import compute_curvature
    from hf_privacy.signals.extract import average_queries, compute_signals, evaluation_mode
    from hf_privacy.signals.features import compute_features, recorded_features
    from hf_privacy.signals.fit import check_fit, position_limit
    from hf_privacy.signals.input_features import flatten_inputs
    from hf_privacy.signals.invariance import check_batch_independence
    from hf_privacy.signals.label_only import label_only_correct
    from hf_privacy.signals.log_curvature import curvature_signals
    from hf_privacy.signals.names import ADVERSARIAL_QUERY, QUERY_NAMES, curvature_signal_names
    from hf_privacy.signals.queries import augmented_queries
    from hf_privacy.signals.robustness import adversarial_correct, robust_accuracy
    from hf_privacy.signals.scores import SIGNAL_NAMES, signals_from_logits
    from hf_privacy.signals.store import SignalStore


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hf_privacy.signals' has no attribute {name!r}")
    value = getattr(import_module(f"hf_privacy.signals.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
