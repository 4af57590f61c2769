"""Arguments of `UNDIALTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.language import LanguageUnlearningConfig


@dataclass
class UNDIALConfig(LanguageUnlearningConfig):
    """`LanguageUnlearningConfig` with how far the row's own tokens are held down; it looks at no retain rows.

    Parameters
    ----------
    beta : float ≥ 0, default 10
        β, taken off the reference's logit of each token of the row; 0 is distillation of the model from itself.
    retain_weight : float ≥ 0, default 0
        As in `LanguageUnlearningConfig`; the authors have no retain rows.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    retain_weight: float = field(default=0.0, metadata={"help": "Weight of the retain rows' loss; 0 leaves it out."})
    beta: float = field(default=10.0, metadata={"help": "UNDIAL: taken off the logit of each token of the row."})

    def __post_init__(self) -> None:
        check_number("beta", self.beta, 0.0)
        super().__post_init__()
