"""Fine-tune with a privacy defence, measure what leaks, publish with the report that proves it.

Importing the package is light: torch and transformers are imported when a name that needs them is first used.
"""

from hf_privacy import defenses, unlearning
from hf_privacy.exports import lazy_exports, method_exports

__version__ = "0.1.0"

_ROOMS = (
    "adversarial",
    "attacks",
    "auditing",
    "comparison",
    "data",
    "forgetting",
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

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        **{room: f"{__name__}.{room}" for room in _ROOMS},
        **method_exports(defenses.DEFENSES),
        **defenses.CALLBACKS,
        **unlearning.METHODS,
        "ForgetRequest": "hf_privacy.data:ForgetRequest",
        "GateError": "hf_privacy.hub:GateError",
        "InputError": "hf_privacy.errors:InputError",
        "PrivacyReport": "hf_privacy.reports:PrivacyReport",
        "audit": "hf_privacy.auditing:audit",
        "load_metric": "hf_privacy.metrics:load_metric",
    },
)
__all__ += ["__version__", "defenses", "unlearning"]
