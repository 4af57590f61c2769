"""The arguments every unlearner takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_choice, check_number, check_whole
from hf_privacy.defenses import PrivacyConfig

STOP_RULES = ("none", "heldout_loss")
ANCHORS = ("forget", "retain")


@dataclass
class UnlearningConfig(PrivacyConfig):
    """`PrivacyConfig` with what an unlearner needs besides.

    ``num_train_epochs`` may be 0: methods that edit the weights once then do only that. A batch
    (``per_device_train_batch_size``) counts examples of the set whose one pass is an epoch, the anchor of the method.

    Parameters
    ----------
    anchor : {"forget", "retain"}, optional
        The set whose one pass is an epoch; by default the method's own. The cheap choice is "forget".
    partner_ratio : float above 0 and at most 10,000, default 1
        Examples of the other set beside each example of the anchor, in the same batch.
    stop_rule : {"none", "heldout_loss"}, default "none"
        ``"heldout_loss"``: stop when the mean loss on the forget set has risen to that on the held-out set; past that
        the model does worse on what it forgot than on what it never saw, and that gives membership away too.
    stop_every_n_steps : int, default 1
        How often the rule looks, in optimizer steps.
    check_evidence : bool, default True
        Warn when a classifier does no better on the forget set than on the held-out set, and refuse a language model
        that does not; where it has an adapter, beside what its base says of the two.

    Raises
    ------
    InputError
        For values outside their range.

    Examples
    --------
    >>> UnlearningConfig("runs/doc", stop_rule="loss")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: stop_rule is 'loss': pass 'none' or 'heldout_loss'
    """

    anchor: str | None = field(default=None, metadata={"help": "Set whose one pass is an epoch.", "choices": ANCHORS})
    partner_ratio: float = field(default=1.0, metadata={"help": "Examples of the other set for each of the anchor."})
    stop_rule: str = field(default="none", metadata={"help": "When to stop early.", "choices": STOP_RULES})
    stop_every_n_steps: int = field(default=1, metadata={"help": "Optimizer steps between looks of the stop rule."})
    check_evidence: bool = field(default=True, metadata={"help": "Warn when the forget set looks never trained on."})

    def __post_init__(self) -> None:
        check_choice("stop_rule", self.stop_rule, STOP_RULES)
        if self.anchor is not None:
            check_choice("anchor", self.anchor, ANCHORS)
        check_number("partner_ratio", self.partner_ratio, 0.0, 10_000.0, low_open=True)
        check_whole("stop_every_n_steps", self.stop_every_n_steps, at_least=1)
        super().__post_init__()

    @property
    def merges_adapter(self) -> bool:
        """Whether the result of unlearning an adapter is a full model: none that a next request could start from."""
        return False

    @property
    def grows_adapter(self) -> bool:
        """Whether the result's adapter is of a higher rank than the one it starts from."""
        return False
