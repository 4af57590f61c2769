"""Arguments of `DuoLearnTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hf_privacy.arguments import check_number, check_seed, seen
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.config_checks import refuse_label_smoothing
from hf_privacy.errors import InputError


@dataclass
class DuoLearnConfig(PrivacyConfig):
    """`PrivacyConfig` with which tokens DuoLearn learns, and which it unlearns.

    Parameters
    ----------
    hard_share : float in (0, 1], default 0.6
        Share of a batch's tokens, those with the highest score, that are learnt.
    memorized_share : float in [0, 1], default 0.2
        Share of a batch's tokens, those with the lowest score, that are unlearnt where it is below ``threshold``.
    threshold : float, default 0.0
        In nats.
    alpha : float, default 0.8
        Weight of the unlearning, at least 0.
    reference_model : str, optional
        Folder of a saved model of the same tokens, trained on other rows of the same kind. By default one is trained
        before, with these arguments and the plain loss, on the validation rows.
    reference_seed : int, default 0
        Of the training of that model: the same for the target and its reference models.

    Raises
    ------
    InputError
        For a value outside its range, shares that overlap, or label smoothing beside it.

    Examples
    --------
    >>> DuoLearnConfig("runs/doc", hard_share=0.9)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: hard_share is 0.9 and memorized_share 0.2: a token is learnt or unlearnt, so pass
    shares of at most 1 together
    """

    hard_share: float = field(default=0.6, metadata={"help": "DuoLearn: share of a batch's tokens learnt."})
    memorized_share: float = field(default=0.2, metadata={"help": "DuoLearn: largest share that is unlearnt."})
    threshold: float = field(default=0.0, metadata={"help": "DuoLearn: score below which a token is, in nats."})
    alpha: float = field(default=0.8, metadata={"help": "DuoLearn: weight of the unlearning."})
    # A path on this machine is no part of a report.
    reference_model: str | None = field(
        default=None, repr=False, metadata={"help": "DuoLearn: folder of the reference; trained where not given."}
    )
    reference_seed: int = field(default=0, metadata={"help": "DuoLearn: seed of the reference's training."})

    def __post_init__(self) -> None:
        check_number("hard_share", self.hard_share, 0.0, 1.0, low_open=True)
        check_number("memorized_share", self.memorized_share, 0.0, 1.0)
        if self.hard_share + self.memorized_share > 1.0 + 1e-9:
            raise InputError(
                f"hard_share is {self.hard_share} and memorized_share {self.memorized_share}: a token is learnt or "
                "unlearnt, so pass shares of at most 1 together"
            )
        check_number("threshold", self.threshold)
        check_number("alpha", self.alpha, 0.0)
        folder = self.reference_model
        if folder is not None and not (isinstance(folder, str) and _holds_a_model(Path(folder))):
            raise InputError(f"reference_model is {seen(folder)}: pass the folder of a saved model")
        check_seed(self.reference_seed, name="reference_seed")
        refuse_label_smoothing(self, "DuoLearn")
        super().__post_init__()


def _holds_a_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))
