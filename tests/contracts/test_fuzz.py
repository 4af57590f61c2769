"""Random bad arguments in random places: an `InputError` of one line, or an answer without NaN, and never a hang.

A quick part runs with the other tests; with ``HF_PRIVACY_FUZZ_EXAMPLES=5000`` in the environment this file runs many.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from bad_values import BAD_ARRAYS, BAD_REALS
from good_calls import GOOD
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hf_privacy.errors import InputError

EXAMPLES = int(os.environ.get("HF_PRIVACY_FUZZ_EXAMPLES", "300"))
# NaN is an answer there: an example that no target was trained on has no vulnerability.
MAY_BE_NAN = ("vulnerability",)

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=8)
DTYPES = st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.uint64, np.int8, np.bool_, np.complex128])
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES))
NUMBERS = st.one_of(st.floats(), st.integers(), st.booleans(), st.complex_numbers(), st.none(), st.text(max_size=5))
VALUES = st.one_of(
    NUMBERS,
    ARRAYS,
    st.lists(NUMBERS, max_size=4),
    st.lists(st.lists(NUMBERS, max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=2), NUMBERS, max_size=2),
    st.sampled_from(list(BAD_REALS.values())),
)


@st.composite
def spoilt_calls(draw: st.DrawFn) -> tuple[int, dict[str, Any]]:
    """A call and the arguments to put in the place of its own."""
    number = draw(st.integers(0, len(GOOD) - 1))
    arguments = GOOD[number][1]
    names = draw(st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=2, unique=True))
    changed = {}
    for name in names:
        good = arguments[name]
        if not isinstance(good, np.ndarray):
            changed[name] = draw(VALUES)
            continue
        how = draw(st.sampled_from(["spoilt", "other", "scaled", "replaced"]))
        if how == "spoilt":
            changed[name] = BAD_ARRAYS[draw(st.sampled_from(sorted(BAD_ARRAYS)))](good)
        elif how == "scaled":
            changed[name] = good * draw(st.sampled_from([0.0, -1.0, 1e-320, 1e-8, 1e8, 1e160, 1e308]))
        elif how == "replaced":
            changed[name] = np.where(np.arange(good.size).reshape(good.shape) % 7 == 0, draw(st.floats()), good)
        else:
            changed[name] = draw(VALUES)
    return number, changed


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(spoilt_calls())
def test_bad_arguments_end_in_a_sentence_or_in_an_answer(call):
    number, changed = call
    function, arguments = GOOD[number]
    note(f"{function.__name__} with {', '.join(changed)} changed")
    try:
        answer = function(**{**arguments, **changed})
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert len(str(error)) < 400  # noqa: PT017
    else:
        assert function.__name__ in MAY_BE_NAN or not has_nan(answer)


def has_nan(answer: Any) -> bool:
    if isinstance(answer, dict):
        return any(map(has_nan, answer.values()))
    if isinstance(answer, (list, tuple)):
        return any(map(has_nan, answer))
    if isinstance(answer, np.ndarray):
        return answer.dtype.kind == "f" and bool(np.isnan(answer).any())
    return isinstance(answer, float) and answer != answer
