"""Arguments of `EarlyStoppingTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number, check_whole
from hf_privacy.defenses.base.config import PrivacyConfig


@dataclass
class EarlyStoppingConfig(PrivacyConfig):
    """`PrivacyConfig` with the rule by which training stops; ``num_train_epochs`` is the most it may take.

    Parameters
    ----------
    patience : int, default 1
        Epochs in a row without a new lowest validation loss after which training stops.
    min_improvement : float, default 0.0
        By how much, in nats, a loss must undercut the lowest one to count as new.

    Raises
    ------
    InputError
        For a value outside its range.

    Examples
    --------
    >>> EarlyStoppingConfig("runs/doc", patience=0)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: patience is 0: pass a whole number of at least 1
    """

    patience: int = field(default=1, metadata={"help": "Early stopping: epochs without a new lowest loss."})
    min_improvement: float = field(default=0.0, metadata={"help": "Early stopping: what counts as lower, in nats."})

    def __post_init__(self) -> None:
        check_whole("patience", self.patience, at_least=1)
        check_number("min_improvement", self.min_improvement, 0.0)
        super().__post_init__()
