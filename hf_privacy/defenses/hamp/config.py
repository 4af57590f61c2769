"""Arguments of `HAMPTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number, check_whole
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.config_checks import refuse_label_smoothing


@dataclass
class HAMPConfig(PrivacyConfig):
    """`PrivacyConfig` with the soft labels, the penalty and the prediction-time part of HAMP.

    Parameters
    ----------
    gamma : float in [0, 1), default 0.95
        The soft labels' entropy as a share of ln C, the highest there is. 0 is hard labels. The authors' settings:
        CIFAR-10 0.95, CIFAR-100 and Location 0.5, Purchase 0.8, Texas 0.6.
    alpha : float, at least 0, default 0.001
        Weight of the entropy, in nats, that is subtracted from the loss. The authors' settings: CIFAR-10 and Location
        0.001, CIFAR-100 0.005, Purchase and Texas 0.01.
    kl_mean_over_classes : bool, default False
        Divide the KL by the number of classes as well, as the authors' code does (``F.kl_div`` as it stands): the
        penalty then weighs C times as much, and the step of plain SGD is C times smaller.
    n_random_inputs : int, default 1000
        Random inputs whose scores stand in for those of an example in `HAMPTrainer.defended_model`.

    Raises
    ------
    InputError
        For a value outside its range, or label smoothing beside it.

    Examples
    --------
    >>> HAMPConfig("runs/doc", gamma=1.0)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: gamma is 1.0: pass a number in [0, 1)
    """

    gamma: float = field(default=0.95, metadata={"help": "HAMP: entropy of the soft labels, as a share of ln C."})
    alpha: float = field(default=0.001, metadata={"help": "HAMP: weight of the entropy penalty."})
    kl_mean_over_classes: bool = field(
        default=False, metadata={"help": "HAMP: divide the KL by the number of classes, as the authors' code does."}
    )
    n_random_inputs: int = field(
        default=1000, metadata={"help": "HAMP: random inputs whose scores are given out at prediction time."}
    )

    def __post_init__(self) -> None:
        check_number("gamma", self.gamma, 0.0, 1.0, high_open=True)
        check_number("alpha", self.alpha, 0.0)
        check_whole("n_random_inputs", self.n_random_inputs, at_least=1)
        refuse_label_smoothing(self, "HAMP")
        super().__post_init__()
