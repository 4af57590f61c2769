"""Arguments of `CEUTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_switch
from hf_privacy.unlearning.base.language import LanguageUnlearningConfig


@dataclass
class CEUConfig(LanguageUnlearningConfig):
    """`LanguageUnlearningConfig` with whether the first token of an answer is left alone.

    Parameters
    ----------
    skip_first : bool, default True
        Leave out the first scored token of each row that has others.
    retain_weight : float ≥ 0, default 0
        As in `LanguageUnlearningConfig`; the authors have no retain rows.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    retain_weight: float = field(default=0.0, metadata={"help": "Weight of the retain rows' loss; 0 leaves it out."})
    skip_first: bool = field(default=True, metadata={"help": "CE-U: leave out each row's first scored token."})

    def __post_init__(self) -> None:
        check_switch("skip_first", self.skip_first)
        super().__post_init__()
