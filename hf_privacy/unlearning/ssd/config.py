"""Arguments of `SSDTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class SSDConfig(UnlearningConfig):
    """`UnlearningConfig` with the thresholds of selective synaptic dampening. It has no epochs.

    Parameters
    ----------
    selection_weight : float above 0, default 10
        α: a parameter is dampened where its importance on the forget set is above α times that on all data.
    dampening : float above 0, default 1
        λ: it is multiplied by min(λ·F_all/F_forget, 1).

    Raises
    ------
    InputError
        For a value outside its range.
    """

    num_train_epochs: float = field(default=0.0, metadata={"help": "SSD has no epochs: leave it 0."})
    selection_weight: float = field(default=10.0, metadata={"help": "SSD: alpha, above 0."})
    dampening: float = field(default=1.0, metadata={"help": "SSD: lambda, above 0."})

    def __post_init__(self) -> None:
        check_number("selection_weight", self.selection_weight, 0.0, low_open=True)
        check_number("dampening", self.dampening, 0.0, low_open=True)
        check_number("num_train_epochs", self.num_train_epochs, 0.0, 0.0)
        super().__post_init__()
