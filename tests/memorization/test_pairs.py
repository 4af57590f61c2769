"""Mean memorization from pairs: unbiased, and its spread the error of the mean."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.memorization import feldman_zhang, mean_memorization_of_pairs


def pairs(chance_in, chance_out, *, n_pairs, n_examples=400, seed=0):
    generator = np.random.default_rng(seed)
    membership = np.empty((2 * n_pairs, n_examples), dtype=bool)
    for first in range(0, 2 * n_pairs, 2):
        membership[first] = generator.permutation(n_examples) < n_examples // 2
        membership[first + 1] = ~membership[first]
    correct = generator.random(membership.shape) < np.where(membership, chance_in, chance_out)
    return correct.astype(float), membership


def test_their_mean_is_that_of_the_scores_from_all():
    correct, membership = pairs(0.9, 0.6, n_pairs=5)
    assert mean_memorization_of_pairs(correct, membership).mean() == pytest.approx(
        feldman_zhang(correct, membership).mean(), abs=1e-12
    )


def test_each_is_training_accuracy_less_test_accuracy_where_pairs_are_halves():
    correct, membership = pairs(0.9, 0.6, n_pairs=1)
    accuracies = [correct[membership == side].mean() for side in (True, False)]
    assert mean_memorization_of_pairs(correct, membership)[0] == pytest.approx(accuracies[0] - accuracies[1])


def test_their_spread_is_the_error_of_the_mean():
    found = mean_memorization_of_pairs(*pairs(0.9, 0.6, n_pairs=400))
    # of one pair: √((0.9 · 0.1 + 0.6 · 0.4)/400)
    assert found.std(ddof=1) == pytest.approx(np.sqrt(0.33 / 400), rel=0.15)
    assert found.mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.33 / 400 / 400))


def test_an_odd_number_of_models_is_refused():
    correct, membership = pairs(0.9, 0.6, n_pairs=2)
    with pytest.raises(InputError, match="correct has 3 rows"):
        mean_memorization_of_pairs(correct[:3], membership[:3])


def test_rows_that_are_no_pair_are_refused():
    correct, membership = pairs(0.9, 0.6, n_pairs=2)
    order = [0, 2, 1, 3]
    with pytest.raises(InputError, match="rows 0 and 1 that are no complementary pair"):
        mean_memorization_of_pairs(correct[order], membership[order])
