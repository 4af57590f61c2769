"""Per-example signals of a model over a dataset, and the store that keeps them."""

from hf_privacy.signals.extract import QUERY_NAMES, average_queries, compute_signals, evaluation_mode
from hf_privacy.signals.scores import SIGNAL_NAMES, signals_from_logits
from hf_privacy.signals.store import SignalStore

__all__ = [
    "QUERY_NAMES",
    "SIGNAL_NAMES",
    "SignalStore",
    "average_queries",
    "compute_signals",
    "evaluation_mode",
    "signals_from_logits",
]
