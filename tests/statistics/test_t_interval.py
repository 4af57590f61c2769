"""The interval of a mean over repetitions: Student's t, and never where the quantity cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hf_privacy.auditing import mean_interval
from hf_privacy.comparison.figures import gap, minus, over_seeds
from hf_privacy.forgetting import unlearning_gap
from hf_privacy.statistics import t_interval

# Of a grid as fine as any count gives: squares of differences below 1e-150 are refused.
SHARE = st.integers(0, 10**9).map(lambda count: count / 10**9)
SHARES = st.lists(SHARE, min_size=2, max_size=6)
ROUNDING = 1e-12


@given(SHARES, st.floats(0.5, 0.999))
def test_it_is_students_t_cut_to_where_the_quantity_can_lie(values, confidence):
    low, high = t_interval(values, within=(0.0, 1.0), confidence=confidence)
    assert 0.0 <= low <= np.mean(values) + ROUNDING
    assert np.mean(values) - ROUNDING <= high <= 1.0
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    assert low == pytest.approx(max(np.mean(values) - half, 0.0), abs=ROUNDING)
    assert high == pytest.approx(min(np.mean(values) + half, 1.0), abs=ROUNDING)


@given(SHARES)
def test_without_bounds_both_ends_are_as_far_from_the_mean(values):
    low, high = t_interval(values, within=(-np.inf, np.inf))
    assert high - np.mean(values) == pytest.approx(np.mean(values) - low, abs=1e-9)


def test_a_single_value_says_nothing_of_chance():
    assert t_interval([0.3], within=(0.0, 1.0)) == (None, None)


@given(SHARES, st.data())
def test_means_over_targets_and_their_differences_stay_where_they_can_be(values, data):
    others = data.draw(st.lists(SHARE, min_size=len(values), max_size=len(values)))
    found = mean_interval(values)
    assert 0.0 <= found["low"] <= found["high"] <= 1.0
    mine, theirs = over_seeds(values, 0.95), over_seeds(others, 0.95)
    for difference in (minus(mine, theirs, 0.95), gap(mine, theirs, 0.95)):
        assert -1.0 <= difference["low"] <= difference["high"] <= 1.0


@given(st.lists(st.tuples(*[SHARE] * 4), min_size=2, max_size=4), st.integers(2, 4))
def test_every_interval_of_an_unlearning_gap_is_of_a_share(models, n_retrained):
    figures = [dict(zip(("UA", "RA", "TA", "MIA"), values, strict=True)) for values in models]
    found = unlearning_gap(figures, (figures * n_retrained)[:n_retrained])
    ends = [found["avg_gap_low"], found["avg_gap_high"]]
    for figure in found["figures"].values():
        ends += [figure[f"{side}_{end}"] for side in ("unlearned", "retrained") for end in ("low", "high")]
    assert all(0.0 <= end <= 1.0 for end in ends)
