"""Quantile regression (QMIA): the hinge against what non-members with such features show."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc

# The package gives the function this name.
module = importlib.import_module("hf_privacy.attacks.quantile_regression")


def draw(generator, n_examples, shift=0.0):
    """Hinges N(3x, 0.3 + x), members' ``shift`` standard deviations higher, and features (x, noise)."""
    features = generator.random((n_examples, 2))
    spread = 0.3 + features[:, 0]
    return generator.normal(10.0 * features[:, 0] + shift * spread, spread), features


@pytest.mark.parametrize("estimator", ["linear", "gradient_boosting"])
def test_the_false_positive_rate_is_the_stated_one_at_every_level(estimator):
    generator = np.random.default_rng(0)
    levels, rates = np.array([0.05, 0.1, 0.25, 0.5]), []
    for seed in range(120 if estimator == "linear" else 40):
        calibration, hinge = draw(generator, 100), draw(generator, 500)
        scores = attacks.quantile_regression(
            *hinge, *calibration, quantiles=(0.25, 0.75), holdout=0.5, estimator=estimator, seed=seed
        )
        rates.append([np.mean(scores >= 1.0 - level) for level in levels])
    # 50 held-out non-members and the example: at most ⌊51·α⌋ of 51 are called members, on average exactly so.
    expected, error = np.floor(51 * levels) / 51, np.std(rates, axis=0) / np.sqrt(len(rates))
    assert np.all(np.mean(rates, axis=0) <= levels + 3.5 * error)
    assert np.all(np.abs(np.mean(rates, axis=0) - expected) <= 3.5 * error)


def test_the_rate_holds_for_a_regression_that_learns_nothing():
    generator, rates = np.random.default_rng(1), []
    for seed in range(120):
        hinge, known = generator.standard_cauchy(300), generator.standard_cauchy(100)
        scores = attacks.quantile_regression(
            hinge, np.ones((300, 1)), known, np.ones((100, 1)), quantiles=(0.25, 0.75), estimator="linear", seed=seed
        )
        rates.append(np.mean(scores >= 0.9))
    assert np.mean(rates) == pytest.approx(2 / 26, abs=3.5 * np.std(rates) / np.sqrt(120))


@pytest.mark.parametrize("estimator", ["linear", "gradient_boosting"])
def test_members_score_higher_as_theory_has_it(estimator):
    # With the true quantiles the scores are N(0, 1) and N(1.5, 1): the AUC is Φ(1.5/√2).
    generator = np.random.default_rng(2)
    membership = np.arange(4000) >= 2000
    hinge, features = draw(generator, 4000, shift=1.5 * membership)
    scores = attacks.quantile_regression(hinge, features, *draw(generator, 1000), estimator=estimator)
    assert auc(hinge, membership) < 0.65
    assert auc(scores, membership) == pytest.approx(ndtr(1.5 / np.sqrt(2)), abs=0.03)


def test_the_rate_is_alike_for_easy_and_hard_examples():
    generator = np.random.default_rng(3)
    hinge, features = draw(generator, 6000)
    scores = attacks.quantile_regression(hinge, features, *draw(generator, 1000), estimator="linear")
    is_easy = features[:, 0] > 0.5
    by_hinge = hinge >= np.quantile(hinge, 0.9)
    assert by_hinge[is_easy].mean() - by_hinge[~is_easy].mean() > 0.15
    called = scores >= 0.9
    assert called[is_easy].mean() - called[~is_easy].mean() == pytest.approx(0.0, abs=0.04)


def test_normal_scores_match_a_loop_of_interpolations():
    generator = np.random.default_rng(4)
    levels = np.array([0.1, 0.5, 0.9])
    quantiles = np.sort(generator.normal(size=(3, 200)), axis=0)
    signal, normal = generator.normal(0.0, 2.0, 200), ndtri(levels)
    expected = []
    for n, value in enumerate(signal):
        low, high = quantiles[0, n], quantiles[-1, n]
        deviation = (high - low) / (normal[-1] - normal[0])
        if value < low:
            expected.append(normal[0] - (low - value) / deviation)
        elif value > high:
            expected.append(normal[-1] + (value - high) / deviation)
        else:
            expected.append(np.interp(value, quantiles[:, n], normal))
    np.testing.assert_allclose(module._normal_score(signal, quantiles, levels, 1.0), expected, atol=1e-9)


def test_quantiles_of_a_normal_distribution_give_its_standard_scores():
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    mean, deviation = np.array([0.0, 5.0]), np.array([1.0, 3.0])
    quantiles = mean + deviation * ndtri(levels)[:, np.newaxis]
    for standard in (-4.0, -1.0, 0.3, 4.0):
        scores = module._normal_score(mean + standard * deviation, quantiles, levels, 1.0)
        np.testing.assert_allclose(scores, standard, atol=1e-9)


def test_quantiles_in_one_place_give_finite_scores():
    scores = module._normal_score(np.array([-1.0, 0.0, 1.0]), np.zeros((3, 3)), np.array([0.1, 0.5, 0.9]), 1.0)
    assert np.all(np.isfinite(scores))
    assert np.all(np.diff(scores) > 0)


