"""Ragged arrays: what does not fit is refused, and lengths are gone through once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_draws import draw, rows

from hf_privacy import attacks
from hf_privacy.attacks import ragged
from hf_privacy.errors import InputError


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([0, 2, 2, 3, 3], "offsets leave 2 of 4 rows without a scored token"),
        ([0, 2], r"offsets go from 0 to 2 and log_prob has 3 values"),
        ([1, 3], r"offsets go from 1 to 3 and log_prob has 3"),
        ([0, 4], r"offsets go from 0 to 4 and log_prob has 3"),
        ([0, 2, 1, 3], "fall in between"),
        ([0], r"offsets has shape \(1,\)"),
        ([], r"offsets has shape \(0,\)"),
        ([[0, 3]], r"offsets has shape \(1, 2\)"),
        ([0, 1.5, 3], "not whole"),
    ],
)
def test_offsets_that_do_not_fit_are_refused(offsets, message):
    with pytest.raises(InputError, match=message):
        attacks.min_k([-1.0, -2.0, -3.0], offsets)


@pytest.mark.parametrize(
    ("log_prob", "message"),
    [
        ([-1.0, np.nan, np.inf], "log_prob holds 2 NaN or infinite values of 3"),
        ([-1.0, -1.0, 0.5], "log_prob goes up to 0.5: a log-probability is at most 0, pass −loss"),
        ([], "log_prob is empty"),
        ([[-1.0, -1.0, -1.0]], r"log_prob has shape \(1, 3\)"),
    ],
)
def test_values_that_are_no_log_probabilities_are_refused(log_prob, message):
    for call in (
        lambda: attacks.min_k(log_prob, [0, 3]),
        lambda: attacks.min_k_plus_plus(log_prob, [-1.0] * 3, [1.0] * 3, [0, 3]),
        lambda: attacks.surp(log_prob, [-1.0] * 3, [0, 3]),
        lambda: attacks.window_comparison(log_prob, [-1.0] * 3, [0, 3]),
        lambda: attacks.token_lira(log_prob, [[-1.0] * 3] * 2, [0, 3], [[True], [False]]),
    ):
        with pytest.raises(InputError, match=message):
            call()


@pytest.mark.parametrize("k", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(k):
    with pytest.raises(InputError, match="k is"):
        attacks.min_k([-1.0], [0, 1], k=k)


def test_arrays_of_another_length_are_named():
    with pytest.raises(InputError, match="mean has 2 values and log_prob 3: pass one for each scored token"):
        attacks.surp([-1.0] * 3, [-1.0] * 2, [0, 3])
    with pytest.raises(InputError, match="variance goes down to -1"):
        attacks.min_k_plus_plus([-1.0], [-1.0], [-1.0], [0, 1])


def test_every_value_is_given_once_in_a_table_of_its_rows(monkeypatch):
    monkeypatch.setattr(ragged, "_BLOCK", 100)
    offsets, log_prob, *_ = draw(n_rows=200, longest=30)
    given_rows, given_positions = [], []
    for numbers, positions in ragged.by_length(offsets):
        assert positions.size <= 100
        given_rows += numbers.tolist()
        given_positions += positions.ravel().tolist()
        for number, row in zip(numbers, log_prob[positions], strict=True):
            np.testing.assert_array_equal(row, rows(log_prob, offsets)[number])
    assert sorted(given_rows) == list(range(200))
    assert sorted(given_positions) == list(range(len(log_prob)))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 100), st.integers(1, 3000))
def test_the_share_counted_is_that_of_whole_numbers(percent, length):
    assert ragged.counted(percent / 100, np.array([length]))[0] == max(1, percent * length // 100)
