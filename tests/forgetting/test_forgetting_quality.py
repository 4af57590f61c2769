"""Forgetting quality (NeurIPS 2023): ε of every threshold attack, and what retraining itself gets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.forgetting import example_epsilons, forgetting_quality


def attack_epsilon(called, delta):
    """ε of an attack by the competition's conventions; called: which unlearned and which retrained models it calls."""
    fnr, fpr = np.mean(~called[0]), np.mean(called[1])
    if fpr == 0 and fnr == 0:
        return np.inf
    if fpr == 0 or fnr == 0:
        return 0.0
    found = [0.0]
    if 1 - delta - fpr > 0:
        found.append(np.log(1 - delta - fpr) - np.log(fnr))
    if 1 - delta - fnr > 0:
        found.append(np.log(1 - delta - fnr) - np.log(fpr))
    return max(found)


def brute_force(unlearned, retrained, attacks, delta):
    result = []
    for ours, theirs in zip(unlearned.T, retrained.T, strict=True):
        cuts = np.concatenate([[-np.inf], np.unique(np.concatenate([ours, theirs]))])
        best = 0.0
        for start, low in enumerate(cuts):
            for high in [*cuts[start + 1 :], np.inf] if attacks == "two_sided" else [np.inf]:
                inside = [(low < side) & (side <= high) for side in (ours, theirs)]
                best = max(best, attack_epsilon(inside, delta), attack_epsilon([~side for side in inside], delta))
        result.append(best)
    return np.array(result)


def normal(n_models, n_examples, *, shift=0.0, scale=1.0, seed=0):
    return shift + scale * np.random.default_rng(seed).normal(size=(n_models, n_examples))


@pytest.mark.parametrize("attacks", ["one_sided", "two_sided"])
@pytest.mark.parametrize("delta", [0.0, 0.01, 0.3])
def test_epsilons_are_those_of_a_loop_over_attacks(attacks, delta):
    unlearned = normal(6, 12, shift=1).round(0)  # rounded: many ties
    retrained = normal(9, 12, seed=1).round(0)
    expected = brute_force(unlearned, retrained, attacks, delta)
    np.testing.assert_allclose(example_epsilons(unlearned, retrained, attacks=attacks, delta=delta), expected)
    unlearned, retrained = normal(5, 10, scale=3), normal(5, 10, seed=1)
    expected = brute_force(unlearned, retrained, attacks, delta)
    np.testing.assert_allclose(example_epsilons(unlearned, retrained, attacks=attacks, delta=delta), expected)


def test_epsilon_by_hand():
    # Above 1.5: one half of the unlearned, a quarter of the retrained: ln(2), or below: ln(0.75/0.5).
    unlearned, retrained = [[0.0], [2.0]], [[0.0], [1.0], [1.0], [2.0]]
    assert example_epsilons(unlearned, retrained, delta=0.0)[0] == pytest.approx(np.log(2))
    assert example_epsilons(unlearned, retrained, delta=0.1)[0] == pytest.approx(np.log(0.4 / 0.25))


def test_a_difference_in_spread_is_found_by_two_thresholds():
    unlearned, retrained = normal(64, 50, scale=0.2), normal(64, 50, seed=1)
    one, two = (example_epsilons(unlearned, retrained, attacks=kind) for kind in ("one_sided", "two_sided"))
    assert np.all(two >= one)
    assert np.median(two) > np.median(one) + 0.3


def test_quality_is_the_mean_of_the_halved_bins():
    unlearned, retrained = normal(8, 40, shift=1), normal(10, 40, seed=1)
    epsilons = example_epsilons(unlearned, retrained)
    expected = np.mean([2.0 ** -min(np.floor(epsilon / 0.5), 12) for epsilon in epsilons])
    result = forgetting_quality(unlearned, retrained)
    assert result["forgetting_quality"] == pytest.approx(expected)
    assert result["share_told_apart"] == np.mean(np.isinf(epsilons))


