"""Arguments of `SatImpTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.language import LanguageUnlearningConfig


@dataclass
class SatImpConfig(LanguageUnlearningConfig):
    """`LanguageUnlearningConfig` with the two powers of a token's weight.

    Parameters
    ----------
    beta1 : float ≥ 0, default 5
        Power of p, by which a token that is forgotten already counts less ("saturation").
    beta2 : float ≥ 0, default 1
        Power of 1 − p, by which one that the model is sure of counts less ("importance").

    Raises
    ------
    InputError
        For a value outside its range.
    """

    beta1: float = field(default=5.0, metadata={"help": "SatImp: a token counts by p to this power."})
    beta2: float = field(default=1.0, metadata={"help": "SatImp: and by 1 - p to this power."})

    def __post_init__(self) -> None:
        check_number("beta1", self.beta1, 0.0)
        check_number("beta2", self.beta2, 0.0)
        super().__post_init__()
