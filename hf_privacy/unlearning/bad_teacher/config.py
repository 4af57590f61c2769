"""Arguments of `BadTeacherTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class BadTeacherConfig(UnlearningConfig):
    """`UnlearningConfig` with the temperature of the distillation.

    Parameters
    ----------
    temperature : float above 0, default 1

    Raises
    ------
    InputError
        For a value outside its range.
    """

    temperature: float = field(default=1.0, metadata={"help": "Bad teacher: temperature of the distillation."})

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, 0.0, low_open=True)
        super().__post_init__()
