"""Influence pairs against a loop, and a planted pair."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.memorization import feldman_zhang, influence, influence_matrix


@pytest.fixture
def tables():
    generator = np.random.default_rng(0)
    membership = generator.random((11, 30)) < 0.6
    membership[0], membership[1] = True, False
    return (generator.random((11, 17)) < 0.5).astype(float), membership


def by_loop(test_correct, membership):
    return np.array(
        [
            [
                np.mean(test_correct[membership[:, i], j]) - np.mean(test_correct[~membership[:, i], j])
                for j in range(test_correct.shape[1])
            ]
            for i in range(membership.shape[1])
        ]
    )


@pytest.mark.parametrize("block_values", [1, 100, 10**9])
def test_it_equals_a_loop_over_pairs_whatever_the_block(tables, monkeypatch, block_values):
    monkeypatch.setattr(import_module("hf_privacy.memorization.influence"), "_BLOCK_VALUES", block_values)
    expected = by_loop(*tables)
    np.testing.assert_allclose(influence_matrix(*tables), expected, atol=1e-12)
    pairs = influence(*tables, threshold=0.3)
    train, test = np.nonzero(expected >= 0.3)
    assert pairs.train_index.tolist() == train.tolist()
    assert pairs.test_index.tolist() == test.tolist()
    np.testing.assert_allclose(pairs.value, expected[train, test], atol=1e-12)
    assert len(pairs.value) > 10


def test_a_pair_just_at_the_threshold_is_kept():
    # IN 2 of 3 right, OUT 1 of 3: in float64 2/3 − 1/3 is what the caller's own subtraction gives.
    membership = np.array([[True]] * 3 + [[False]] * 3)
    test_correct = np.array([[1.0], [1.0], [0.0], [1.0], [0.0], [0.0]])
    assert len(influence(test_correct, membership, threshold=2 / 3 - 1 / 3).value) == 1


def test_a_planted_pair_is_found_and_nothing_else():
    # Test example 5 is right only for models that saw its only relative, training example 7.
    generator = np.random.default_rng(1)
    half = generator.random((200, 40)) < 0.5
    membership = np.concatenate([half, ~half])
    test_correct = (generator.random((400, 20)) < 0.8).astype(float)
    test_correct[:, 5] = membership[:, 7]
    pairs = influence(test_correct, membership, threshold=0.4)
    assert (pairs.train_index.tolist(), pairs.test_index.tolist(), pairs.value.tolist()) == ([7], [5], [1.0])


def test_the_influence_of_an_example_on_itself_is_its_memorization(tables):
    generator = np.random.default_rng(2)
    _, membership = tables
    correct = generator.random(membership.shape)
    np.testing.assert_allclose(
        np.diag(influence_matrix(correct, membership)), feldman_zhang(correct, membership), atol=1e-12
    )


def test_no_pair_is_three_empty_arrays(tables):
    pairs = influence(tables[0] * 0, tables[1], threshold=0.5)
    assert [len(part) for part in pairs] == [0, 0, 0]


@pytest.mark.parametrize(
    ("change", "keywords", "message"),
    [
        (lambda c, m: (c[:8], m), {}, "test_correct has 8 rows and reference_membership 11"),
        (lambda c, m: (c + 1, m), {}, "test_correct reaches from 1 to 2"),
        (lambda c, m: (c * np.nan, m), {}, "test_correct reaches from nan"),
        (lambda c, m: (c, m.astype(int)), {}, "reference_membership has dtype int64: pass booleans"),
        (lambda c, m: (c[1:], np.delete(m, 0, axis=0) & False), {}, "are OUT for all 10 reference models"),
        (lambda c, m: (c, m), {"threshold": 0.0}, "threshold is 0.0"),
        (lambda c, m: (c, m), {"threshold": float("nan")}, "threshold is nan"),
        (lambda c, m: (c, m), {"threshold": 0.01, "max_pairs": 5}, "more than 5 pairs reach it, as chance brings"),
    ],
)
def test_bad_input_is_one_clear_sentence(tables, change, keywords, message):
    with pytest.raises(InputError, match=message) as error:
        influence(*change(*tables), **keywords)
    assert "\n" not in str(error.value)


def test_a_dense_matrix_that_is_no_longer_small_is_refused():
    wide = np.broadcast_to(np.zeros(1), (2, 10_000))
    with pytest.raises(InputError, match=r"10,000 training × 10,000 test examples .*: use influence\(\)"):
        influence_matrix(wide, np.broadcast_to(np.array([[True], [False]]), (2, 10_000)))
