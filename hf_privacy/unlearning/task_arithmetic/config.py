"""Arguments of `TaskArithmeticTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class TaskArithmeticConfig(UnlearningConfig):
    """`UnlearningConfig` with how much of the difference is taken off.

    Parameters
    ----------
    scale : float above 0, default 1
        a in θ − a·(θ_forget − θ); to be searched.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    scale: float = field(default=1.0, metadata={"help": "Task arithmetic: how much of the difference is taken off."})

    def __post_init__(self) -> None:
        check_number("scale", self.scale, 0.0, low_open=True)
        super().__post_init__()
