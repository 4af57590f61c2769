"""Arguments of `RMUTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number, check_whole
from hf_privacy.unlearning.base.language import LanguageUnlearningConfig


@dataclass
class RMUConfig(LanguageUnlearningConfig):
    """`LanguageUnlearningConfig` with the layer and the length of the direction.

    Parameters
    ----------
    layer : int ≥ 1, optional
        Whose output is steered, counted from 1; by default 7, or the middle one of a model with fewer than 14.
    steering : float above 0, default 2
        c, the length of the direction; as open-unlearning has it.
    retain_weight : float ≥ 0, default 1
        α, of the squared distance that the layer's output on retain rows may move; ``retain_loss`` has no part in it.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    layer: int | None = field(default=None, metadata={"help": "RMU: the layer that is steered, counted from 1."})
    steering: float = field(default=2.0, metadata={"help": "RMU: length of the direction, above 0."})

    def __post_init__(self) -> None:
        if self.layer is not None:
            check_whole("layer", self.layer, at_least=1)
        check_number("steering", self.steering, 0.0, low_open=True)
        super().__post_init__()
