"""Fine-tune with a privacy defence, measure what leaks, publish with the report that proves it.

Importing the package is light: torch and transformers are imported when a name that needs them is first used.
"""

from hf_privacy import defenses, unlearning
from hf_privacy.exports import lazy_exports

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
    "tasks",
    "weights",
)

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "auditing": ("audit",),
        "data": ("ForgetRequest",),
        "errors": ("InputError",),
        "hub": ("GateError",),
        "metrics": ("load_metric",),
        "reports": ("PrivacyReport",),
    },
    {**{room: f"{__name__}.{room}" for room in _ROOMS}, **defenses.METHODS, **unlearning.METHODS},
)
__all__ += ["__version__", "defenses", "unlearning"]