def test_a_higher_hinge_scores_higher_even_where_quantiles_fitted_apart_cross():
    generator = np.random.default_rng(5)
    known, known_features = generator.standard_t(2, 120), generator.normal(size=(120, 3))
    levels = np.linspace(0.1, 0.9, 9)
    models = module._fit("gradient_boosting", levels, known_features, known, 0)
    features = generator.normal(size=(20, 3))
    assert np.any(np.diff([model.predict(features) for model in models], axis=0) < 0)  # they do cross
    for row in features[:5]:
        scores = attacks.quantile_regression(
            np.linspace(-8, 8, 60), np.tile(row, (60, 1)), known, known_features, quantiles=levels
        )
        assert np.all(np.diff(scores) > 0)


def test_the_share_is_counted_on_held_out_non_members():
    # One feature that says nothing: scores go by the hinge, and the held-out fifth of 100 is ranked by it.
    known = np.random.default_rng(6).normal(size=100)
    held = known[np.random.default_rng(9).permutation(100)[:20]]
    hinge = np.linspace(-3, 3, 25)
    scores = attacks.quantile_regression(
        hinge, np.zeros((25, 1)), known, np.zeros((100, 1)), holdout=0.2, estimator="linear", seed=9
    )
    expected = [(held < value).sum() / 21 for value in hinge]
    np.testing.assert_allclose(scores, expected, atol=2e-9)


def test_order_and_batch_of_the_examples_do_not_matter():
    generator = np.random.default_rng(7)
    hinge, features = draw(generator, 60)
    calibration = draw(generator, 200)
    scores = attacks.quantile_regression(hinge, features, *calibration)
    order = generator.permutation(60)[:30]
    alone = attacks.quantile_regression(hinge[order], features[order], *calibration)
    np.testing.assert_allclose(alone, scores[order], atol=1e-12)


def test_the_seed_decides_and_nothing_else():
    generator = np.random.default_rng(8)
    example, calibration = draw(generator, 50), draw(generator, 100)
    first = attacks.quantile_regression(*example, *calibration, seed=1)
    np.testing.assert_array_equal(attacks.quantile_regression(*example, *calibration, seed=1), first)
    assert np.any(attacks.quantile_regression(*example, *calibration, seed=2) != first)


def test_scale_of_features_does_not_matter():
    generator = np.random.default_rng(9)
    (hinge, features), (known, known_features) = draw(generator, 50), draw(generator, 100)
    scores = attacks.quantile_regression(hinge, features, known, known_features, estimator="linear")
    scaled = attacks.quantile_regression(
        hinge, 1e4 * features + 5, known, 1e4 * known_features + 5, estimator="linear"
    )
    np.testing.assert_allclose(scaled, scores, atol=1e-6)


@pytest.mark.parametrize("estimator", ["linear", "gradient_boosting"])
def test_constant_signals_have_an_auc_of_one_half(estimator):
    scores = attacks.quantile_regression(
        np.ones(10), np.ones((10, 2)), np.ones(40), np.ones((40, 2)), estimator=estimator
    )
    assert auc(scores, np.arange(10) < 5) == 0.5


def test_the_smallest_calibration_set_is_taken():
    generator = np.random.default_rng(10)
    scores = attacks.quantile_regression(*draw(generator, 5), *draw(generator, 20))
    assert np.all((scores >= 0) & (scores <= 1))


GOOD = {
    "hinge": [0.0],
    "features": [[0.0]],
    "calibration_hinge": np.arange(40.0),
    "calibration_features": np.ones((40, 1)),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hinge": []}, "hinge is empty"),
        ({"hinge": [np.nan]}, "hinge holds 1 NaN"),
        ({"features": [[np.inf]]}, "features holds 1 NaN or infinite"),
        ({"features": [0.0]}, r"features has shape \(1,\): pass 1 rows"),
        ({"features": [[0.0], [1.0]]}, r"features has shape \(2, 1\)"),
        ({"features": [[0.0, 1.0]]}, "calibration_features has 1 columns and features 2"),
        ({"calibration_hinge": np.full(40, np.nan)}, "calibration_hinge holds 40 NaN"),
        ({"calibration_features": np.ones((39, 1))}, r"calibration_features has shape \(39, 1\)"),
        (
            {"calibration_hinge": np.ones(19), "calibration_features": np.ones((19, 1))},
            "calibration_hinge has 19 examples: pass at least 20",
        ),
        ({"quantiles": [0.5]}, "at least two rising levels"),
        ({"quantiles": [0.5, 0.25]}, "at least two rising levels"),
        ({"quantiles": [0.5, 1.0]}, "at least two rising levels"),
        ({"quantiles": [0.5, 0.99]}, "quantiles hold 0.99, beyond which 30 calibration examples"),
        ({"estimator": "forest"}, "estimator is 'forest'"),
        ({"holdout": 0.0}, "holdout is 0.0"),
        ({"holdout": 0.05}, "holdout is 0.05, 2 of 40 calibration examples"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        attacks.quantile_regression(**(GOOD | change))


def test_values_that_no_solver_can_fit_are_refused_in_a_sentence(monkeypatch):
    from sklearn.linear_model import QuantileRegressor

    def nothing(*arguments, **others):
        raise TypeError("'NoneType' object is not subscriptable")  # of a solver that gave up

    monkeypatch.setattr(QuantileRegressor, "fit", nothing)
    rng = np.random.default_rng(0)
    features, signal = rng.normal(size=(60, 2)), rng.normal(size=60)
    signal[0] = 1e20
    with pytest.raises(InputError, match=r"calibration_hinge goes from .* to 1e\+20, and no quantile could be fitted"):
        attacks.quantile_regression(signal[:5], features[:5], signal, features, estimator="linear", holdout=0.3)
