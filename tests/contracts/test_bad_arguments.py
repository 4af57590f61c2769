"""Every public function of the arithmetic, with every kind of bad array and number in every argument.

The cases come from the functions' own signatures, so that a new function, or a new argument, is tried too.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from bad_values import (
    BAD_ARRAYS,
    BAD_CHOICES,
    BAD_LISTS,
    BAD_REALS,
    BAD_SWITCHES,
    BAD_WHOLES,
    SAME_ARRAYS,
)
from good_calls import GOOD

from hf_privacy import attacks, forgetting, memorization, statistics
from hf_privacy.data import ForgetRequest
from hf_privacy.errors import InputError
from hf_privacy.memorization import proxies

NAMES = [f"{function.__name__}-{number}" for number, (function, _) in enumerate(GOOD)]
_COMPARED = ("words", "bytes", "huge")  # labels are compared, never counted with
_COUNTS = ("too many dimensions", "a number", "no dimension")  # broadcast against each other
# What an argument takes although it is bad for others.
TAKEN = {
    *(
        (name, "groups", kind)
        for name in (
            "auc_interval",
            "blind_baseline",
            "bootstrap_interval",
            "correlation_table",
            "group_memorization",
            "membership_permutation_test",
            "subpopulation_fits",
            "summarize",
            "summarize_slices",
            "tpr_at_fpr",
            "two_sided",
        )
        for kind in _COMPARED
    ),
    *((name, "labels", kind) for name in ("redraw_members", "plan_references") for kind in _COMPARED),
    *(("clopper_pearson", name, kind) for name in ("successes", "trials") for kind in _COUNTS),
    *(
        ("epsilon_from_counts", name, kind)
        for name in ("false_positives", "n_nonmembers", "false_negatives", "n_members")
        for kind in _COUNTS
    ),
}


def kind_of(parameter: inspect.Parameter, value: Any) -> str | None:
    """What the annotation says: an array, a real or whole number, a switch, a choice or a list of numbers."""
    annotation = str(parameter.annotation).replace(" | None", "")
    if isinstance(value, np.ndarray):
        return "array"
    return {
        "float": "real",
        "int": "whole",
        "bool": "switch",
        "Iterable[float]": "list",
        "Sequence[float]": "list",
    }.get(annotation, "choice" if isinstance(value, str) and annotation != "name" else None)


def arguments() -> Iterator[tuple[int, str, str]]:
    """Number of the call, name and kind of each of its arguments."""
    for number, (function, given) in enumerate(GOOD):
        for name, parameter in inspect.signature(function).parameters.items():
            if name in given and (kind := kind_of(parameter, given[name])) and name != "name":
                yield number, name, kind


def of_kind(*kinds: str) -> list[Any]:
    return [
        pytest.param(number, name, id=f"{NAMES[number]}-{name}") for number, name, kind in arguments() if kind in kinds
    ]


def outcome(number: int, **changed: Any) -> Any:
    function, given = GOOD[number]
    return function(**{**given, **changed})


def refuse(number: int, name: str, kind: str, value: Any) -> None:
    """The call with that value ends in one short sentence."""
    try:
        answer = outcome(number, **{name: value})
    except InputError as error:
        assert "\n" not in str(error), (kind, str(error))  # noqa: PT017
        assert len(str(error)) < 400, (kind, str(error))  # noqa: PT017
    except Exception as error:
        pytest.fail(f"{kind}: {type(error).__name__}: {error}")
    else:
        pytest.fail(f"{kind} is taken and gives {answer!r}"[:300])


def test_every_public_function_and_each_of_its_parameters_is_in_a_call():
    called: dict[Any, set[str]] = {}
    for function, given in GOOD:
        called.setdefault(function, set()).update(given)
    missing = []
    for room in (statistics, attacks, memorization, proxies, forgetting):
        for name in getattr(room, "__all__", [name for name in vars(room) if not name.startswith("_")]):
            function = getattr(room, name)
            if not isinstance(function, FunctionType) or not function.__module__.startswith(room.__name__):
                continue
            # They take mappings, or texts: tried in their own tests.
            if name in ("dynamics_proxies", "unlearning_gap", "gap_table", "rouge_l_recall"):
                continue
            missing += [
                f"{name}({parameter})"
                for parameter in inspect.signature(function).parameters
                if parameter not in called.get(function, set())
            ]
    assert not missing


@pytest.mark.parametrize(("number", "name"), of_kind("array"))
def test_a_bad_array_is_refused_in_a_sentence(number, name):
    function, given = GOOD[number]
    for kind, spoil in BAD_ARRAYS.items():
        if (function.__name__, name, kind) not in TAKEN:
            refuse(number, name, kind, spoil(given[name]))


@pytest.mark.parametrize(("number", "name"), of_kind("array"))
def test_the_same_values_in_another_form_give_the_same_to_the_last_bit(number, name):
    function, given = GOOD[number]
    if function is ForgetRequest:  # it keeps what it was given
        return
    expected = outcome(number)
    for kind, form in SAME_ARRAYS.items():
        assert same(outcome(number, **{name: form(given[name])}), expected), kind


@pytest.mark.parametrize(("number", "name"), of_kind("real", "whole", "switch", "choice", "list"))
def test_what_is_no_such_number_or_word_is_refused_in_a_sentence(number, name):
    parameter = inspect.signature(GOOD[number][0]).parameters[name]
    kind = kind_of(parameter, GOOD[number][1][name])
    bad = {
        "real": BAD_REALS,
        "whole": BAD_WHOLES,
        "switch": BAD_SWITCHES,
        "choice": BAD_CHOICES,
        "list": BAD_LISTS,
    }[kind]
    for label, value in bad.items():
        refuse(number, name, label, value)


@pytest.mark.parametrize(("number", "name"), of_kind("real", "whole", "switch"))
def test_numpys_own_numbers_are_welcome(number, name):
    function, given = GOOD[number]
    if function is ForgetRequest:
        return
    value = given[name]
    own = {bool: np.bool_, int: np.int64, float: np.float64}[type(value)](value)
    assert same(outcome(number, **{name: own}), outcome(number))


def same(one: Any, other: Any) -> bool:
    """Equal in type, shape and every bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
    return type(one) is type(other) and (one == other or one != one)
