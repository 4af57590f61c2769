"""Per-example signals of a model over a dataset, and the store that keeps them.

Names are imported when first used, so that reading a store does not import torch.
"""

from hf_privacy.exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "boundary": ("BOUNDARY_METHODS", "boundary_distance"),
        "curvature": ("Curvature", "input_curvature"),
        "curvature_dataset": ("compute_curvature",),
        "extract": ("average_queries", "compute_signals"),
        "features": ("compute_features", "recorded_features"),
        "fit": ("check_fit",),
        "input_features": ("flatten_inputs",),
        "invariance": ("check_batch_independence",),
        "label_only": ("label_only_correct",),
        "log_curvature": ("curvature_signals",),
        "names": ("ADVERSARIAL_QUERY", "QUERY_NAMES", "curvature_signal_names"),
        "queries": ("augmented_queries",),
        "robustness": ("adversarial_correct", "robust_accuracy"),
        "sampling": ("greedy_continuations", "sampling_log_prob"),
        "store": ("SignalStore",),
        "text_features": ("text_features",),
        "tokens": ("TokenSignals", "scored_offsets", "signals_and_tokens", "token_signals"),
    },
    {
        "SIGNAL_NAMES": "hf_privacy.tasks.classification:SIGNAL_NAMES",
        "evaluation_mode": "hf_privacy.models.modes:evaluation_mode",
        "position_limit": "hf_privacy.models.padding:position_limit",
        "signals_from_logits": "hf_privacy.tasks.class_signals:signals_from_logits",
    },
)
