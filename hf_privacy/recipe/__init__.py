"""Recipes: one YAML file, checked, and made into data, split and trainer.

Reading a recipe is light: torch and transformers are imported when one is made into a trainer.
"""

from hf_privacy.exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "audit_settings": ("EXTRA_ATTACKS", "AuditSettings"),
        "audit_signals": ("adversarial_inputs", "auto_attack", "curvature_settings"),
        "build": ("LoadedRows", "load_rows", "prepare"),
        "canary_settings": ("CanarySettings",),
        "config": ("Recipe", "read_yaml"),
        "engine_settings": ("EngineSettings",),
        "experiment": ("Experiment", "training_arguments"),
        "extraction_settings": ("ExtractionSettings",),
        "folder": ("RunFolder",),
        "forget_rows": ("UnlearningRows", "request_of", "requested_rows", "unit_of", "unlearning_rows"),
        "robustness_settings": ("RobustnessSettings",),
        "sections": ("DataSection", "ModelSection", "PushSection"),
        "unlearning": (
            "check_unlearning",
            "relearning_arguments",
            "start_model",
            "trainable_again",
            "unlearner",
            "unlearning_arguments",
        ),
        "unlearning_section": ("RETRAIN", "UnlearningSection"),
    },
)
