"""Arguments of `GradDiffTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.language import LanguageUnlearningConfig


@dataclass
class GradDiffConfig(LanguageUnlearningConfig):
    """`LanguageUnlearningConfig` with the weight of the ascent.

    Parameters
    ----------
    forget_weight : float above 0, default 1
        γ, by which the forget rows' likelihood is pushed down.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    forget_weight: float = field(default=1.0, metadata={"help": "Weight of the ascent on the forget rows, above 0."})

    def __post_init__(self) -> None:
        check_number("forget_weight", self.forget_weight, 0.0, low_open=True)
        super().__post_init__()
