"""Fine-tune with a privacy defence, measure what leaks, publish with the report that proves it.

Importing the package is light: torch and transformers are imported when a name that needs them is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULE_OF = {
    "AdversarialConfig": "hf_privacy.defenses",
    "AdversarialTrainer": "hf_privacy.defenses",
    "CCLConfig": "hf_privacy.defenses",
    "CCLTrainer": "hf_privacy.defenses",
    "ConfidencePenaltyConfig": "hf_privacy.defenses",
    "ConfidencePenaltyTrainer": "hf_privacy.defenses",
    "CriticalWeightRewindCallback": "hf_privacy.defenses",
    "CurvatureCallback": "hf_privacy.defenses",
    "DPAdversarialConfig": "hf_privacy.defenses",
    "DPAdversarialTrainer": "hf_privacy.defenses",
    "DPConfig": "hf_privacy.defenses",
    "DPTrainer": "hf_privacy.defenses",
    "DeMemConfig": "hf_privacy.defenses",
    "DeMemTrainer": "hf_privacy.defenses",
    "EarlyStoppingConfig": "hf_privacy.defenses",
    "EarlyStoppingTrainer": "hf_privacy.defenses",
    "GateError": "hf_privacy.hub",
    "HAMPConfig": "hf_privacy.defenses",
    "HAMPTrainer": "hf_privacy.defenses",
    "InputError": "hf_privacy.errors",
    "LabelSmoothingConfig": "hf_privacy.defenses",
    "LabelSmoothingTrainer": "hf_privacy.defenses",
    "PrivacyConfig": "hf_privacy.defenses",
    "PrivacyReport": "hf_privacy.reports",
    "PrivacyTrainer": "hf_privacy.defenses",
    "RelaxLossConfig": "hf_privacy.defenses",
    "RelaxLossTrainer": "hf_privacy.defenses",
    "TrainingDynamicsCallback": "hf_privacy.defenses",
    "audit": "hf_privacy.auditing",
    "load_metric": "hf_privacy.metrics",
}
_ROOMS = (
    "attacks",
    "auditing",
    "comparison",
    "data",
    "defenses",
    "hub",
    "memorization",
    "metrics",
    "models",
    "recipe",
    "references",
    "reports",
    "signals",
    "statistics",
    "weights",
)

__all__ = [
    "AdversarialConfig",
    "AdversarialTrainer",
    "CCLConfig",
    "CCLTrainer",
    "ConfidencePenaltyConfig",
    "ConfidencePenaltyTrainer",
    "CriticalWeightRewindCallback",
    "CurvatureCallback",
    "DPAdversarialConfig",
    "DPAdversarialTrainer",
    "DPConfig",
    "DPTrainer",
    "DeMemConfig",
    "DeMemTrainer",
    "EarlyStoppingConfig",
    "EarlyStoppingTrainer",
    "GateError",
    "HAMPConfig",
    "HAMPTrainer",
    "InputError",
    "LabelSmoothingConfig",
    "LabelSmoothingTrainer",
    "PrivacyConfig",
    "PrivacyReport",
    "PrivacyTrainer",
    "RelaxLossConfig",
    "RelaxLossTrainer",
    "TrainingDynamicsCallback",
    "__version__",
    "attacks",
    "audit",
    "auditing",
    "comparison",
    "data",
    "defenses",
    "hub",
    "load_metric",
    "memorization",
    "metrics",
    "models",
    "recipe",
    "references",
    "reports",
    "signals",
    "statistics",
    "weights",
]

if TYPE_CHECKING:
    from hf_privacy.auditing import audit
    from hf_privacy.defenses import (
        AdversarialConfig,
        AdversarialTrainer,
        CCLConfig,
        CCLTrainer,
        ConfidencePenaltyConfig,
        ConfidencePenaltyTrainer,
        CriticalWeightRewindCallback,
        CurvatureCallback,
        DeMemConfig,
        DeMemTrainer,
        DPAdversarialConfig,
        DPAdversarialTrainer,
        DPConfig,
        DPTrainer,
        EarlyStoppingConfig,
        EarlyStoppingTrainer,
        HAMPConfig,
        HAMPTrainer,
        LabelSmoothingConfig,
        LabelSmoothingTrainer,
        PrivacyConfig,
        PrivacyTrainer,
        RelaxLossConfig,
        RelaxLossTrainer,
        TrainingDynamicsCallback,
    )
    from hf_privacy.errors import InputError
    from hf_privacy.hub import GateError
    from hf_privacy.metrics import load_metric
    from hf_privacy.reports import PrivacyReport


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    elif name in _ROOMS:
        value = import_module(f"hf_privacy.{name}")
    else:
        raise AttributeError(f"module 'hf_privacy' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
