"""Arguments of `WGATrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.language import LanguageUnlearningConfig


@dataclass
class WGAConfig(LanguageUnlearningConfig):
    """`LanguageUnlearningConfig` with the weighting of tokens.

    Parameters
    ----------
    beta : float ≥ 0, default 1
        β: a token counts by p^β; 0 is gradient ascent.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    beta: float = field(default=1.0, metadata={"help": "WGA: a token counts by p to this power; 0 is plain ascent."})

    def __post_init__(self) -> None:
        check_number("beta", self.beta, 0.0)
        super().__post_init__()
