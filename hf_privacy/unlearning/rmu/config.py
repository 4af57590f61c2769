"""Arguments of `RMUTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number, check_whole, seen
from hf_privacy.errors import InputError
from hf_privacy.unlearning.base.language import LanguageUnlearningConfig


@dataclass
class RMUConfig(LanguageUnlearningConfig):
    """`LanguageUnlearningConfig` with the layer, the length of the direction, and what is trained.

    Parameters
    ----------
    layer : int ≥ 1, optional
        Whose output is steered, counted from 1; by default 8, which the authors call 7, or the middle one of a model
        with fewer than 16.
    steering : float above 0, default 2
        c, the length of the direction; as open-unlearning has it.
    trained : list of str, optional
        Parts of the names of the weights that move, such as "layers.6.mlp.down_proj"; by default all trainable ones.
    retain_weight : float ≥ 0, default 1
        α, of the squared distance that the layer's output on retain rows may move; ``retain_loss`` has no part in it.

    Raises
    ------
    InputError
        For a value outside its range.

    Examples
    --------
    >>> RMUConfig("runs/doc", trained="mlp")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: trained is 'mlp': pass a list of parts of names, or leave it out
    """

    layer: int | None = field(default=None, metadata={"help": "RMU: the layer that is steered, counted from 1."})
    steering: float = field(default=2.0, metadata={"help": "RMU: length of the direction, above 0."})
    trained: list[str] | None = field(
        default=None, metadata={"help": "RMU: parts of the names of the weights that move; all by default."}
    )

    def __post_init__(self) -> None:
        if self.layer is not None:
            check_whole("layer", self.layer, at_least=1)
        names = self.trained
        is_list = isinstance(names, (list, tuple)) and bool(names)
        if names is not None and not (is_list and all(isinstance(name, str) and name for name in names)):
            raise InputError(f"trained is {seen(names)}: pass a list of parts of names, or leave it out")
        check_number("steering", self.steering, 0.0, low_open=True)
        super().__post_init__()
