"""Arguments of `RelaxLossTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_choice, check_number
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.config_checks import refuse_label_smoothing

FLATTENINGS = ("with_ascent", "soft_labels_only")


@dataclass
class RelaxLossConfig(PrivacyConfig):
    """`PrivacyConfig` with the target loss of RelaxLoss.

    Parameters
    ----------
    alpha : float, default 1.0
        The mean cross-entropy, in nats, that training aims at and no lower; 0 is training to the end. The authors'
        settings: CIFAR-10 1.0 (ResNet-20), CIFAR-100 3.0, Purchase 0.8. For a language model, which they have none
        for, in nats a token: its loss on held-out text when an undefended run is best is the place to begin.
    flattening : {"with_ascent", "soft_labels_only"}, default "with_ascent"
        What odd epochs minimise at or below ``alpha``: the mean of (1 − correct)·CE(soft) − CE, the authors' code for
        images; or the mean of CE(soft) alone, their code for tables and the form of later work.
    confidence_cap : float in (0, 1], default 1.0
        The soft label's share of the true class is never above it (the authors' ``upper``; 0.3 for Purchase).
    detach_soft_labels : bool, default False
        Take the soft labels for constants. In the authors' code the gradient runs through them.

    Raises
    ------
    InputError
        For a value outside its range, or label smoothing beside it.

    Examples
    --------
    >>> RelaxLossConfig("runs/doc", alpha=-1.0)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: alpha is -1.0: pass a number in [0, ∞)
    """

    alpha: float = field(default=1.0, metadata={"help": "RelaxLoss: the mean loss training aims at, in nats."})
    flattening: str = field(
        default="with_ascent",
        metadata={
            "help": "RelaxLoss: 'with_ascent' (authors, images) or 'soft_labels_only' (authors, tables).",
            "choices": FLATTENINGS,
        },
    )
    confidence_cap: float = field(
        default=1.0, metadata={"help": "RelaxLoss: highest share of the true class in a soft label."}
    )
    detach_soft_labels: bool = field(
        default=False, metadata={"help": "RelaxLoss: soft labels are constants; false as in the authors' code."}
    )

    def __post_init__(self) -> None:
        check_number("alpha", self.alpha, 0.0)
        check_choice("flattening", self.flattening, FLATTENINGS)
        check_number("confidence_cap", self.confidence_cap, 0.0, 1.0, low_open=True)
        refuse_label_smoothing(self, "RelaxLoss")
        super().__post_init__()
