"""Arguments of `FocalLossTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.config_checks import refuse_label_smoothing


@dataclass
class FocalLossConfig(PrivacyConfig):
    """`PrivacyConfig` with the focusing of the focal loss.

    Parameters
    ----------
    gamma : float ≥ 0, default 2.0
        How much less an example counts the surer the model is of it; 0 is the cross-entropy.

    Raises
    ------
    InputError
        For a value below 0, or label smoothing beside it.

    Examples
    --------
    >>> FocalLossConfig("runs/doc", gamma=-1.0)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: gamma is -1.0: pass a number in [0, ∞)
    """

    gamma: float = field(default=2.0, metadata={"help": "Focal loss: how much less a sure example counts."})

    def __post_init__(self) -> None:
        check_number("gamma", self.gamma, 0.0)
        refuse_label_smoothing(self, "the focal loss")
        super().__post_init__()
