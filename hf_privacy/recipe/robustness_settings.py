"""How robustness is measured: the ``robustness`` mapping of an audit's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hf_privacy.arguments import check_choice, check_number, check_switch, check_whole
from hf_privacy.errors import InputError
from hf_privacy.tasks import task_named

NORMS = ("linf", "l2")
# Fewer say nothing of an accuracy, and bins need as many.
FEWEST_EXAMPLES = 20


@dataclass(frozen=True)
class RobustnessSettings:
    """Settings of the attacks that an audit measures robustness with.

    Parameters
    ----------
    epsilon : float
        Radius of the ball around each example, above 0: for images in pixels of 0–1 whatever the model's
        normalisation, for texts in the norm of the word embeddings, for tables in the features' own units.
    norm : "linf" or "l2"
        Norm of the ball.
    n_steps : int
        Steps of PGD.
    step_size : float, optional
        By default 1.25 · epsilon / n_steps. The usual test on images takes 20 steps of 1/255.
    autoattack : bool
        Also AutoAttack, for images; needs the extra ``robust``.
    max_examples : int
        Non-members that AutoAttack is made on.
    membership : bool
        Also membership attacks on the adversarial inputs.

    Examples
    --------
    >>> RobustnessSettings.from_dict({"epsilon": 8})
    RobustnessSettings(epsilon=8.0, norm='linf', n_steps=20, step_size=None, autoattack=False, max_examples=500,
    membership=True)
    >>> RobustnessSettings.from_dict({"epsilon": 8}).check_task("image-classification")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: robustness.epsilon is 8 and pixels go from 0 to 1: 0–255 units? pass 8/255 = 0.03137
    """

    epsilon: float
    norm: str = field(default="linf", metadata={"choices": NORMS})
    n_steps: int = 20
    step_size: float | None = None
    autoattack: bool = False
    max_examples: int = 500
    membership: bool = True

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RobustnessSettings:
        """Check the mapping of a recipe or of ``hf_privacy.audit(robustness=...)``.

        Raises
        ------
        InputError
            For an unknown key, no epsilon, or a value of the wrong kind or out of range.
        """
        known = [known.name for known in fields(cls)]
        if not isinstance(values, Mapping):
            raise InputError(f"robustness is {values!r}: pass a mapping with epsilon, such as {{'epsilon': 0.0314}}")
        for key in values:
            if key not in known:
                raise InputError(f"unknown key {key!r} in robustness: known are {', '.join(known)}")
        if values.get("epsilon") is None:
            raise InputError("robustness has no epsilon: pass the radius of the attack, such as 0.0314 (8/255)")
        settings = cls(**values)
        for name in ("epsilon", "step_size"):
            if getattr(settings, name) is not None:
                check_number(f"robustness.{name}", getattr(settings, name), 0.0, low_open=True)
        check_choice("robustness.norm", settings.norm, NORMS)
        for name, least in (("n_steps", 1), ("max_examples", FEWEST_EXAMPLES)):
            check_whole(f"robustness.{name}", getattr(settings, name), at_least=least)
        for name in ("autoattack", "membership"):
            check_switch(f"robustness.{name}", getattr(settings, name))
        step_size = None if settings.step_size is None else float(settings.step_size)
        return cls(**{**values, "epsilon": float(settings.epsilon), "step_size": step_size})

    def check_task(self, task: str) -> None:
        """Refuse what the recipe's task tells to be wrong, before its model is trained.

        Raises
        ------
        InputError
            For pixel distances in units of 0–255, or AutoAttack on anything but images.
        """
        if task_named(task).input_space != "pixels":
            if self.autoattack:
                raise InputError(
                    f"robustness.autoattack is set and the task is {task}: AutoAttack is for images; leave it out, "
                    "PGD is measured all the same"
                )
            return
        for name, value in (("epsilon", self.epsilon), ("step_size", self.step_size)):
            if self.norm == "linf" and value is not None and value > 1:
                raise InputError(
                    f"robustness.{name} is {value:g} and pixels go from 0 to 1: 0–255 units? pass {value:g}/255 = "
                    f"{value / 255:.4g}"
                )
