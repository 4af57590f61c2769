"""Arguments of `NPOTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.language import LanguageUnlearningConfig


@dataclass
class NPOConfig(LanguageUnlearningConfig):
    """`LanguageUnlearningConfig` with the inverse temperature of NPO.

    Parameters
    ----------
    beta : float above 0, default 0.1
        β: towards 0 the gradient is that of gradient ascent; the larger, the sooner a row counts as forgotten.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    beta: float = field(default=0.1, metadata={"help": "NPO: inverse temperature, above 0."})

    def __post_init__(self) -> None:
        check_number("beta", self.beta, 0.0, low_open=True)
        super().__post_init__()
