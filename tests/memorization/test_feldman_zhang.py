"""Memorization scores against a loop, a planted case, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.memorization import feldman_zhang, memorization_bin


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    membership = rng.random((9, 50)) < 0.5
    membership[0], membership[1] = True, False
    return rng.random((9, 50)), membership


def test_it_equals_a_loop_over_examples_and_models(drawn):
    correct, membership = drawn
    expected = [
        np.mean([correct[k, n] for k in range(9) if membership[k, n]])
        - np.mean([correct[k, n] for k in range(9) if not membership[k, n]])
        for n in range(50)
    ]
    np.testing.assert_allclose(feldman_zhang(correct, membership), expected, atol=1e-12)


def test_planted_mislabelled_examples_score_near_one_and_repeated_ones_near_zero():
    rng = np.random.default_rng(1)
    membership = np.concatenate([half := rng.random((16, 40)) < 0.5, ~half])
    mislabelled = np.arange(40) < 10
    # A mislabelled example is right only where it was trained on; one with a twin in the data always.
    correct = np.where(mislabelled, membership, True).astype(float)
    scores = feldman_zhang(correct, membership)
    assert (scores[mislabelled] == 1).all()
    assert (scores[~mislabelled] == 0).all()


def test_rows_may_be_memory_mapped_one_by_one(drawn, tmp_path):
    correct, membership = drawn
    rows = []
    for number, row in enumerate(correct):
        np.save(tmp_path / f"{number}.npy", row)
        rows.append(np.load(tmp_path / f"{number}.npy", mmap_mode="r"))
    assert (feldman_zhang(rows, list(membership)) == feldman_zhang(correct, membership)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, m: (c[:8], m), "8 rows and reference_membership 9"),
        (lambda c, m: (c * 2, m), "pass 0 and 1, or probabilities"),
        (lambda c, m: (np.where(c > 0.9, np.nan, c), m), "pass 0 and 1, or probabilities"),
        (lambda c, m: (c, m.astype(int)), "reference_membership has dtype int64: pass booleans"),
        (lambda c, m: (c[:, :40], m), "pass 50 values a row"),
        (lambda c, m: (c[:1], m[:1]), "are IN for all 1 reference models"),
        (lambda c, m: (c[1:2], m[1:2]), "are OUT for all 1 reference models"),
        (lambda c, m: (c[:0], m[:0]), "0 rows"),
    ],
)
def test_bad_input_is_one_clear_sentence(drawn, change, message):
    with pytest.raises(InputError, match=message):
        feldman_zhang(*change(*drawn))


def test_a_score_on_an_edge_falls_in_the_bin_above():
    assert memorization_bin([0.05, 0.1, 0.0999], edges=[0.1]).tolist() == [0, 1, 0]


@pytest.mark.parametrize(("scores", "edges"), [([np.nan], [0.1]), ([0.5], []), ([0.5], [0.5, 0.5]), ([[0.5]], [0.1])])
def test_bins_refuse_bad_input(scores, edges):
    with pytest.raises(InputError):
        memorization_bin(scores, edges=edges)
