"""Arguments of `GoldfishTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_choice, check_seed, check_whole
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.config_checks import refuse_label_smoothing

DROPS = ("hash", "random")


@dataclass
class GoldfishConfig(PrivacyConfig):
    """`PrivacyConfig` with which tokens the goldfish loss leaves out.

    Parameters
    ----------
    k : int, default 4
        One token in ``k`` is left out, at least 2.
    context_width : int, default 13
        How many tokens before a token decide whether it is left out.
    drop : {"hash", "random"}, default "hash"
        "hash" is the method: the same context always leaves out the token behind it. "random" is its control: the
        same share, drawn anew in each epoch, so that every token is trained on sooner or later.
    hash_seed : int, default 0
        Another one leaves out other tokens. Reference models keep the target's.

    Raises
    ------
    InputError
        For a value outside its range, or label smoothing beside it.

    Examples
    --------
    >>> GoldfishConfig("runs/doc", k=1)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: k is 1: pass a whole number of at least 2
    """

    k: int = field(default=4, metadata={"help": "Goldfish: one token in k is left out."})
    context_width: int = field(default=13, metadata={"help": "Goldfish: tokens before a token that decide on it."})
    drop: str = field(
        default="hash", metadata={"help": "Goldfish: 'hash', or its control 'random'.", "choices": DROPS}
    )
    hash_seed: int = field(default=0, metadata={"help": "Goldfish: another one leaves out other tokens."})

    def __post_init__(self) -> None:
        check_whole("k", self.k, at_least=2)
        check_whole("context_width", self.context_width, at_least=1)
        check_choice("drop", self.drop, DROPS)
        check_seed(self.hash_seed, name="hash_seed")
        refuse_label_smoothing(self, "the goldfish loss")
        super().__post_init__()
