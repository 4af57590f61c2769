"""Per-example signals of a model over a dataset, and the store that keeps them.

Names are imported when first used, so that reading a store does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULE_OF = {
    "QUERY_NAMES": "extract",
    "SIGNAL_NAMES": "scores",
    "SignalStore": "store",
    "average_queries": "extract",
    "compute_signals": "extract",
    "evaluation_mode": "extract",
    "signals_from_logits": "scores",
}

__all__ = [
    "QUERY_NAMES",
    "SIGNAL_NAMES",
    "SignalStore",
    "average_queries",
    "compute_signals",
    "evaluation_mode",
    "signals_from_logits",
]

if TYPE_CHECKING:
    from hf_privacy.signals.extract import QUERY_NAMES, average_queries, compute_signals, evaluation_mode
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
