"""Arguments of `SOFTTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number, check_whole
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.errors import InputError


@dataclass
class SOFTConfig(PrivacyConfig):
    """`PrivacyConfig` with which rows are replaced by their paraphrases, and when.

    Parameters
    ----------
    warmup_epochs : int, default 1
        Epochs on the rows as they are, at least 1, after which they are ranked by their losses.
    replaced_share : float in (0, 1], default 0.5
        Share of the rows, those with the lowest losses, that are replaced where they have a paraphrase.

    Raises
    ------
    InputError
        For a value outside its range, or a training that ends with its warm-up.

    Examples
    --------
    >>> SOFTConfig("runs/doc", num_train_epochs=1)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: num_train_epochs is 1 and warmup_epochs 1: rows are replaced after the warm-up, so
    train for more epochs
    """

    warmup_epochs: int = field(default=1, metadata={"help": "SOFT: epochs before rows are replaced."})
    replaced_share: float = field(default=0.5, metadata={"help": "SOFT: share of the rows that is replaced."})

    def __post_init__(self) -> None:
        check_whole("warmup_epochs", self.warmup_epochs, at_least=1)
        check_number("replaced_share", self.replaced_share, 0.0, 1.0, low_open=True)
        super().__post_init__()
        if self.max_steps <= 0 and self.num_train_epochs <= self.warmup_epochs:
            raise InputError(
                f"num_train_epochs is {self.num_train_epochs} and warmup_epochs {self.warmup_epochs}: rows are "
                "replaced after the warm-up, so train for more epochs"
            )
