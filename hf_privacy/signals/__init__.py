"""Per-example signals of a model over a dataset, and the store that keeps them.

Names are imported when first used, so that reading a store does not import torch.
"""

from hf_privacy.exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ADVERSARIAL_QUERY": "hf_privacy.signals.names:ADVERSARIAL_QUERY",
        "BOUNDARY_METHODS": "hf_privacy.signals.boundary:BOUNDARY_METHODS",
        "Curvature": "hf_privacy.signals.curvature:Curvature",
        "QUERY_NAMES": "hf_privacy.signals.names:QUERY_NAMES",
        "SIGNAL_NAMES": "hf_privacy.tasks.class_signals:SIGNAL_NAMES",
        "SignalStore": "hf_privacy.signals.store:SignalStore",
        "adversarial_correct": "hf_privacy.signals.robustness:adversarial_correct",
        "augmented_queries": "hf_privacy.signals.queries:augmented_queries",
        "average_queries": "hf_privacy.signals.extract:average_queries",
        "boundary_distance": "hf_privacy.signals.boundary:boundary_distance",
        "check_batch_independence": "hf_privacy.signals.invariance:check_batch_independence",
        "check_fit": "hf_privacy.signals.fit:check_fit",
        "compute_curvature": "hf_privacy.signals.curvature_dataset:compute_curvature",
        "compute_features": "hf_privacy.signals.features:compute_features",
        "compute_signals": "hf_privacy.signals.extract:compute_signals",
        "curvature_signal_names": "hf_privacy.signals.names:curvature_signal_names",
        "curvature_signals": "hf_privacy.signals.log_curvature:curvature_signals",
        "evaluation_mode": "hf_privacy.models.modes:evaluation_mode",
        "flatten_inputs": "hf_privacy.signals.input_features:flatten_inputs",
        "input_curvature": "hf_privacy.signals.curvature:input_curvature",
        "label_only_correct": "hf_privacy.signals.label_only:label_only_correct",
        "position_limit": "hf_privacy.models.padding:position_limit",
        "recorded_features": "hf_privacy.signals.features:recorded_features",
        "robust_accuracy": "hf_privacy.signals.robustness:robust_accuracy",
        "signals_from_logits": "hf_privacy.tasks.class_signals:signals_from_logits",
    },
)
