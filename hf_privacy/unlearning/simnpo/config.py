"""Arguments of `SimNPOTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.language import LanguageUnlearningConfig


@dataclass
class SimNPOConfig(LanguageUnlearningConfig):
    """`LanguageUnlearningConfig` with SimNPO's constants; defaults as open-unlearning has them.

    Parameters
    ----------
    beta : float above 0, default 4.5
        β, the inverse temperature; the authors' for TOFU's forget05 is 2.5.
    delta : float, default 0
        δ, the loss in nats a token from which a row counts as forgotten.
    forget_weight : float above 0, default 0.125
        γ, of the forget rows' loss beside the retain rows'.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    beta: float = field(default=4.5, metadata={"help": "SimNPO: inverse temperature, above 0."})
    delta: float = field(default=0.0, metadata={"help": "SimNPO: nats a token from which a row counts as forgotten."})
    forget_weight: float = field(default=0.125, metadata={"help": "SimNPO: weight of the forget rows, above 0."})

    def __post_init__(self) -> None:
        check_number("beta", self.beta, 0.0, low_open=True)
        check_number("delta", self.delta)
        check_number("forget_weight", self.forget_weight, 0.0, low_open=True)
        super().__post_init__()
