"""Arguments of `SalUnTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class SalUnConfig(UnlearningConfig):
    """`UnlearningConfig` with the share of the parameters that may move.

    Parameters
    ----------
    fraction : float in (0, 1), default 0.5
        The most salient share, ranked over all trainable parameters together.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    fraction: float = field(default=0.5, metadata={"help": "SalUn: share of the parameters that may move."})

    def __post_init__(self) -> None:
        check_number("fraction", self.fraction, 0.0, 1.0, low_open=True, high_open=True)
        super().__post_init__()
