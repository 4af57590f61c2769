"""Arguments of `ConfidencePenaltyTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.config_checks import refuse_label_smoothing


@dataclass
class ConfidencePenaltyConfig(PrivacyConfig):
    """`PrivacyConfig` with the weight of the confidence penalty.

    Parameters
    ----------
    beta : float above 0, default 0.1
        Weight of the entropy, in nats, that is subtracted from the loss.

    Raises
    ------
    InputError
        For a value outside its range, or label smoothing beside it.

    Examples
    --------
    >>> ConfidencePenaltyConfig("runs/doc", beta=0.0)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: beta is 0.0: pass a number in (0, ∞)
    """

    beta: float = field(default=0.1, metadata={"help": "Confidence penalty: weight of the entropy, above 0."})

    def __post_init__(self) -> None:
        check_number("beta", self.beta, 0.0, low_open=True)
        refuse_label_smoothing(self, "the confidence penalty")
        super().__post_init__()
