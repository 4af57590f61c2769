"""Arguments of `CCLTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_choice, check_number
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.config_checks import refuse_label_smoothing

CONCAVE_TERMS = ("exp_p", "p")


@dataclass
class CCLConfig(PrivacyConfig):
    """`PrivacyConfig` with the weights of the convex-concave loss.

    Parameters
    ----------
    alpha : float in [0, 1], default 0.5
        Share of the cross-entropy; the rest goes to the concave term. 1 is the plain cross-entropy times ``beta``.
    beta : float above 0, default 0.05
        Scale of the whole loss. With plain SGD it scales the learning rate; Adam hardly sees it.
    concave_term : {"exp_p", "p"}, default "exp_p"
        What is subtracted, of the true class's probability p: exp(p), as in the authors' code (their loss "ccel"), or
        p itself, which is exp(−CE) and linear in p.

    Raises
    ------
    InputError
        For a value outside its range, or label smoothing beside it.

    Examples
    --------
    >>> CCLConfig("runs/doc", alpha=1.5)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: alpha is 1.5: pass a number in [0, 1]
    """

    alpha: float = field(default=0.5, metadata={"help": "CCL: share of the cross-entropy, in [0, 1]."})
    beta: float = field(default=0.05, metadata={"help": "CCL: scale of the loss, above 0."})
    concave_term: str = field(
        default="exp_p", metadata={"help": "CCL: 'exp_p' (the authors' code) or 'p'.", "choices": CONCAVE_TERMS}
    )

    def __post_init__(self) -> None:
        check_number("alpha", self.alpha, 0.0, 1.0)
        check_number("beta", self.beta, 0.0, low_open=True)
        check_choice("concave_term", self.concave_term, CONCAVE_TERMS)
        refuse_label_smoothing(self, "CCL")
        super().__post_init__()
