"""The interval of a mean over tokens covers what rows, or groups of rows, were drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from hf_privacy.errors import InputError
from hf_privacy.statistics import t_interval
from hf_privacy.statistics.ratio_interval import ratio_interval

ANY = (-np.inf, np.inf)


def test_rows_of_one_length_give_students_interval():
    values = np.random.default_rng(0).normal(size=30)
    assert ratio_interval(3 * values, np.full(30, 3.0), within=ANY) == pytest.approx(t_interval(values, within=ANY))


def test_groups_give_the_interval_of_their_sums():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(7), 5)
    counts = rng.integers(1, 9, size=35)
    totals = counts * (2 + rng.normal(size=7)[groups])
    ratio, rest = totals.sum() / counts.sum(), []
    for group in range(7):
        inside = groups == group
        rest.append(totals[inside].sum() - ratio * counts[inside].sum())
    reach = t.ppf(0.975, 6) * np.sqrt(7 / 6 * np.sum(np.square(rest))) / counts.sum()
    found = ratio_interval(totals, counts, within=ANY, groups=groups)
    assert found == pytest.approx((ratio - reach, ratio + reach))
    low, high = ratio_interval(totals, counts, within=ANY)
    assert high - low < 2 * reach


@pytest.mark.parametrize("by_group", [False, True])
def test_it_covers_as_often_as_it_says(by_group):
    rng, true, covered, draws = np.random.default_rng(2), 2.0, 0, 400
    for _ in range(draws):
        groups = np.repeat(np.arange(25), 4)
        counts = rng.integers(5, 60, size=100).astype(float)
        level = true + (rng.normal(size=25)[groups] if by_group else 0.0)
        totals = counts * (level + rng.normal(size=100))
        low, high = ratio_interval(totals, counts, within=ANY, groups=groups if by_group else None)
        covered += low <= true <= high
    assert 0.91 <= covered / draws <= 0.98


def test_ends_stay_where_the_ratio_can_lie():
    assert ratio_interval([0.0, 1.0], [1, 1], within=(0.0, 1.0)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("totals", "counts", "groups", "message"),
    [
        ([1.0], [1], None, "at least 2"),
        ([1.0, 2.0], [1, 1], [3, 3], "at least 2"),
        ([1.0, 2.0], [1], None, "one of each a row"),
        ([1.0, 2.0], [1, 0], None, "every row"),
        ([1.0, np.nan], [1, 1], None, "NaN"),
    ],
)
def test_what_gives_no_interval_is_refused(totals, counts, groups, message):
    with pytest.raises(InputError, match=message):
        ratio_interval(totals, counts, within=ANY, groups=groups)
