"""What the gate can ask of a report, named once: in a recipe's ``push``, in a training's arguments, at the push."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

DEPTHS = ("quick", "full")


@dataclass(kw_only=True)
class GateFields:
    """The settings of `hf_privacy.hub.GateSettings`, which says what each means and checks them."""

    max_auc: float | None = field(default=None, metadata={"help": "Refuse a push above this attack AUC (upper end)."})
    max_tpr_at_fpr: dict | str | None = field(
        default=None, metadata={"help": "Refuse a push above these true positive rates, by false positive rate."}
    )
    max_extraction: float | None = field(
        default=None, metadata={"help": "Refuse a language model that gives back more of its texts (upper end)."}
    )
    max_unlearning_gap: float | None = field(
        default=None, metadata={"help": "Refuse a push of an unlearned model further than this from retraining."}
    )
    max_retained_loss: float | None = field(
        default=None,
        metadata={"help": "Refuse an unlearned model that lost more of what was to be kept (0.02: 2 points)."},
    )
    max_perplexity_rise: float | None = field(
        default=None,
        metadata={"help": "Refuse an unlearned language model that reads what was to be kept so much worse."},
    )
    require_unlearning: bool = field(
        default=False, metadata={"help": "Refuse a push whose report has no unlearning section."}
    )
    min_depth: str | None = field(
        default=None, metadata={"help": "Refuse a push whose audit was less deep: full.", "choices": DEPTHS}
    )
    min_references: int | None = field(
        default=None, metadata={"help": "Refuse a push whose audit had fewer reference models."}
    )
    min_confidence: float = field(default=0.95, metadata={"help": "Refuse a report whose intervals are at less."})
    allow_unaudited: bool = field(default=False, metadata={"help": "Push without a report; the card says so."})

    def gate_settings(self) -> dict[str, Any]:
        """What the gate is asked, by name.

        Examples
        --------
        >>> GateFields(max_auc=0.6).gate_settings()["max_auc"]
        0.6
        """
        return {name: getattr(self, name) for name in GATE_FIELDS}


GATE_FIELDS = tuple(setting.name for setting in fields(GateFields))
