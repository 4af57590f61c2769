"""Arguments of `L1SparseTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class L1SparseConfig(UnlearningConfig):
    """`UnlearningConfig` with the weight of the penalty.

    Parameters
    ----------
    gamma : float ≥ 0, default 5e-4
        Weight of ‖w‖₁ at the first step; it falls in a straight line to 0 at the last.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    gamma: float = field(default=5e-4, metadata={"help": "L1-sparse: first weight of the penalty."})

    def __post_init__(self) -> None:
        check_number("gamma", self.gamma, 0.0)
        super().__post_init__()
