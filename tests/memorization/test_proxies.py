"""Proxies of training dynamics against loops, closed forms and never-learned examples."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.memorization import proxies

TABLE = np.random.default_rng(0).random((7, 40))


def test_means_are_over_epochs():
    for function in (proxies.mean_loss, proxies.confidence, proxies.mean_el2n, proxies.mean_curvature):
        np.testing.assert_allclose(function(TABLE), [np.mean(column) for column in TABLE.T])


def test_a_mean_curvature_may_be_negative_as_a_trace_may():
    assert proxies.mean_curvature([[-3.0], [1.0]]).tolist() == [-1.0]


def test_variability_is_the_papers_which_divides_by_the_number_of_epochs():
    np.testing.assert_allclose(
        proxies.variability(TABLE), [np.sqrt(np.mean((column - column.mean()) ** 2)) for column in TABLE.T]
    )


def test_forgetting_events_are_those_of_a_loop():
    correct = TABLE < 0.6
    expected = [
        sum(bool(column[epoch]) and not column[epoch + 1] for epoch in range(len(column) - 1)) for column in correct.T
    ]
    events = proxies.forgetting_events(correct)
    assert events.n_events.tolist() == expected
    assert max(expected) >= 2


def test_learning_late_or_failing_at_first_is_no_forgetting():
    events = proxies.forgetting_events([[0, 1], [0, 1], [1, 1]])
    assert events.n_events.tolist() == [0, 0]
    assert not events.never_learned.any()


def test_never_learned_examples_are_told_apart_and_rank_above_all_that_were_learned():
    # Learned and kept, forgotten as often as five epochs allow, never learned.
    correct = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 0]])
    events = proxies.forgetting_events(correct)
    assert events.n_events.tolist() == [0, 2, 0]
    assert events.never_learned.tolist() == [False, False, True]
    assert proxies.forgetting_scores(correct).tolist() == [0.0, 2.0, 5.0]


def test_one_epoch_has_no_events():
    assert proxies.forgetting_scores([[1, 0]]).tolist() == [0.0, 1.0]
    with pytest.raises(InputError, match="needs at least 2"):
        proxies.variability([[0.5, 0.5]])


@pytest.mark.parametrize(
    ("function", "values", "message"),
    [
        (proxies.mean_loss, [[-1.0]], "a loss cannot be negative"),
        (proxies.confidence, [[1.5]], "probabilities reach from 1.5 to 1.5"),
        (proxies.variability, [[-0.5], [0.0]], "probabilities reach from -0.5"),
        (proxies.forgetting_events, [[0.5]], "correct holds 0.5"),
        (proxies.mean_el2n, [[1.6]], "el2n reaches from 1.6"),
        (proxies.mean_curvature, [[np.inf]], "curvature holds 1 NaN or infinite"),
    ],
)
def test_values_out_of_range_are_refused(function, values, message):
    with pytest.raises(InputError, match=message):
        function(values)


@pytest.mark.parametrize(
    "function",
    [
        proxies.mean_loss,
        proxies.confidence,
        proxies.variability,
        proxies.forgetting_events,
        proxies.forgetting_scores,
        proxies.mean_el2n,
        proxies.mean_curvature,
    ],
)
@pytest.mark.parametrize(
    "values", [[0.5, 0.5], np.zeros((0, 3)), np.zeros((3, 0)), [[np.nan]], [[1], [1, 2]], [["a"]]]
)
def test_what_is_no_table_of_epochs_and_examples_is_refused(function, values):
    with pytest.raises(InputError) as error:
        function(values)
    assert "\n" not in str(error.value)
