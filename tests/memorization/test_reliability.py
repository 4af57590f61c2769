"""Reliability against the known share of chance in a binomial model."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.memorization import feldman_zhang, reliability


def binomial_model(drawn, n_references, n_examples=6000, seed=0):
    """Tables, and the variance of the true scores and of chance at that number of models."""
    generator = np.random.default_rng(seed)
    chance_in, chance_out = generator.uniform(0.7, 1.0, n_examples), generator.uniform(0.0, 0.9, n_examples)
    tables = drawn(chance_in, chance_out, n_references=n_references, seed=seed + 1)
    chance = np.mean(chance_in * (1 - chance_in) + chance_out * (1 - chance_out)) / (n_references / 2)
    return tables, np.var(chance_in - chance_out), chance


@pytest.mark.parametrize("n_references", [8, 16, 32])
def test_it_is_the_share_of_variance_that_is_not_chance(drawn, n_references):
    tables, true_variance, chance = binomial_model(drawn, n_references)
    result = reliability(tables.correct, tables.membership)
    assert result["reliability"] == pytest.approx(true_variance / (true_variance + chance), abs=0.02)
    assert result["split_half"] == pytest.approx(true_variance / (true_variance + 2 * chance), abs=0.02)
    assert result["n_references"] == n_references


def test_the_number_of_models_it_asks_for_gives_the_wanted_reliability(drawn):
    tables, true_variance, chance = binomial_model(drawn, 16)
    needed = reliability(tables.correct, tables.membership, wanted=0.9)["n_references_needed"]
    assert needed % 2 == 0
    assert true_variance / (true_variance + chance * 16 / needed) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("n_references", [8, 24])
def test_for_the_reliability_there_is_it_asks_for_the_models_there_are(drawn, n_references):
    tables, _, _ = binomial_model(drawn, n_references, n_examples=1000)
    there_is = reliability(tables.correct, tables.membership)["reliability"]
    assert reliability(tables.correct, tables.membership, wanted=there_is)["n_references_needed"] == n_references


def test_its_root_bounds_the_correlation_with_the_truth(drawn):
    generator = np.random.default_rng(0)
    chance_in, chance_out = generator.uniform(0.7, 1.0, 6000), generator.uniform(0.0, 0.9, 6000)
    tables = drawn(chance_in, chance_out, seed=1)
    observed = np.corrcoef(feldman_zhang(tables.correct, tables.membership), chance_in - chance_out)[0, 1]
    assert observed == pytest.approx(np.sqrt(reliability(tables.correct, tables.membership)["reliability"]), abs=0.02)


def test_scores_that_are_chance_alone_have_none_and_no_number_of_models_is_named(drawn):
    for seed in range(4):
        tables = drawn(np.full(3000, 0.8), np.full(3000, 0.5), seed=seed)
        result = reliability(tables.correct, tables.membership)
        assert result["reliability"] < 0.1
        if result["split_half"] <= 0:
            assert (result["reliability"], result["n_references_needed"]) == (0.0, None)
            break
    else:
        pytest.fail("none of four tables of chance alone had a correlation at or below zero")


def test_models_that_agree_in_full_are_enough_at_two():
    half = np.random.default_rng(0).random((4, 50)) < 0.5
    half[0], half[1] = True, False
    membership = np.concatenate([half, ~half])
    correct = np.where(np.arange(50) < 10, membership, True)
    result = reliability(correct, membership)
    assert result["reliability"] == pytest.approx(1.0)
    assert result["n_references_needed"] == 2


@pytest.mark.parametrize("block_values", [20, 10**9])
def test_odd_and_unequal_sides_are_halved_too(monkeypatch, block_values):
    monkeypatch.setattr(import_module("hf_privacy.memorization.reliability"), "_BLOCK_VALUES", block_values)
    generator = np.random.default_rng(0)
    membership = generator.random((9, 400)) < 0.7
    membership[:2], membership[2:4] = True, False
    correct = np.where(np.arange(400) < 200, membership, True)
    assert reliability(correct, membership)["split_half"] == pytest.approx(1.0)


def test_a_seed_gives_one_result(drawn):
    tables, _, _ = binomial_model(drawn, 8, n_examples=100)
    first = reliability(tables.correct, tables.membership, seed=3)
    assert first == reliability(tables.correct, tables.membership, seed=3)
    assert first != reliability(tables.correct, tables.membership, seed=4)
    assert {type(value) for value in first.values()} <= {float, int}


@pytest.mark.parametrize(
    ("change", "keywords", "message"),
    [
        (lambda c, m: (c[:8], m), {}, "8 rows and reference_membership 16"),
        (lambda c, m: (c[:, :2], m[:, :2]), {}, "needs at least 3"),
        (lambda c, m: (c * 0, m), {}, "same score to every example"),
        (lambda c, m: (c[[0, 8]], m[[0, 8]]), {}, "fewer than 2 of the 2 reference models on a side"),
        (lambda c, m: (c, m), {"wanted": 1.0}, "wanted is 1.0"),
        (lambda c, m: (c, m), {"n_splits": 0}, "n_splits is 0"),
    ],
)
def test_bad_input_is_one_clear_sentence(drawn, change, keywords, message):
    tables = drawn(np.linspace(0.5, 1, 30), np.linspace(0, 0.5, 30))
    with pytest.raises(InputError, match=message) as error:
        reliability(*change(tables.correct, tables.membership), **keywords)
    assert "\n" not in str(error.value)
