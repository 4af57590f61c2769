"""Extraction, overlap and exposure against naive loops, exact arithmetic and generation's definition."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import log

import numpy as np
import pytest
from scipy.stats import norm, skewnorm

from hf_privacy import InputError, attacks
from hf_privacy.attacks.exposure import _log_cdf
from hf_privacy.attacks.extraction import CHANCES, QUERIES

LOG_PROB = np.log([0.5, 0.5, 0.9, 0.25, 0.01, 0.99, 0.3])
OFFSETS = np.array([0, 2, 3, 6, 7])


def naive(n, p):
    """1 − (1 − p_z)ⁿ ≥ p, row by row."""
    found = []
    for start, end in itertools.pairwise(OFFSETS):
        p_z = np.prod([np.exp(value) for value in LOG_PROB[start:end]])
        found.append(1 - (1 - p_z) ** n >= p)
    return found


@pytest.mark.parametrize("n", [1, 3, 10, 500, 10**6])
@pytest.mark.parametrize("p", [0.1, 0.42, 0.9])
def test_extraction_is_its_definition(n, p):
    assert attacks.extraction(LOG_PROB, OFFSETS, n=n, p=p).tolist() == naive(n, p)


def test_extraction_at_the_border_and_at_both_ends():
    assert attacks.extraction(np.log([0.5]), [0, 1], n=1, p=0.5).all()  # 1 − (1 − ½)¹ = ½, to the last digit
    assert not attacks.extraction(np.log([0.5]), [0, 1], n=1, p=0.5 + 1e-9).any()
    assert attacks.extraction([0.0, 0.0], [0, 2], n=1, p=0.999999).all()
    assert not attacks.extraction([0.0, -np.inf], [0, 2], n=1e300, p=1e-9).any()


def test_ten_thousand_tokens_do_not_underflow():
    needed = attacks.log_queries_needed(np.full(10_000, -2.5), [0, 10_000], p=0.5)
    assert needed == pytest.approx(log(log(2)) + 25_000)
    # and a row that comes nearly always keeps its digits: exact arithmetic as the oracle
    p_z = Fraction(1) - Fraction(1, 2**40)
    found = attacks.log_queries_needed([np.log1p(-(2.0**-40))], [0, 1], p=0.9)[0]
    assert np.exp(found) == pytest.approx(log(0.1) / log(float(1 - p_z)), rel=1e-9)


def test_the_number_needed_falls_with_no_step_where_its_formula_changes():
    sums = np.concatenate([np.linspace(-36.01, -35.99, 41), np.linspace(-0.694, -0.692, 41)])
    needed = attacks.log_queries_needed(sums, np.arange(len(sums) + 1), p=0.5)
    assert (np.diff(needed[:41]) < 0).all()
    assert np.ptp(np.diff(needed[:41])) < 1e-12
    assert (np.diff(needed[41:]) < 0).all()
    assert np.ptp(np.diff(needed[41:])) < 1e-5


def test_the_curve_is_the_share_of_extracted_rows():
    curve = attacks.extraction_curve(LOG_PROB, OFFSETS)
    assert curve.shape == (3, 7)
    for row, p in zip(curve, CHANCES, strict=True):
        for share, n in zip(row, QUERIES, strict=True):
            assert share == np.mean(naive(n, p))


def test_greedy_extraction_is_all_hits_of_a_row():
    assert attacks.greedy_extraction([True, True, False, True], [0, 2, 3, 4]).tolist() == [True, False, True]


def test_repeats_are_counted_by_exact_row():
    assert attacks.repeats_of_rows([1, 2, 1, 2, 12, 1, 2], [0, 2, 4, 5, 7]).tolist() == [3, 3, 1, 3]


@pytest.mark.parametrize(
    ("log_prob", "offsets", "message"),
    [
        ([-1.0, np.nan], [0, 2], "1 NaN"),
        ([0.7, 1.2], [0, 2], "may be a loss"),
        ([-1.0, -2.0], [0, 1, 1, 2], "offsets leave 1 of 3 rows without a scored token, row 1 the first"),
        ([-1.0, -2.0], [0, 1], "offsets go from 0 to 1 and log_prob has 2 values"),
        ([[-1.0]], [0, 1], "one flat array"),
    ],
)
def test_bad_tokens_are_refused(log_prob, offsets, message):
    with pytest.raises(InputError, match=message):
        attacks.extraction(log_prob, offsets, n=10, p=0.5)


@pytest.mark.parametrize(("n", "p", "name"), [(0.5, 0.5, "n is"), (1, 0.0, "p is"), (1, 1.0, "p is")])
def test_bad_settings_are_refused(n, p, name):
    with pytest.raises(InputError, match=name):
        attacks.extraction([-1.0], [0, 1], n=n, p=p)


def naive_run(made, text):
    return max(
        (
            length
            for length in range(1, min(len(made), len(text)) + 1)
            for i in range(len(made) - length + 1)
            for j in range(len(text) - length + 1)
            if made[i : i + length] == text[j : j + length]
        ),
        default=0,
    )


def test_overlap_is_what_naive_loops_find():
    rng = np.random.default_rng(0)
    made = [rng.integers(3, size=rng.integers(0, 12)).tolist() for _ in range(60)]
    text = [rng.integers(3, size=rng.integers(1, 12)).tolist() for _ in range(60)]
    made = [np.array(row, dtype=np.int64) for row in made]
    assert attacks.longest_common_run(made, text).tolist() == [
        naive_run(a.tolist(), b) for a, b in zip(made, text, strict=True)
    ]
    for size in (1, 3, 8):
        expected = []
        for a, b in zip(made, text, strict=True):
            k = min(size, len(b))
            runs = {tuple(a[i : i + k]) for i in range(len(a) - k + 1)}
            expected.append(np.mean([tuple(b[i : i + k]) in runs for i in range(len(b) - k + 1)]))
        assert attacks.containment(made, text, size=size) == pytest.approx(expected)


def test_overlap_of_unequal_lists_is_refused():
    with pytest.raises(InputError, match="generated has 1 rows and true 2"):
        attacks.longest_common_run([[1]], [[1], [2]])
    with pytest.raises(InputError, match="row 0 of true is empty"):
        attacks.containment([[1]], [[]])


def test_exposure_by_sampling_ends_at_its_ceiling():
    references = np.arange(1.0, 1001.0)
    found = attacks.exposure_by_sampling([0.0, 1.0, 500.5, 2000.0], references)
    assert found == pytest.approx([np.log2(1000), np.log2(500), np.log2(1000 / 501), 0.0])
    assert round(attacks.exposure_ceiling(1000), 2) == 9.97
    assert found.max() <= attacks.exposure_ceiling(1000)


def test_exposure_of_what_was_not_trained_on_is_small():
    rng = np.random.default_rng(1)
    found = attacks.exposure_by_sampling(rng.normal(size=20_000), rng.normal(size=20_000))
    assert found.mean() == pytest.approx(1 / np.log(2), abs=0.05)  # the mean of −log₂ of a uniform number


@pytest.mark.parametrize("shape", [-5.0, 0.0, 0.5, 4.0])
def test_the_tail_is_the_distributions_where_scipy_has_it(shape):
    z = np.linspace(-6.0, 3.0, 50) if shape <= 0 else np.linspace(-1.2, 3.0, 50)
    assert _log_cdf(z, shape, 0.0, 1.0) == pytest.approx(skewnorm.logcdf(z, shape), rel=1e-6)


def test_the_tail_is_right_where_scipy_has_none():
    z = np.array([-10.0, -40.0, -200.0])
    assert _log_cdf(z, 0.0, 0.0, 1.0) == pytest.approx(norm.logcdf(z), rel=1e-12)
    # A skew-normal of shape 1 is the larger of two normals: its distribution function is the normal's, squared.
    assert _log_cdf(z, 1.0, 0.0, 1.0) == pytest.approx(2 * norm.logcdf(z), rel=1e-12)
    assert np.isfinite(attacks.exposure_by_extrapolation([-1e4], np.random.default_rng(0).normal(size=100))).all()


def test_extrapolation_agrees_with_sampling_inside_the_references():
    references = skewnorm.rvs(3.0, loc=40.0, scale=6.0, size=4000, random_state=np.random.default_rng(2))
    own = np.quantile(references, [0.02, 0.1, 0.5])
    sampled = attacks.exposure_by_sampling(own, references)
    assert attacks.exposure_by_extrapolation(own, references, n_simulated=19) == pytest.approx(sampled, abs=0.15)


def test_a_bad_fit_is_refused_and_a_good_one_rarely():
    rng = np.random.default_rng(3)
    two_heaps = np.concatenate([rng.normal(0.0, 1.0, 150), rng.normal(8.0, 1.0, 150)])
    with pytest.raises(InputError, match="not skew-normal"):
        attacks.exposure_by_extrapolation([-5.0], two_heaps)
    refused = 0
    for _ in range(20):
        try:
            attacks.exposure_by_extrapolation([0.0], rng.normal(size=60), n_simulated=39)
        except InputError:
            refused += 1
    assert refused <= 4  # of 20 at level 0.05


@pytest.mark.parametrize(("references", "message"), [(np.ones(30), "one value"), (np.arange(5.0), "at least 20")])
def test_references_that_cannot_be_fitted_are_refused(references, message):
    with pytest.raises(InputError, match=message):
        attacks.exposure_by_extrapolation([0.0], references)
