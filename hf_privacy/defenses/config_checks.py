"""Range checks the configs of the loss defences share: one sentence each, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_privacy.errors import InputError

if TYPE_CHECKING:
    from hf_privacy.defenses.base_config import PrivacyConfig


def check_number(
    name: str,
    value: float,
    low: float,
    high: float = math.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
) -> None:
    """Refuse a value that is no finite number between ``low`` and ``high``, either end open if asked.

    Raises
    ------
    InputError
        Naming the argument, the value and the range.

    Examples
    --------
    >>> check_number("alpha", -1.0, 0.0)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: alpha is -1.0: pass a number in [0, ∞)
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    above = is_number and (low < value if low_open else low <= value)
    if not (above and (value < high if high_open else value <= high)):
        left = "(" if low_open else "["
        right = "∞)" if math.isinf(high) else f"{high:g}{')' if high_open else ']'}"
        raise InputError(f"{name} is {value!r}: pass a number in {left}{low:g}, {right}")


def check_count(name: str, value: int) -> None:
    """Refuse what is no whole number above 0.

    Raises
    ------
    InputError
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}: pass a whole number above 0")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse what is none of the choices.

    Raises
    ------
    InputError
    """
    if value not in choices:
        raise InputError(f"{name} is {value!r}: pass {' or '.join(map(repr, choices))}")


def refuse_label_smoothing(args: PrivacyConfig, defense: str) -> None:
    """Refuse smoothed labels where a defence sets the loss: they would be ignored, and the card would name them.

    Raises
    ------
    InputError
    """
    if args.label_smoothing_factor:
        raise InputError(
            f"label_smoothing_factor is {args.label_smoothing_factor}: {defense} sets the training loss itself; leave "
            "it at 0, or train with LabelSmoothingTrainer instead"
        )
