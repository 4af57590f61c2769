"""Per-example signals of a model over a dataset, and the store that keeps them.

Names are imported when first used, so that reading a store does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULE_OF = {
    "BOUNDARY_METHODS": "boundary",
    "QUERY_NAMES": "extract",
    "SIGNAL_NAMES": "scores",
    "SignalStore": "store",
    "augmented_queries": "queries",
    "average_queries": "extract",
    "boundary_distance": "boundary",
    "compute_features": "features",
    "compute_signals": "extract",
    "evaluation_mode": "extract",
    "flatten_inputs": "input_features",
    "label_only_correct": "label_only",
    "signals_from_logits": "scores",
}

__all__ = [
    "BOUNDARY_METHODS",
    "QUERY_NAMES",
    "SIGNAL_NAMES",
    "SignalStore",
    "augmented_queries",
    "average_queries",
    "boundary_distance",
    "compute_features",
    "compute_signals",
    "evaluation_mode",
    "flatten_inputs",
    "label_only_correct",
    "signals_from_logits",
]

if TYPE_CHECKING:
    from hf_privacy.signals.boundary import BOUNDARY_METHODS, boundary_distance
    from hf_privacy.signals.extract import QUERY_NAMES, average_queries, compute_signals, evaluation_mode
    from hf_privacy.signals.features import compute_features
    from hf_privacy.signals.input_features import flatten_inputs
    from hf_privacy.signals.label_only import label_only_correct
    from hf_privacy.signals.queries import augmented_queries
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
