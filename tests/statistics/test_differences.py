"""The interval of a difference of rates: published values, coverage by enumeration, symmetry."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from hf_privacy.errors import InputError
from hf_privacy.statistics import rate_difference
from hf_privacy.statistics.differences import difference_of

# Newcombe 1998, table II, method 10: of the cases (a) to (h).
PUBLISHED = [
    ((56, 70, 48, 80), (0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.1705, 0.8090)),
    ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ((10, 10, 0, 20), (0.6791, 1.0000)),
]


@pytest.mark.parametrize(("counts", "ends"), PUBLISHED)
def test_published_intervals(counts, ends):
    value, *found = rate_difference(*counts)
    assert value == pytest.approx(counts[0] / counts[1] - counts[2] / counts[3])
    assert found == pytest.approx(ends, abs=2e-4)


def test_swapped_sides_give_the_negative():
    value, low, high = rate_difference(7, 30, 3, 40)
    assert rate_difference(3, 40, 7, 30) == pytest.approx((-value, -high, -low))


@pytest.mark.parametrize(("p", "q"), [(0.02, 0.02), (0.5, 0.3), (0.95, 0.1)])
def test_coverage_by_enumeration(p, q):
    n, m = 40, 25
    covered = 0.0
    for k in range(n + 1):
        for j in range(m + 1):
            weight = binom.pmf(k, n, p) * binom.pmf(j, m, q)
            if weight > 1e-9:
                _, low, high = rate_difference(k, n, j, m)
                covered += weight * (low <= p - q <= high)
    assert covered > 0.93


def test_a_difference_of_differences_covers():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        a, b, c, d = (int(rng.binomial(60, p)) for p in (0.7, 0.2, 0.4, 0.1))
        _, low, high = difference_of(rate_difference(a, 60, b, 60), rate_difference(c, 60, d, 60))
        covered += low <= 0.2 <= high
    assert covered / 400 > 0.92


@pytest.mark.parametrize("counts", [(3, 2, 0, 5), (0, 0, 0, 5), (-1, 2, 0, 5), (0.5, 2, 0, 5)])
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(InputError):
        rate_difference(*counts)
