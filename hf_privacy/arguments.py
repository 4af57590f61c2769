"""The one door through which numbers, switches and choices enter: read strictly, or refused in one sentence.

A number is Python's, NumPy's (``np.float32(0.1)``) or any other that counts itself among the real or whole numbers of
the standard library. A boolean is no number, a string is none, and neither is an array or a tensor without dimensions:
who has one passes ``.item()``. Nothing here imports NumPy, so that every floor may use it.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from hf_privacy.errors import InputError

LARGEST_SEED = 2**128 - 1  # of NumPy's generators, as it draws them itself
_LARGEST_WHOLE = 2**63 - 1
_LONGEST = 80  # of a value in a message: a whole list would hide the sentence


def check_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
    infinite: bool = False,
    such_as: str | None = None,
) -> float:
    """A number between ``low`` and ``high``, either end open if asked; finite, unless ``infinite`` allows an end.

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    value
    low, high : float
    low_open, high_open : bool, default False
        Whether that end itself is refused. An end at infinity is, unless ``infinite``.
    infinite : bool, default False
    such_as : str, optional
        An example for the message, without which it ends at the range.

    Raises
    ------
    InputError
        Naming the argument, the value and the range.

    Examples
    --------
    >>> check_number("alpha", 1, 0.0)
    1.0
    >>> check_number("alpha", -1.0, 0.0)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: alpha is -1.0: pass a number in [0, ∞)
    """
    return _within(f"{name} is", value, low, high, low_open, high_open, infinite, such_as)


def check_numbers(
    name: str,
    values: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
    such_as: str | None = None,
    at_least: int = 1,
) -> list[float]:
    """A list of at least so many numbers, each as in `check_number`.

    Raises
    ------
    InputError
        If the values are no list (nor array of one dimension), fewer, or one is no number or out of range.

    Examples
    --------
    >>> check_numbers("fprs", (0.01, 0.1), 0.0, 1.0)
    [0.01, 0.1]
    >>> check_numbers("fprs", [], 0.0, 1.0, such_as="0.01")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: fprs is []: pass a list of numbers in [0, 1], such as 0.01
    """
    listed = isinstance(values, Iterable) and not isinstance(values, (str, bytes, Mapping))
    items = list(values) if listed and getattr(values, "ndim", 1) == 1 else None
    if items is None or len(items) < at_least:
        wanted = _range(low, high, low_open, high_open, False, such_as).removeprefix("a number")
        raise InputError(f"{name} is {seen(values)}: pass a list of numbers{wanted}")
    return [_within(f"{name} holds", item, low, high, low_open, high_open, False, such_as) for item in items]


def check_whole(name: str, value: Any, *, at_least: int | None = None, at_most: int | None = None) -> int:
    """A whole number within limits, and within 64 bits where none is given: no loop goes on for ever.

    Raises
    ------
    InputError
        If it is no whole number (1.0 is none), too small or too large.

    Examples
    --------
    >>> check_whole("n_resamples", 1000, at_least=1)
    1000
    >>> check_whole("n_resamples", True, at_least=1)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: n_resamples is True: pass a whole number of at least 1
    """
    number = int(value) if isinstance(value, Integral) and _is_number(value) else None
    most = _LARGEST_WHOLE if at_most is None else at_most
    if number is None or not (-_LARGEST_WHOLE if at_least is None else at_least) <= number <= most:
        limits = "" if at_least is None else f" of at least {at_least:,}"
        if at_most is not None:
            limits = f" of at most {at_most:,}" if at_least is None else f" from {at_least:,} to {at_most:,}"
        raise InputError(f"{name} is {seen(value)}: pass a whole number{limits}")
    return number


def check_seed(seed: Any, *, name: str = "seed", at_most: int = 2**32 - 1) -> int:
    """A seed; by default one that NumPy, scikit-learn and torch all take.

    Raises
    ------
    InputError
        If it is no whole number from 0 to ``at_most``.

    Examples
    --------
    >>> check_seed(0)
    0
    """
    return check_whole(name, seed, at_least=0, at_most=at_most)


def check_switch(name: str, value: Any) -> bool:
    """A yes or no; "no", 0 and None are refused, since Python would take the first for yes and the others for no.

    Raises
    ------
    InputError
        If it is neither True nor False.

    Examples
    --------
    >>> check_switch("largest", "no")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: largest is 'no': pass True or False
    """
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):  # NumPy's, under its two names
        return bool(value)
    raise InputError(f"{name} is {seen(value)}: pass True or False")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """One of the choices, all strings.

    Raises
    ------
    InputError
        If it is none of them.

    Examples
    --------
    >>> check_choice("norm", "l1", ("linf", "l2"))
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: norm is 'l1': pass 'linf' or 'l2'
    """
    choices = tuple(choices)
    if not is_choice(value, choices):
        raise InputError(f"{name} is {seen(value)}: pass {' or '.join(map(repr, choices))}")
    return value


def is_choice(value: Any, choices: Iterable[str]) -> bool:
    """Whether a value is one of these words; any other object, an array among them, is none.

    Examples
    --------
    >>> is_choice("l2", ("linf", "l2")), is_choice(["l2"], ("linf", "l2"))
    (True, False)
    """
    return isinstance(value, str) and value in tuple(choices)


def check_instance(name: str, value: Any, kind: type) -> None:
    """Refuse what is of another type, such as a list where a tensor is meant.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_instance("labels", [0, 1], dict)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: labels is a list: pass a dict
    """
    if not isinstance(value, kind):
        raise InputError(f"{name} is a {type(value).__name__}: pass a {kind.__name__}")


def unknown_key(key: str, known: Sequence[str], where: str) -> InputError:
    """The error for a key nobody reads, with the nearest one there is."""
    close = difflib.get_close_matches(key, known, n=1) or [name for name in known if key in name.split("_")][:1]
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
    return InputError(f"unknown key {key!r} in {where}: {hint}")


def seen(value: Any) -> str:
    """A value as a message shows it: short, and on one line.

    Examples
    --------
    >>> seen(0.5), seen([0] * 1000)[:12]
    ('0.5', '[0, 0, 0, 0,')
    """
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"an array of shape {tuple(shape)}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a whole number of more digits than Python prints, or an object that cannot show itself
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _is_number(value: Any) -> bool:
    # NumPy's durations count themselves among the whole numbers; its arrays without dimensions have a dtype too.
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    return isinstance(value, Real) and not isinstance(value, bool) and kind in ("i", "u", "f")


def _number(value: Any) -> float | None:
    if not _is_number(value):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number beyond float64
        return None


def _within(
    start: str,
    value: Any,
    low: float,
    high: float,
    low_open: bool,
    high_open: bool,
    infinite: bool,
    such_as: str | None,
) -> float:
    number = _number(value)
    if number is not None and (infinite or math.isfinite(number)):
        above = low < number if low_open else low <= number
        if above and (number < high if high_open else number <= high):
            return number
    raise InputError(f"{start} {seen(value)}: pass {_range(low, high, low_open, high_open, infinite, such_as)}")


def _range(low: float, high: float, low_open: bool, high_open: bool, infinite: bool, such_as: str | None) -> str:
    example = "" if such_as is None else f", such as {such_as}"
    if low == -math.inf and high == math.inf:
        return f"a number that is not NaN{example}" if infinite else f"a number, neither NaN nor infinite{example}"
    left = "(−∞" if low == -math.inf else f"{'(' if low_open else '['}{low:g}"
    right = f"∞{']' if infinite else ')'}" if high == math.inf else f"{high:g}{')' if high_open else ']'}"
    return f"a number in {left}, {right}{example}"
