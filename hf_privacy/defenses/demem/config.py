"""Arguments of `DeMemTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from hf_privacy.arguments import check_choice, check_number, check_whole
from hf_privacy.defenses.adversarial.config import AdversarialConfig
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.errors import InputError

# What says how examples are attacked, which rows of tokens are not.
_SHARED = {field.name for field in fields(PrivacyConfig)}
OF_THE_ATTACK = {field.name: field.default for field in fields(AdversarialConfig) if field.name not in _SHARED}
CONTROLS = ("negative_variance", "class_variance")


@dataclass
class DeMemConfig(AdversarialConfig):
    """`AdversarialConfig` with the weight of the loss variance.

    Parameters
    ----------
    variance_weight : float, default 0.2
        λ, at least 0. The authors': 0.2, 0.4, 0.6 for PGD-AT, 0.2, 0.3, 0.4 for TRADES.
    control : {None, "negative_variance", "class_variance"}, optional
        A control in place of the method: a ``variance_weight`` below 0, which raises the variance; or the variance of
        the classes' mean losses in place of the examples' losses. None is the method.
    minus_base : bool, default False
        Of a language model: the variance of how far each row's loss lies below the one it had before training, which
        is not that of rows that are long or plain.

    Raises
    ------
    InputError
        For a negative weight without its control named, the control with a weight of the wrong sign, a batch of one
        per device (it has no variance), or as in `AdversarialConfig`.

    Examples
    --------
    >>> DeMemConfig("runs/doc", variance_weight=-0.2)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: variance_weight is -0.2, which raises the variance: pass a number from 0 up, or name
    it as the control it is with control='negative_variance'
    """

    variance_weight: float = field(default=0.2, metadata={"help": "DeMem: weight of the loss variance."})
    control: str | None = field(
        default=None,
        metadata={"help": "DeMem: None, or the control 'negative_variance' or 'class_variance'.", "choices": CONTROLS},
    )
    minus_base: bool = field(
        default=False, metadata={"help": "DeMem: a language model's rows count by their loss less the one before."}
    )

    def __post_init__(self) -> None:
        check_number("variance_weight", self.variance_weight)
        if self.control is not None:
            check_choice("control", self.control, CONTROLS)
        is_negative = self.control == "negative_variance"
        if is_negative and self.variance_weight >= 0:
            raise InputError(
                f"control is 'negative_variance' and variance_weight {self.variance_weight}: pass a weight below 0"
            )
        if not is_negative and self.variance_weight < 0:
            raise InputError(
                f"variance_weight is {self.variance_weight}, which raises the variance: pass a number from 0 up, or "
                "name it as the control it is with control='negative_variance'"
            )
        if check_whole("per_device_train_batch_size", self.per_device_train_batch_size) < 2:
            raise InputError(
                f"per_device_train_batch_size is {self.per_device_train_batch_size}: the variance of the losses needs "
                "batches of two examples or more on each device"
            )
        super().__post_init__()
