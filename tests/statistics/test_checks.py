"""Bad scores are refused with one sentence that says what was seen."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.statistics import auc, auc_interval, check_scores, roc, summarize, tpr_at_fpr

BAD = {
    "NaN": ([0.1, float("nan")], [True, False], r"scores holds 1 NaN or infinite values of 2"),
    "infinite": ([np.inf, -np.inf], [True, False], r"scores holds 2 NaN or infinite"),
    "only members": ([0.1, 0.2], [True, True], r"only members \(2\)"),
    "only non-members": ([0.1, 0.2], [False, False], r"only non-members \(2\)"),
    "lengths": (np.zeros(3999), np.zeros(4000, bool), r"membership has 4,000 rows and scores 3,999: pass one score"),
    "integers": ([0.1, 0.2], [1, 0], r"membership has dtype int64: pass booleans"),
    "empty": ([], [], r"scores are empty"),
    "two-dimensional scores": ([[0.1, 0.2]], [True, False], r"scores have shape \(1, 2\)"),
    "two-dimensional membership": ([0.1, 0.2], [[True, False]], r"membership has shape \(1, 2\)"),
    "words": (["high", "low"], [True, False], r"scores has dtype <U4"),
    "ragged": ([[0.1], [0.2, 0.3]], [True, False], r"scores is ragged"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("function", [auc, roc, auc_interval, summarize, lambda s, m: tpr_at_fpr(s, m, fpr=0.1)])
def test_bad_input_is_refused_by_every_door(function, case):
    scores, membership, message = BAD[case]
    with pytest.raises(InputError, match=message) as error:
        function(scores, membership)
    assert "\n" not in str(error.value)


def test_scores_of_any_real_type_become_float64():
    for dtype in (np.float32, np.float16, np.int32, np.uint8, bool):
        scores, membership = check_scores(np.array([0, 1], dtype=dtype), [False, True])
        assert scores.dtype == np.float64
        assert membership.dtype == np.bool_


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, float("nan"), "high"])
def test_a_confidence_outside_zero_and_one_is_refused(confidence):
    for function in (auc_interval, summarize):
        with pytest.raises(InputError, match="confidence is"):
            function([0.1, 0.2], [True, False], confidence=confidence)
    with pytest.raises(InputError, match="confidence is"):
        tpr_at_fpr(np.arange(4.0), np.arange(4) < 2, fpr=0.5, confidence=confidence)
