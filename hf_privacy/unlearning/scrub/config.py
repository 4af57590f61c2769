"""Arguments of `SCRUBTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number
from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class SCRUBConfig(UnlearningConfig):
    """`UnlearningConfig` with SCRUB's weights.

    Parameters
    ----------
    alpha : float ≥ 0, default 0.5
        Weight of the retain set's divergence from the teacher.
    gamma : float ≥ 0, default 1
        Weight of the retain set's cross-entropy.
    temperature : float above 0, default 2
    forget_share : float in [0, 1], default 0.5
        Share of the steps, from the first on, in which every other one moves away from the teacher on the forget
        set; the rest only mend.

    Raises
    ------
    InputError
        For a value outside its range.
    """

    alpha: float = field(default=0.5, metadata={"help": "SCRUB: weight of the divergence on the retain set."})
    gamma: float = field(default=1.0, metadata={"help": "SCRUB: weight of the cross-entropy on the retain set."})
    temperature: float = field(default=2.0, metadata={"help": "SCRUB: temperature of the distillation."})
    forget_share: float = field(default=0.5, metadata={"help": "SCRUB: share of the run that also forgets."})

    def __post_init__(self) -> None:
        check_number("alpha", self.alpha, 0.0)
        check_number("gamma", self.gamma, 0.0)
        check_number("temperature", self.temperature, 0.0, low_open=True)
        check_number("forget_share", self.forget_share, 0.0, 1.0)
        super().__post_init__()
