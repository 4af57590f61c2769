"""Arguments of `NegGradPlusTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class NegGradPlusConfig(UnlearningConfig):
    """`UnlearningConfig` with NegGrad+'s weight.

    Parameters
    ----------
    beta : float in [0, 1], default 0.95
        Weight of the retain set's loss; the forget set's is subtracted with the rest.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    beta: float = field(default=0.95, metadata={"help": "NegGrad+: weight of the retain set, in [0, 1]."})

    def __post_init__(self) -> None:
        check_number("beta", self.beta, 0.0, 1.0)
        super().__post_init__()
