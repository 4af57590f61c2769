"""The settings of critical weight rewinding, checked before anything is trained."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from hf_privacy.arguments import check_choice, check_number, check_whole, seen
from hf_privacy.defenses.base.config_checks import check_fields
from hf_privacy.errors import InputError
from hf_privacy.weights import KINDS

SCORES = ("privacy_vulnerability", "learnability", "random", "magnitude")
EDITS = ("rewind", "zero")
TRAINED = ("rest", "top")
STARTS = ("trained", "initial")
SCOPES = ("global", "layer")
UNITS = ("weight", "component")


@dataclass(frozen=True)
class CriticalWeightSettings:
    """What `CriticalWeightRewindCallback` takes as keywords.

    Parameters
    ----------
    fraction : float in (0, 1), default 0.01
        r, the share of the ranked weights that is rewound; the paper's range is 0.001 to 0.05.
    score : {"privacy_vulnerability", "learnability", "random", "magnitude"}
        What the weights are ranked by; all but the first are controls.
    edit : {"rewind", "zero"}
        Zeroing is a control, expected to collapse.
    train : {"rest", "top"}
        Which weights the fine-tuning moves; the highest ranked alone are a control.
    num_train_epochs : float above 0, optional
        E, epochs of the fine-tuning; by default as many as the training before it (as many steps, under
        ``max_steps``).
    pve_weight : float in [0, 1], default 0.5
        λ of the privacy-vulnerability loss (1 − λ)·CE(members) + λ·KL(initial ‖ current)(reference).
    pve_epochs : int, default 1
        Passes over the members that this score is summed over; the paper's range is 1 to 10.
    pve_learning_rate : float above 0, default 0.01
        Of the scored copy, by plain gradient descent.
    pve_start : {"trained", "initial"}
        Where the scored copy starts; "initial" scores while training from scratch, a control.
    temperature : float above 0, default 1
        Of both distributions in the KL.
    scope : {"global", "layer"}
        Rank all weights together, or the share within each tensor.
    kinds : sequence of str
        Layers whose weights are ranked, see `hf_privacy.weights.weight_kinds`; embeddings are not by default.
    biases : bool, default False
        Whether their biases are ranked too.
    head : bool, optional
        Whether the last layer is ranked; by default a classifier's is and a language model's is not, nor are
        embeddings tied to it.
    unit : {"weight", "component"}, optional
        What is ranked and rewound as one. A component is one of the rank-1 maps a LoRA adapter is the sum of: its
        column of B and its row of A go back together. By default a language model's adapter is ranked by components,
        beside which modules saved in full stay out; all else by single weights.
    entanglement : bool, default True
        With the privacy-vulnerability score: also compute the learnability score, and report their correlation.
    seed : int, optional
        Of the batches' order, dropout and random scores while scoring; by default the trainer's.

    Raises
    ------
    InputError
        For a value outside its range.

    Examples
    --------
    >>> CriticalWeightSettings(fraction=1.5)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: fraction is 1.5: pass a number in (0, 1)
    """

    fraction: float = 0.01
    score: str = field(default="privacy_vulnerability", metadata={"choices": SCORES})
    edit: str = field(default="rewind", metadata={"choices": EDITS})
    train: str = field(default="rest", metadata={"choices": TRAINED})
    num_train_epochs: float | None = None
    pve_weight: float = 0.5
    pve_epochs: int = 1
    pve_learning_rate: float = 0.01
    pve_start: str = field(default="trained", metadata={"choices": STARTS})
    temperature: float = 1.0
    scope: str = field(default="global", metadata={"choices": SCOPES})
    kinds: tuple[str, ...] = field(default=("conv", "linear", "attention", "norm"), metadata={"each": tuple(KINDS)})
    biases: bool = False
    head: bool | None = None
    unit: str | None = field(default=None, metadata={"choices": UNITS})
    entanglement: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_number("fraction", self.fraction, 0.0, 1.0, low_open=True, high_open=True)
        check_choice("score", self.score, SCORES)
        check_choice("edit", self.edit, EDITS)
        check_choice("train", self.train, TRAINED)
        if self.num_train_epochs is not None:
            check_number("num_train_epochs", self.num_train_epochs, 0.0, low_open=True)
        check_number("pve_weight", self.pve_weight, 0.0, 1.0)
        check_whole("pve_epochs", self.pve_epochs, at_least=1)
        check_number("pve_learning_rate", self.pve_learning_rate, 0.0, low_open=True)
        check_choice("pve_start", self.pve_start, STARTS)
        check_number("temperature", self.temperature, 0.0, low_open=True)
        check_choice("scope", self.scope, SCOPES)
        if self.unit is not None:
            check_choice("unit", self.unit, UNITS)
        if self.unit == "component" and self.biases:
            raise InputError("biases is True with unit 'component': a component has none; leave it out")
        listed = isinstance(self.kinds, (list, tuple)) and all(kind in KINDS for kind in self.kinds)
        if not listed or not self.kinds:
            raise InputError(f"kinds is {seen(self.kinds)}: pass a list of {', '.join(KINDS)}")
        object.__setattr__(self, "kinds", tuple(self.kinds))

    @property
    def needs_reference(self) -> bool:
        """Whether the score looks at data the model is not trained on."""
        return self.score == "privacy_vulnerability"

    @property
    def reads_members(self) -> bool:
        """Whether scoring looks at training examples, by which a DP guarantee is lost: no noise hides that look.

        The privacy-vulnerability score does not with ``pve_weight=1`` (KL on reference data alone) and without the
        entanglement report.
        """
        if self.score == "privacy_vulnerability":
            return self.pve_weight < 1 or self.entanglement
        return self.score == "learnability"

    def second_steps(self, first_steps: int, steps_per_epoch: int) -> int:
        """Optimizer steps of the fine-tuning after ``first_steps`` of training.

        Examples
        --------
        >>> CriticalWeightSettings().second_steps(30, 10)
        30
        >>> CriticalWeightSettings(num_train_epochs=1.5).second_steps(30, 10)
        15
        """
        if self.num_train_epochs is None:
            return first_steps
        return max(1, -int(-self.num_train_epochs * steps_per_epoch // 1))

    def sha256(self, **others: Any) -> str:
        """Identifies the settings, with whatever else shapes the result."""
        return hashlib.sha256(json.dumps({**asdict(self), **others}, sort_keys=True).encode()).hexdigest()
