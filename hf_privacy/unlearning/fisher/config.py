"""Arguments of `FisherTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class FisherConfig(UnlearningConfig):
    """`UnlearningConfig` with the size of Fisher forgetting's noise. It has no epochs.

    Parameters
    ----------
    alpha : float above 0, default 1e-6
        Variance of the noise in units of 1/F.
    largest_inverse, largest_inverse_head : float above 0, default 1e3 and 1e2
        What 1/F is cut to, for all weights and for those of the last layer.
    average_rows : bool, default True
        Give the weights of each row (all inputs of one output; of a kernel, at each of its places) their mean
        variance. False leaves each weight its own.
    boost : float above 0, default 10
        Factor of the variance in the last layer and for weights of one dimension (norms and biases). 1 is without.
    exact : bool, default False
        The Fisher information under the model's own predictions, one backward pass a class and example, in place of
        the empirical one at the labels.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    num_train_epochs: float = field(default=0.0, metadata={"help": "Fisher forgetting has no epochs: leave it 0."})
    alpha: float = field(default=1e-6, metadata={"help": "Fisher: variance of the noise in units of 1/F."})
    largest_inverse: float = field(default=1e3, metadata={"help": "Fisher: 1/F is cut to this."})
    largest_inverse_head: float = field(default=1e2, metadata={"help": "Fisher: the same for the last layer."})
    average_rows: bool = field(default=True, metadata={"help": "Fisher: one variance for each row of weights."})
    boost: float = field(default=10.0, metadata={"help": "Fisher: factor in the last layer, norms and biases."})
    exact: bool = field(default=False, metadata={"help": "Fisher: under the model's own predictions."})

    def __post_init__(self) -> None:
        for name in ("alpha", "largest_inverse", "largest_inverse_head", "boost"):
            check_number(name, getattr(self, name), 0.0, low_open=True)
        check_number("num_train_epochs", self.num_train_epochs, 0.0, 0.0)
        super().__post_init__()
