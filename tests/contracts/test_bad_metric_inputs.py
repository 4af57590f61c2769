"""What `evaluate` would read by hope never reaches it: masks, words, dates and imaginary parts are refused."""

from __future__ import annotations

import numpy as np
import pytest
from bad_values import BAD_ARRAYS

from hf_privacy.errors import InputError
from hf_privacy.metrics import CheckedInputs, TokenAttackMetric, load_metric, metric_names

GOOD = np.arange(40.0).reshape(20, 2)
TAKEN = ("too many dimensions", "NaN")  # the first is evaluate's to refuse, the second the module's


@pytest.mark.parametrize("name", metric_names())
@pytest.mark.parametrize("argument", ["predictions", "references"])
def test_a_bad_array_is_refused_before_evaluate_reads_it(name, argument):
    metric = load_metric(name)
    assert isinstance(metric, CheckedInputs)
    given = {"predictions": GOOD[:, 0], "references": (GOOD[:, 0] > 9).astype(float)}
    # Rows of sequences are of any length.
    taken = [*TAKEN, "ragged"] if isinstance(metric, TokenAttackMetric) and argument == "predictions" else TAKEN
    for kind in set(BAD_ARRAYS) - {*taken, "a missing value"}:
        with pytest.raises(InputError) as refused:
            metric.compute(**{**given, argument: BAD_ARRAYS[kind](given[argument])})
        assert "\n" not in str(refused.value), kind


def test_masked_scores_are_refused_where_one_example_is_added_too():
    metric = load_metric("membership_inference")
    with pytest.raises(InputError, match="prediction has 1 masked entry"):
        metric.add(prediction=np.ma.masked, reference=1)
    with pytest.raises(InputError, match="predictions has 3 masked entries"):
        metric.add_batch(predictions=np.ma.masked_less(np.arange(6.0), 3.0), references=[0, 1, 0, 1, 0, 1])
