"""Token LiRA: against dense covariances, LiRA itself, and data whose likelihood ratio is known."""

from __future__ import annotations

import numpy as np
import pytest
from ragged_draws import pick
from scipy.stats import multivariate_normal, norm

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc


def draw(n_rows=120, longest=12, n_references=6, seed=0, shift=0.4, correlation=0.6, noise=0.3):
    """Offsets, target and references with autoregressive errors, and which of them were trained on which row."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest + 1, n_rows)
    lengths[:3] = 1, 2, longest
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    half = generator.random((n_references // 2, n_rows)) < 0.5
    membership = np.concatenate([half, ~half, generator.random((1, n_rows)) < 0.5])
    level = -generator.uniform(20.0, 40.0, offsets[-1])  # far from 0, so that no value is cut there
    errors = generator.normal(size=(len(membership), offsets[-1]))
    starts = np.zeros(offsets[-1], dtype=bool)
    starts[offsets[:-1]] = True
    for place in range(1, offsets[-1]):
        if not starts[place]:
            errors[:, place] = correlation * errors[:, place - 1] + np.sqrt(1 - correlation**2) * errors[:, place]
    values = level + noise * errors + shift * np.repeat(membership, lengths, axis=1)
    return offsets, values[-1], values[:-1], membership[:-1], membership[-1]


def dense(offsets, target, references, membership, mode, shrinkage):
    """One row at a time, with every covariance written out."""
    n_rows = len(offsets) - 1
    variance, correlation = {}, {}
    for side in (True, False):
        squares = degrees = products = pairs = 0.0
        for row in range(n_rows):
            chosen = [
                references[k][offsets[row] : offsets[row + 1]] for k in np.flatnonzero(membership[:, row] == side)
            ]
            if len(chosen) < 2:
                continue
            away = np.array(chosen) - np.mean(chosen, axis=0)
            squares += (away**2).sum()
            degrees += (len(chosen) - 1) * away.shape[1]
            products += (away[:, :-1] * away[:, 1:]).sum()
            pairs += (len(chosen) - 1) * (away.shape[1] - 1)
        if not degrees:
            continue
        variance[side] = squares / degrees
        correlation[side] = np.clip(products / pairs / variance[side], -0.99, 0.99) if pairs else 0.0
    scores = []
    for row in range(n_rows):
        place = slice(offsets[row], offsets[row + 1])
        n = place.stop - place.start
        log_density = {}
        for side in (True, False) if mode == "online" else (False,):
            mean = references[membership[:, row] == side][:, place].mean(axis=0)
            gap = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
            covariance = variance[side] * ((1 - shrinkage) * correlation[side] ** gap + shrinkage * np.eye(n))
            if mode == "offline":
                weights = np.linalg.solve(covariance, np.ones(n))
                scores.append(norm.cdf(weights @ (target[place] - mean) / np.sqrt(weights.sum())))
            else:
                log_density[side] = multivariate_normal(mean, covariance).logpdf(target[place])
        if mode == "online":
            scores.append(log_density[True] - log_density[False])
    return np.array(scores)


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("correlation", [0.6, -0.5])
def test_a_score_is_that_of_dense_gaussians_a_row_at_a_time(mode, shrinkage, correlation):
    offsets, target, references, membership, _ = draw(correlation=correlation)
    scores = attacks.token_lira(target, references, offsets, membership, mode=mode, shrinkage=shrinkage)
    expected = dense(offsets, target, references, membership, mode, shrinkage)
    np.testing.assert_allclose(scores, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_rows_of_one_token_are_liras(mode):
    generator = np.random.default_rng(1)
    references, membership = -generator.random((6, 80)), np.arange(6)[:, np.newaxis] % 2 == np.arange(80) % 2
    target = -generator.random(80)
    np.testing.assert_allclose(
        attacks.token_lira(target, references, np.arange(81), membership, mode=mode),
        attacks.lira(target, references, membership, mode=mode, variance="pooled"),
        rtol=1e-12,
    )


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_row_has_the_same_score_in_any_order_and_references_in_any_form(mode):
    offsets, target, references, membership, _ = draw()
    scores = attacks.token_lira(target, references, offsets, membership, mode=mode)
    order = np.random.default_rng(2).permutation(120)
    chosen, *flat = pick(order, offsets, target, *references)
    moved = attacks.token_lira(flat[0], np.stack(flat[1:]), chosen, membership[:, order], mode=mode)
    np.testing.assert_allclose(moved, scores[order], rtol=1e-9, atol=1e-9)
    turned = attacks.token_lira(target, list(references[::-1]), offsets, list(membership[::-1]), mode=mode)
    np.testing.assert_allclose(turned, scores, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_members_are_found_and_where_there_is_nothing_to_find_they_are_not(mode):
    found, null = [], []
    for seed in range(4):
        for shift, areas in ((0.2, found), (0.0, null)):
            offsets, target, references, membership, truth = draw(n_rows=800, seed=seed, shift=shift)
            areas.append(auc(attacks.token_lira(target, references, offsets, membership, mode=mode), truth))
    assert min(found) > 0.6
    assert abs(np.mean(null) - 0.5) < 0.035  # 3.4 standard errors of four


def test_the_correlation_of_neighbours_helps_where_there_is_one():
    # Members' tokens move in turn up and down, and the noise of neighbours moves together.
    offsets, target, references, membership, truth = draw(n_rows=1500, longest=20, correlation=0.8, shift=0.0)
    turn = np.where(np.arange(offsets[-1]) % 2 == 0, 0.1, -0.1)
    target = target + turn * np.repeat(truth, np.diff(offsets))
    references = references + turn * np.repeat(membership, np.diff(offsets), axis=1)
    areas = {
        shrinkage: auc(attacks.token_lira(target, references, offsets, membership, shrinkage=shrinkage), truth)
        for shrinkage in (0.0, 0.5, 1.0)
    }
    assert areas[0.0] > areas[0.5] > areas[1.0]


@pytest.mark.parametrize(
    ("references", "membership", "options", "message"),
    [
        ([[-1.0]] * 2, [[True], [False]], {}, r"reference_log_probs has shape \(2, 1\) and log_prob 2 values"),
        ([[-1.0, -1.0]], [[False]], {}, "hold 1 reference models: pass at least 2"),
        ([[-1.0, -1.0]] * 2, [[True], [True]], {}, "1 of 1 examples IN for all 2"),
        ([[-1.0, -1.0]] * 2, [[False], [False]], {}, "use mode='offline'"),
        ([[-1.0, -1.0]] * 2, [[False], [False]], {"mode": "offline"}, "zero variance over the OUT"),
        ([[-1.0, -1.0], [-2.0, -1.0]], [[True], [False]], {}, "no example has 2 OUT reference models"),
        ([[-1.0, -1.0]] * 2, [[0], [1]], {}, "has dtype int"),
        ([[-1.0, np.nan]] * 2, [[False], [False]], {"mode": "offline"}, "reference_log_probs holds 1 NaN"),
        ([[-1.0, -1.0]] * 2, [[False], [False]], {"mode": "both"}, "mode is 'both'"),
        ([[-1.0, -1.0]] * 2, [[False], [False]], {"shrinkage": 2.0}, "shrinkage is 2"),
    ],
)
def test_bad_input_is_refused(references, membership, options, message):
    with pytest.raises(InputError, match=message):
        attacks.token_lira([-1.0, -2.0], references, [0, 2], membership, **options)
