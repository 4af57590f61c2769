"""Forgetting rate and memory retention rate: the two readings of methods, by hand; never a NaN."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.forgetting import (
    forgetting_rate,
    forgetting_rate_interval,
    memory_retention_rate,
    memory_retention_rate_interval,
    summarize_rate,
)
from hf_privacy.forgetting.paired import difference_interval, ratio_interval

BEFORE = [1, 1, 1, 1, 0]
AFTER = [1, 0, 0, 0, 1]


def test_accuracy_reading_is_the_share_of_accuracy_lost():
    assert forgetting_rate(AFTER, BEFORE) == pytest.approx((0.8 - 0.4) / 0.8)
    assert memory_retention_rate(AFTER, BEFORE) == pytest.approx(0.4 / 0.8)


def test_membership_reading_is_af_less_bf_over_bt():
    judged_members_before, judged_nonmembers_before, judged_nonmembers_after = 4, 1, 3
    expected = (judged_nonmembers_after - judged_nonmembers_before) / judged_members_before
    assert forgetting_rate(AFTER, BEFORE, reading="membership") == expected == 0.5
    assert memory_retention_rate(AFTER, BEFORE, reading="membership") == 2 / 4


@pytest.mark.parametrize("reading", ["accuracy", "membership"])
def test_both_readings_are_their_formula_on_any_arrays(reading):
    generator = np.random.default_rng(0)
    for _ in range(50):
        after, before = generator.random((2, 30)) < generator.random((2, 1))
        before[0] = True
        if reading == "accuracy":
            expected = (before.mean() - after.mean()) / before.mean()
        else:
            expected = (np.sum(~after) - np.sum(~before)) / np.sum(before)
        assert forgetting_rate(after, before, reading=reading) == pytest.approx(expected)
        assert memory_retention_rate(after, before, reading=reading) == pytest.approx(after.sum() / before.sum())


def test_nothing_forgotten_is_exactly_zero_and_all_forgotten_one():
    same = np.arange(7) < 3
    assert forgetting_rate(same, same) == 0.0
    assert memory_retention_rate(same, same) == 1.0
    assert forgetting_rate(np.zeros(7), same) == 1.0
    assert memory_retention_rate(np.zeros(7), same) == 0.0


def test_a_forget_set_known_better_than_before_has_a_negative_rate():
    assert forgetting_rate([1, 1], [1, 0]) == -1.0


@pytest.mark.parametrize("rate", [forgetting_rate, memory_retention_rate, forgetting_rate_interval])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"after": [0, 0], "before": [0, 0]}, "before holds no 1: none of the 2 examples was classified right"),
        (
            {"after": [0, 0], "before": [0, 0], "reading": "membership"},
            "before holds no 1: none of the 2 examples was judged a member",
        ),
        ({"after": [0, 0.5], "before": [1, 0]}, "after holds 0.5"),
        ({"after": [0, float("nan")], "before": [1, 0]}, "after holds 1 NaN"),
        ({"after": [0], "before": [1, 0]}, "after has 1 rows for 2 examples"),
        ({"after": [], "before": []}, "before is empty"),
        ({"after": [[0]], "before": [1]}, "after has shape (1, 1)"),
        ({"after": ["cat"], "before": [1]}, "after has dtype <U3"),
        ({"after": [0], "before": [1], "reading": "loss"}, "reading is 'loss': pass 'accuracy' or 'membership'"),
    ],
    ids=str,
)
def test_no_rate_rather_than_a_nan_for_bad_input(rate, arguments, message):
    with pytest.raises(InputError, match=re.escape(message)):
        rate(**arguments)


def test_summary_stands_beside_retraining_which_is_the_goal():
    retrained = [[1, 1, 0, 0, 1], [1, 1, 0, 0, 0]]
    result = summarize_rate(AFTER, BEFORE, retrained)
    assert (result["value"], result["retrained"]) == (0.5, pytest.approx((0.25 + 0.5) / 2))
    assert result["gap"] == pytest.approx(0.125)
    assert (result["n_before"], result["n_after"], result["n_examples"], result["n_retrained"]) == (4, 2, 5, 2)
    kept = summarize_rate(AFTER, BEFORE, AFTER, rate="memory_retention_rate")
    assert (kept["value"], kept["gap"]) == (0.5, 0.0)
    assert (kept["retrained_low"], kept["retrained_high"]) == (kept["low"], kept["high"])
    with pytest.raises(InputError, match="rate is 'both': pass 'forgetting_rate' or 'memory_retention_rate'"):
        summarize_rate(AFTER, BEFORE, rate="both")


def test_the_interval_of_one_rate_is_that_of_the_other_turned():
    low, high = memory_retention_rate_interval(AFTER, BEFORE)
    assert forgetting_rate_interval(AFTER, BEFORE) == (1 - high, 1 - low)
    assert low < 0.5 < high


def test_intervals_have_a_width_where_nothing_or_everything_changed():
    ones, zeros = np.ones(40, dtype=bool), np.zeros(40, dtype=bool)
    for after in (ones, zeros):
        low, high = ratio_interval(after, ones)
        assert low <= after.mean() <= high
        assert 0 < high - low < 0.3
        low, high = difference_interval(ones, after)
        assert -1 <= low < high <= 1


@pytest.mark.parametrize("chances", [(0.5, 0.3, 0.05), (0.9, 0.08, 0.0), (0.2, 0.5, 0.1)])
def test_intervals_cover_as_often_as_they_say(chances):
    both, lost, gained = chances
    generator = np.random.default_rng(1)
    n_covered = np.zeros(2)
    for _ in range(500):
        kind = generator.choice(4, size=100, p=[both, lost, gained, 1 - both - lost - gained])
        before, after = kind <= 1, (kind == 0) | (kind == 2)
        low, high = ratio_interval(after, before)
        n_covered[0] += low <= (both + gained) / (both + lost) <= high
        low, high = difference_interval(before, after)
        n_covered[1] += low <= lost - gained <= high
    assert np.all(n_covered / 500 > 0.92)