def test_infinite_and_huge_epsilons_share_the_last_bin():
    result = forgetting_quality(normal(4, 20, shift=1000), normal(8, 20, seed=1))
    assert result["forgetting_quality"] == 2.0**-12
    assert (result["share_told_apart"], result["median_epsilon"]) == (1.0, 6.0)
    json.dumps(result, allow_nan=False)


def test_starting_kit_value_error_where_every_attack_is_discarded_is_an_epsilon_of_zero_here():
    constant = np.full((4, 3), 7.0)
    assert example_epsilons(constant, constant).tolist() == [0.0, 0.0, 0.0]
    result = forgetting_quality(constant, constant)
    assert (result["forgetting_quality"], result["null"], result["share_of_null"]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("attacks", ["one_sided", "two_sided"])
def test_starting_kit_gives_retraining_itself_far_less_than_one_so_the_null_is_printed(attacks):
    result = forgetting_quality(normal(64, 200), normal(128, 200, seed=1), attacks=attacks)
    assert 0.05 < result["null"] < 0.4
    assert result["null_min"] <= result["null"] <= result["null_max"]
    assert result["matched"] == pytest.approx(result["null"], rel=0.15)
    assert result["share_of_null"] == pytest.approx(1.0, abs=0.15)


def test_a_perfect_unlearner_scores_the_null_with_few_models_on_average():
    shares = [
        forgetting_quality(normal(4, 200, seed=2 * seed), normal(8, 200, seed=2 * seed + 1))["share_of_null"]
        for seed in range(20)
    ]
    assert np.mean(shares) == pytest.approx(1.0, abs=0.05)


def test_a_bad_unlearner_scores_below_the_null():
    result = forgetting_quality(normal(32, 100, shift=2), normal(64, 100, seed=1))
    assert result["share_of_null"] < 0.2
    assert result["n_matched"] == 32


def test_a_rising_function_of_the_output_changes_nothing():
    unlearned, retrained = normal(12, 30, shift=0.5), normal(12, 30, seed=1)
    once = example_epsilons(unlearned, retrained)
    np.testing.assert_array_equal(once, example_epsilons(np.exp(unlearned), np.exp(retrained)))
    np.testing.assert_array_equal(once, example_epsilons(-unlearned, -retrained))


def test_examples_do_not_touch_each_other_whatever_the_size_of_the_blocks(monkeypatch):
    unlearned, retrained = normal(6, 31, shift=1), normal(9, 31, seed=1)
    whole = example_epsilons(unlearned, retrained)
    # The package exports a function of the module's name, so the module is reached through the function.
    monkeypatch.setitem(example_epsilons.__globals__, "_ENTRIES_AT_ONCE", 60)
    np.testing.assert_array_equal(whole, example_epsilons(unlearned, retrained))


def test_same_seed_same_null():
    tables = normal(6, 20), normal(9, 20, seed=1)
    assert forgetting_quality(*tables, seed=4) == forgetting_quality(*tables, seed=4)
    assert forgetting_quality(*tables, seed=4)["null"] != forgetting_quality(*tables, seed=5)["null"]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"unlearned": normal(1, 5)}, "unlearned has 1 rows: pass at least 2"),
        ({"retrained": normal(3, 5)}, "retrained has 3 rows: pass at least 4"),
        ({"retrained": normal(4, 6)}, "retrained has 6 columns for 5 examples"),
        ({"unlearned": np.full((4, 5), np.nan)}, "unlearned holds 20 NaN"),
        ({"attacks": "logistic"}, "attacks is 'logistic'"),
        ({"delta": 1.0}, "delta is 1.0"),
        ({"bin_width": 0.0}, "bin_width is 0.0"),
        ({"n_bins": 0}, "n_bins is 0"),
        ({"n_splits": 0}, "n_splits is 0"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else next(iter(value)),
)
def test_bad_input_is_refused(keywords, message):
    with pytest.raises(InputError, match=message):
        forgetting_quality(**{"unlearned": normal(4, 5), "retrained": normal(4, 5, seed=1), **keywords})
