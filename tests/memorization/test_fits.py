"""Lines and the saturating curve against scipy, planted values and coverage; bins against a loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import linregress
from scipy.stats import t as student_t

from hf_privacy.errors import InputError
from hf_privacy.memorization import binned_means, linear_fit, saturating_fit, subpopulation_fits

EPSILONS = np.repeat([0.5, 1.0, 2.0, 5.0, 10.0, np.inf], 3)


def noisy_line(seed=0, n_points=60, slope=0.3):
    generator = np.random.default_rng(seed)
    x = generator.normal(2, 3, n_points)
    return x, 1.5 + slope * x + generator.normal(size=n_points)


# ---- lines ----


def test_a_line_is_scipys():
    x, y = noisy_line()
    fit, expected = linear_fit(x, y, confidence=0.9), linregress(x, y)
    reach = student_t.isf(0.05, 58)
    assert fit["slope"] == pytest.approx(expected.slope)
    assert fit["intercept"] == pytest.approx(expected.intercept)
    assert fit["r_squared"] == pytest.approx(expected.rvalue**2)
    assert fit["p_value"] == pytest.approx(expected.pvalue)
    assert fit["slope_high"] - fit["slope"] == pytest.approx(reach * expected.stderr)
    assert fit["intercept"] - fit["intercept_low"] == pytest.approx(reach * expected.intercept_stderr)
    assert (fit["n_points"], fit["confidence"]) == (60, 0.9)


def test_the_interval_of_a_slope_covers_what_it_states():
    covered = [linear_fit(*noisy_line(seed, 12), confidence=0.9) for seed in range(500)]
    share = np.mean([fit["slope_low"] <= 0.3 <= fit["slope_high"] for fit in covered])
    assert share == pytest.approx(0.9, abs=0.04)


def test_a_line_through_all_points_and_a_flat_one_have_no_nan():
    exact, flat = linear_fit([0, 1, 2], [0, 2, 4]), linear_fit([0, 1, 2], [3, 3, 3])
    assert (exact["slope"], exact["slope_low"], exact["r_squared"], exact["p_value"]) == (2.0, 2.0, 1.0, 0.0)
    assert (flat["slope"], flat["intercept"], flat["r_squared"], flat["p_value"]) == (0.0, 3.0, 0.0, 1.0)
    assert {type(value) for value in (exact | flat).values()} <= {float, int}


def test_a_link_within_groups_may_run_against_that_between_them():
    generator = np.random.default_rng(0)
    groups = np.repeat(["clean", "turned", "few", "same"], [200, 200, 5, 30])
    x = generator.normal(size=435) + 5 * (groups == "turned")
    x[groups == "same"] = 2.0
    y = -0.5 * x + 8 * (groups == "turned") + 0.1 * generator.normal(size=435)
    assert linear_fit(x, y)["slope"] > 0.5
    fits = subpopulation_fits(x, y, groups)
    assert list(fits) == ["clean", "few", "same", "turned"]
    assert fits["clean"]["slope"] == pytest.approx(-0.5, abs=0.05)
    assert fits["turned"] == linear_fit(x[groups == "turned"], y[groups == "turned"])
    assert fits["few"] == {"n_points": 5, "reason": "5 examples: fewer than 20"}
    assert fits["same"] == {"n_points": 30, "reason": "x does not differ within the group"}


# ---- the saturating curve ----


def test_the_curve_recovers_planted_values_exactly_at_infinity_too():
    fit = saturating_fit(EPSILONS, 0.05 + 0.4 * (1 - np.exp(-EPSILONS)))
    assert [fit[key] for key in ("a", "b", "saturation", "r_squared")] == pytest.approx([0.05, 0.4, 0.45, 1.0])
    assert fit["p_value"] < 1e-12
    assert (fit["n_points"], fit["n_epsilons"]) == (18, 6)


def test_the_closed_form_is_what_a_search_finds():
    values = 0.05 + 0.4 * (1 - np.exp(-EPSILONS)) + 0.05 * np.random.default_rng(0).normal(size=18)
    fit = saturating_fit(EPSILONS, values)
    finite = np.minimum(EPSILONS, 50.0)  # the search takes no infinity
    found, _ = curve_fit(lambda epsilon, a, b: a + b * (1 - np.exp(-epsilon)), finite, values, p0=(0, 1))
    assert [fit["a"], fit["b"]] == pytest.approx(found, abs=1e-6)
    assert 0 < fit["residual_std"] < fit["flat_residual_std"]
    assert fit["flat_mean"] == pytest.approx(values.mean())


def test_the_intervals_cover_planted_values_and_the_flat_alternative_is_rejected_as_often_as_stated():
    generator = np.random.default_rng(0)
    curve = 0.05 + 0.4 * (1 - np.exp(-EPSILONS))
    fits = [saturating_fit(EPSILONS, curve + 0.1 * generator.normal(size=18)) for _ in range(400)]
    for name, truth in (("a", 0.05), ("b", 0.4)):
        assert np.mean([f[f"{name}_low"] <= truth <= f[f"{name}_high"] for f in fits]) == pytest.approx(0.95, abs=0.03)
    flat = [saturating_fit(EPSILONS, 0.3 + 0.1 * generator.normal(size=18))["p_value"] for _ in range(400)]
    assert np.mean(np.array(flat) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_values_that_do_not_move_are_flat():
    fit = saturating_fit(EPSILONS, np.full(18, 0.25))
    assert (fit["b"], fit["r_squared"], fit["p_value"], fit["flat_mean"]) == (0.0, 0.0, 1.0, 0.25)


@pytest.mark.parametrize(
    ("epsilon", "values", "message"),
    [
        ([-1.0, 1.0, 2.0], [0, 0, 0], "negative"),
        ([np.nan, 1.0, 2.0], [0, 0, 0], "NaN"),
        ([1.0, 1.0, 1.0], [0, 1, 2], "3 points at 1 different values"),
        ([1.0, 2.0], [0, 1], "2 points"),
        ([1.0, 2.0, np.inf], [0, 1], "values has 2 rows for 3"),
        ([1.0, 2.0, np.inf], [0, 1, np.inf], "values holds 1 NaN or infinite"),
        (["one"], [0], "epsilon has dtype <U3: pass real numbers"),
    ],
)
def test_a_curve_refuses_bad_input(epsilon, values, message):
    with pytest.raises(InputError, match=message):
        saturating_fit(epsilon, values)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [1, 2], "at least 3"),
        ([1, 1, 1], [1, 2, 3], "x is 1 at all 3 points"),
        ([1, 2, 3], [1, 2], "y has 2 rows for 3"),
        ([1, 2, np.nan], [1, 2, 3], "x holds 1 NaN"),
        ([[1, 2, 3]], [1, 2, 3], "x has shape"),
    ],
)
def test_a_line_refuses_bad_input(x, y, message):
    with pytest.raises(InputError, match=message):
        linear_fit(x, y)


# ---- bins ----


@pytest.mark.parametrize("bins", ["count", "width"])
def test_bins_are_those_of_a_loop(bins):
    generator = np.random.default_rng(0)
    x, y = generator.exponential(size=1000), generator.normal(size=1000)
    means = binned_means(x, y, n_bins=10, bins=bins)
    order = np.argsort(x)
    edges = np.linspace(x.min(), x.max(), 11)
    parts = (
        np.array_split(order, 10)
        if bins == "count"
        else [np.flatnonzero((edges[b] <= x) & ((x < edges[b + 1]) | (b == 9))) for b in range(10)]
    )
    parts = [part for part in parts if len(part) >= 2]
    assert means.n_examples.tolist() == [len(part) for part in parts]
    np.testing.assert_allclose(means.x_mean, [x[part].mean() for part in parts])
    np.testing.assert_allclose(means.y_mean, [y[part].mean() for part in parts])
    np.testing.assert_allclose(
        means.y_standard_error, [y[part].std(ddof=1) / np.sqrt(len(part)) for part in parts], atol=1e-12
    )
    assert means.n_left_out == 1000 - sum(map(len, parts))


def test_the_default_is_fifty_bins_of_equally_many():
    x = np.random.default_rng(0).normal(size=5000)
    assert binned_means(x, x).n_examples.tolist() == [100] * 50


def test_equal_values_share_a_bin_whatever_their_order():
    x = np.repeat([0.0, 0.5, 1.0], [700, 200, 100])
    y = np.random.default_rng(0).normal(size=1000)
    shuffled = np.random.default_rng(1).permutation(1000)
    first, second = binned_means(x, y), binned_means(x[shuffled], y[shuffled])
    assert first.x_mean.tolist() == second.x_mean.tolist() == [0.0, 0.5, 1.0]
    np.testing.assert_allclose(first.y_mean, second.y_mean)


def test_one_example_has_no_standard_error_and_is_counted_as_left_out():
    means = binned_means([0.0, 0.1, 5.0], [1.0, 2.0, 3.0], n_bins=2, bins="width")
    assert (means.n_examples.tolist(), means.n_left_out) == ([2], 1)
    assert binned_means([1.0, 1.0], [0.0, 2.0], bins="width").y_mean.tolist() == [1.0]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"bins": "sturges"}, "bins is 'sturges'"),
        ({"n_bins": 0}, "n_bins is 0"),
        ({"min_examples": 1}, "min_examples"),
    ],
)
def test_bins_refuse_bad_input(keywords, message):
    with pytest.raises(InputError, match=message):
        binned_means([0.0, 1.0], [0.0, 1.0], **keywords)
