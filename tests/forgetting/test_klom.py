"""KLoM: the divergence of binned margins, example by example, and what retraining itself gets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import entropy

from hf_privacy.errors import InputError
from hf_privacy.forgetting import klom, margin_divergence


def normal(n_models, n_examples, *, shift=0.0, seed=0):
    return shift + np.random.default_rng(seed).normal(size=(n_models, n_examples))


@pytest.mark.parametrize("n_bins", [5, 20])
def test_divergence_is_that_of_numpy_histograms(n_bins):
    unlearned, retrained = normal(15, 30, shift=0.5), normal(25, 30, seed=1)
    found = margin_divergence(unlearned, retrained, n_bins=n_bins, floor=1e-4)
    for example in range(30):
        ours, theirs = unlearned[:, example], retrained[:, example]
        edges = np.histogram_bin_edges(np.concatenate([ours, theirs]), bins=n_bins)
        p, q = np.histogram(ours, edges)[0] / 15, np.histogram(theirs, edges)[0] / 25
        q = np.maximum(q, 1e-4)
        expected = sum(p[place] * np.log(p[place] / q[place]) for place in range(n_bins) if p[place] > 0)
        assert found[example] == pytest.approx(max(expected, 0.0))


def test_with_full_bins_it_is_scipys_entropy():
    unlearned = np.repeat([[0.0], [1.0]], [3, 1], axis=0)
    retrained = np.repeat([[0.0], [1.0]], [1, 3], axis=0)
    assert margin_divergence(unlearned, retrained)[0] == pytest.approx(entropy([0.75, 0.25], [0.25, 0.75]))


def test_the_largest_margin_of_an_example_counts():
    """Released code places it on the last edge, in no bin: here it is half of the unlearned models."""
    unlearned, retrained = [[0.0], [9.0]], [[0.0], [0.0]]
    assert margin_divergence(unlearned, retrained)[0] == pytest.approx(0.5 * np.log(0.5) + 0.5 * np.log(0.5 / 1e-5))


def test_margins_beyond_the_clip_count_as_its_ends():
    unlearned, retrained = normal(10, 5, shift=1), normal(10, 5, seed=1)
    far = unlearned.copy()
    far[0] = 1e30
    clipped = unlearned.copy()
    clipped[0] = 3.0
    np.testing.assert_array_equal(
        margin_divergence(far, retrained, clip=(-3, 3)), margin_divergence(clipped, retrained, clip=(-3, 3))
    )


def test_constant_margins_have_no_divergence_and_no_nan():
    same = np.full((4, 3), 2.0)
    assert margin_divergence(same, same).tolist() == [0.0, 0.0, 0.0]
    apart = margin_divergence(same, same + 1)
    np.testing.assert_allclose(apart, -np.log(1e-5))  # the most there can be
    json.dumps(klom(same, same), allow_nan=False)


def test_figures_are_mean_and_percentile_over_examples():
    unlearned, retrained = normal(10, 60, shift=1), normal(12, 60, seed=1)
    values = margin_divergence(unlearned, retrained)
    result = klom(unlearned, retrained)
    assert result["klom_mean"] == pytest.approx(values.mean())
    assert result["klom_percentile_95"] == pytest.approx(np.percentile(values, 95))
    assert (result["n_unlearned"], result["n_retrained"], result["n_matched"]) == (10, 12, 6)


@pytest.mark.parametrize("n_models", [4, 30])
def test_a_perfect_unlearner_scores_the_null_which_is_not_zero(n_models):
    ratios = []
    for seed in range(10):
        result = klom(normal(n_models, 100, seed=2 * seed), normal(2 * n_models, 100, seed=2 * seed + 1))
        assert result["null_mean"] > 0.3
        ratios.append(result["matched_mean"] / result["null_mean"])
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)


def test_a_bad_unlearner_scores_above_the_null():
    result = klom(normal(20, 100, shift=3), normal(40, 100, seed=1))
    assert result["matched_mean"] > 2 * result["null_mean"]
    assert result["matched_percentile_95"] > result["null_percentile_95"]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"retrained": normal(3, 5)}, "retrained has 3 rows: pass at least 4"),
        ({"unlearned": normal(4, 6)}, "retrained has 5 columns for 6 examples"),
        ({"unlearned": [[1.0, np.nan]]}, "unlearned has 1 rows"),
        ({"unlearned": np.full((2, 5), np.inf)}, "unlearned holds 10 NaN or infinite"),
        ({"n_bins": 1}, "n_bins is 1"),
        ({"clip": (1, 1)}, "clip is"),
        ({"floor": 1.0}, "floor is 1"),
        ({"floor": 0.0}, "floor is 0.0"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else next(iter(value)),
)
def test_bad_input_is_refused(keywords, message):
    with pytest.raises(InputError, match=message):
        klom(**{"unlearned": normal(4, 5), "retrained": normal(4, 5, seed=1), **keywords})
