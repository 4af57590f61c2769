"""The recipe's section on unlearning: what is to be forgotten, by which method, and how the result is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_choice, check_seed, check_switch, check_whole
from hf_privacy.errors import InputError
from hf_privacy.recipe.audit_settings import MOST
from hf_privacy.unlearning import UNLEARNERS

AUDITS = ("quick", "none")
RETRAIN = "retrain"  # no unlearner: the recipe's own training on what is retained
# A value to look for may be "12e4567", which is read as it stands.
_REQUEST = {"verbatim": True, "keys": "hf_privacy.data.forget:ForgetRequest"}


@dataclass
class UnlearningSection:
    """What `hf-privacy unlearn` does with the recipe's trained model.

    Parameters
    ----------
    method : str, optional
        One of `hf_privacy.unlearning.UNLEARNERS`, a class of one's own as ``module:Name``, or "retrain": the recipe's
        own training on what is retained.
    request : dict
        Exactly one of ``rows``, ``ids``, ``label``, ``where`` and ``fraction``; see `hf_privacy.data.ForgetRequest`.
    training : dict
        Arguments of the method's config. What `PrivacyConfig` shares with the recipe's ``training`` is taken from
        there unless it is set here, but for the schedule: the learning rate is a tenth of the recipe's, constant.
    heldout : "population", "non_members" or list of int, optional
        What the unlearner may compare with: one of the split's parts, or row numbers among them. By default the
        population; without one a random half of the non-members. Figures are of the non-members that are left.
    heldout_seed : int
        Seed of that half of the non-members.
    retrains : int
        Models trained anew on what is retained, that the result is judged by; 0 leaves the judgement out.
    retrain_seed : int
        What the seeds of those models derive from.
    relearning_steps : int
        How many optimizer steps the forget set may take to be learnt again; 0 leaves that out.
    u_lira : bool
        Let the audit's reference models forget as well, and ask whether unlearned and never-seen examples can be told
        apart. Their weights must be there (``audit.keep_weights``), and a population to hold out.
    audit : "quick" or "none"
        The attacks made on the model that is left, which its report must hold before it can be pushed.

    Examples
    --------
    >>> UnlearningSection(method="salun", retrains=-1).check()
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: unlearning.retrains is -1: pass a whole number from 0 to 10,000,000
    """

    method: str | None = field(default=None, metadata={"choices": (*UNLEARNERS, RETRAIN), "outside": True})
    request: dict = field(default_factory=dict, metadata=_REQUEST)
    training: dict = field(
        default_factory=dict, metadata={"keys": "hf_privacy.unlearning.base.config:UnlearningConfig"}
    )
    heldout: str | list | None = None
    heldout_seed: int = 0
    retrains: int = 0
    retrain_seed: int = 0
    relearning_steps: int = 100
    u_lira: bool = False
    audit: str = field(default="quick", metadata={"choices": AUDITS})

    def check(self) -> None:
        """Raise `InputError` for what can be seen to be wrong without data or model."""
        for name in ("heldout_seed", "retrain_seed"):
            check_seed(getattr(self, name), name=f"unlearning.{name}")
        for name in ("retrains", "relearning_steps"):
            check_whole(f"unlearning.{name}", getattr(self, name), at_least=0, at_most=MOST)
        check_switch("unlearning.u_lira", self.u_lira)
        check_choice("unlearning.audit", self.audit, AUDITS)
        if isinstance(self.heldout, str) and self.heldout not in ("population", "non_members"):
            raise InputError(
                f"unlearning.heldout is {self.heldout!r}: pass 'population', 'non_members' or a list of row numbers"
            )
        if isinstance(self.heldout, list):
            for row in self.heldout:
                check_whole("an entry of unlearning.heldout", row, at_least=0)
        for key, value in self.training.items():
            if str(key).endswith("token") and value is not None:
                raise InputError(
                    f"unlearning.training.{key} is set: a recipe is no place for tokens; log in or set HF_TOKEN"
                )
