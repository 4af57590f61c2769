"""Arguments of `LabelSmoothingTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.defenses.base.config import PrivacyConfig


@dataclass
class LabelSmoothingConfig(PrivacyConfig):
    """`PrivacyConfig` with smoothed labels.

    Parameters
    ----------
    label_smoothing_factor : float in (0, 1), default 0.1
        Share of each label spread evenly over all classes, the true one included.

    Raises
    ------
    InputError
        For a factor outside (0, 1).

    Examples
    --------
    >>> LabelSmoothingConfig("runs/doc", label_smoothing_factor=0.0)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: label_smoothing_factor is 0.0: pass a number in (0, 1)
    """

    label_smoothing_factor: float = field(
        default=0.1, metadata={"help": "Share of each label spread evenly over all classes, in (0, 1)."}
    )

    def __post_init__(self) -> None:
        name = "label_smoothing_factor"
        check_number(name, self.label_smoothing_factor, 0.0, 1.0, low_open=True, high_open=True)
        super().__post_init__()
