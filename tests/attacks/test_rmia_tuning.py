"""Tuning offline RMIA's parameter by attacking reference models."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.attacks import rmia, tune_rmia_a
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc


def draw(seed=0, n_pairs=3, n_examples=300, n_population=120):
    generator = np.random.default_rng(seed)
    half = generator.random((n_pairs, n_examples)) < 0.5
    membership = np.stack([half, ~half], axis=1).reshape(2 * n_pairs, n_examples)

    def probability(logit):
        return 1 / (1 + np.exp(-logit - generator.normal(0, 0.5, logit.shape)))

    probs = probability(generator.normal(0, 2, n_examples) + 1.5 * membership)
    population = probability(np.tile(generator.normal(0, 2, n_population), (2 * n_pairs, 1)))
    return probs, membership, population


def by_hand(probs, membership, population, grid, targets, left_out, **keywords):
    areas = np.zeros(len(grid))
    for target in targets:
        others = [row for row in range(len(probs)) if row not in left_out(target)]
        for index, a in enumerate(grid):
            scores = rmia(
                probs[target],
                probs[others],
                membership[others],
                population[target],
                population[others],
                mode="offline",
                a=a,
                **keywords,
            )
            areas[index] += auc(scores, membership[target])
    return grid[int(np.argmax(areas))]


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_value_is_the_best_over_attacks_on_references_without_their_partners(gamma):
    grid = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    for seed in range(5):
        arguments = draw(seed)
        expected = by_hand(*arguments, grid, targets=range(4), left_out=lambda k: (k, k ^ 1), gamma=gamma)
        assert tune_rmia_a(*arguments[:2], grid=grid) == expected


def test_partner_that_gives_the_members_away_is_left_out_by_default():
    probs, membership, _ = draw()
    grid = np.linspace(0, 1, 11)
    default = tune_rmia_a(probs, membership, grid=grid)
    partners = np.kron(np.eye(3, dtype=bool), np.ones((2, 2), dtype=bool))
    assert default == tune_rmia_a(probs, membership, grid=grid, leave_out=partners)
    assert default == tune_rmia_a(probs, membership, grid=grid, leave_out=lambda k: [k ^ 1])
    # Rows shuffled, so that partners are no neighbours: found by their membership all the same.
    order = np.array([0, 2, 4, 1, 3, 5])
    targets = [int(np.flatnonzero(order == k)[0]) for k in range(4)]
    shuffled = tune_rmia_a(probs[order], membership[order], grid=grid, targets=targets)
    assert shuffled == default


def test_targets_choose_the_references_to_attack():
    arguments = draw(3)
    grid = [0.0, 0.5, 1.0]
    expected = by_hand(*arguments, grid, targets=[5], left_out=lambda k: (4, 5))
    assert tune_rmia_a(*arguments[:2], grid=grid, targets=[5]) == expected


def test_first_of_equal_values_is_returned():
    probs, membership, _ = draw()
    assert tune_rmia_a(probs, membership, grid=[0.7, 0.7, 0.7]) == 0.7


def test_examples_without_an_out_reference_are_set_aside():
    generator = np.random.default_rng(0)
    probs, _, _ = draw()
    membership = generator.random(probs.shape) < 0.7  # no pairs: some examples are IN for every one that is left
    assert membership[1:].all(axis=0).any()
    assert 0 <= tune_rmia_a(probs, membership, leave_out=lambda k: []) <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": []}, r"grid is \[\]"),
        ({"grid": [0.1, 1.1]}, r"grid holds 1.1: pass a number in \[0, 1\]"),
        ({"targets": [6]}, r"targets goes from 6 to 6 and the rows from 0 to 5"),
        ({"targets": []}, r"targets is empty"),
        ({"leave_out": lambda k: [9]}, r"leave_out\(0\) goes from 9 to 9"),
        ({"leave_out": np.ones((2, 2), dtype=bool)}, r"leave_out has shape \(2, 2\)"),
        ({"leave_out": np.ones((6, 6), dtype=bool)}, "reference model 0 cannot be attacked: 0 of 6"),
    ],
)
def test_bad_input_is_refused_with_one_sentence(change, message):
    with pytest.raises(InputError, match=message):
        tune_rmia_a(*draw()[:2], **change)


def test_one_pair_of_references_leaves_nothing_to_attack_with():
    probs, membership, _ = draw(n_pairs=1)
    with pytest.raises(InputError, match="0 of 2 reference models are left"):
        tune_rmia_a(probs, membership)
