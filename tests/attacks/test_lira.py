"""LiRA against loops over scipy.stats, closed forms and no leakage at all."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import norm

from hf_privacy.attacks import lira
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc

VARIANCES = ("per_example", "pooled", "shrunk")


def paired_membership(generator, n_references, n_examples):
    """Random halves in complementary pairs, as reference models are planned."""
    half = generator.random((n_references // 2, n_examples)) < 0.5
    return np.stack([half, ~half], axis=1).reshape(n_references, n_examples)


def draw(seed=0, n_references=16, n_examples=300, leak=1.0):
    generator = np.random.default_rng(seed)
    reference_membership = paired_membership(generator, n_references, n_examples)
    membership = generator.random(n_examples) < 0.5
    hardness, spread = generator.normal(0, 3, n_examples), generator.uniform(0.5, 1.5, n_examples)
    noise = generator.normal(size=(n_references + 1, n_examples)) * spread
    references = hardness + leak * reference_membership + noise[1:]
    return hardness + leak * membership + noise[0], references, reference_membership, membership


def by_loop(signal, references, reference_membership, mode, variance, prior_degrees=8.0):
    """Example by example, as methods write it."""
    n_examples = len(signal)
    sides = [[references[reference_membership[:, n] == side, n] for n in range(n_examples)] for side in (True, False)]
    deviations = []
    for side in sides:
        pooled = sum(len(x) * np.var(x) for x in side) / sum(len(x) - 1 for x in side)
        deviations.append(
            {
                "per_example": lambda x: np.std(x, ddof=1),
                "pooled": lambda x, pooled=pooled: np.sqrt(pooled),
                "shrunk": lambda x, pooled=pooled: np.sqrt(
                    (prior_degrees * pooled + len(x) * np.var(x)) / (prior_degrees + len(x) - 1)
                ),
            }[variance]
        )
    scores = []
    for n in range(n_examples):
        inside, outside = sides[0][n], sides[1][n]
        if mode == "offline":
            scores.append(norm.cdf(signal[n], outside.mean(), deviations[1](outside)))
        else:
            scores.append(
                norm.logpdf(signal[n], inside.mean(), deviations[0](inside))
                - norm.logpdf(signal[n], outside.mean(), deviations[1](outside))
            )
    return np.array(scores)


@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("variance", VARIANCES)
def test_scores_are_those_of_a_loop_over_scipy(mode, variance):
    signal, references, reference_membership, _ = draw()
    expected = by_loop(signal, references, reference_membership, mode, variance)
    scores = lira(signal, references, reference_membership, mode=mode, variance=variance)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-9)


def test_shrinking_goes_from_per_example_to_pooled():
    signal, references, reference_membership, _ = draw()
    arguments = (signal, references, reference_membership)
    for prior_degrees, variance in ((1e-9, "per_example"), (1e9, "pooled")):
        shrunk = lira(*arguments, variance="shrunk", prior_degrees=prior_degrees)
        np.testing.assert_allclose(shrunk, lira(*arguments, variance=variance), rtol=1e-5, atol=1e-5)


def test_scores_of_known_gaussians_are_the_closed_form():
    # IN references 4 ± 1 around 5, OUT 0 ± 1 around 1: equal variances 2, so the ratio is linear in the signal.
    references = np.array([[4.0] * 3, [6.0] * 3, [0.0] * 3, [2.0] * 3])
    reference_membership = np.array([[True] * 3] * 2 + [[False] * 3] * 2)
    signal = np.array([1.0, 3.0, 5.0])
    expected = ((signal - 1) ** 2 - (signal - 5) ** 2) / (2 * 2.0)
    np.testing.assert_allclose(lira(signal, references, reference_membership), expected, atol=1e-12)
    offline = lira(signal, references, reference_membership, mode="offline")
    np.testing.assert_allclose(offline, norm.cdf((signal - 1) / np.sqrt(2)), atol=1e-12)


@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("variance", VARIANCES)
def test_members_score_higher(mode, variance):
    signal, references, reference_membership, membership = draw(n_examples=1000, leak=2.0)
    scores = lira(signal, references, reference_membership, mode=mode, variance=variance)
    assert auc(scores, membership) > 0.75
    assert auc(scores, membership) > auc(signal, membership) + 0.1


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_null_behaviour_random_membership_has_an_auc_of_one_half(mode):
    areas = []
    for seed in range(40):
        signal, references, reference_membership, membership = draw(seed, n_references=8, leak=0.0)
        areas.append(auc(lira(signal, references, reference_membership, mode=mode), membership))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)  # one area has a spread of 0.033


@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("variance", VARIANCES)
def test_scores_do_not_depend_on_the_order_of_examples_or_references(mode, variance):
    signal, references, reference_membership, _ = draw()
    generator = np.random.default_rng(0)
    examples, rows = generator.permutation(300), generator.permutation(16)
    scores = lira(signal, references, reference_membership, mode=mode, variance=variance)
    shuffled = lira(
        signal[examples],
        references[rows][:, examples],
        reference_membership[rows][:, examples],
        mode=mode,
        variance=variance,
    )
    np.testing.assert_allclose(shuffled, scores[examples], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("variance", VARIANCES)
def test_scores_do_not_move_with_a_shift_or_a_scale_of_the_signal(mode, variance):
    signal, references, reference_membership, _ = draw()
    scores = lira(signal, references, reference_membership, mode=mode, variance=variance)
    moved = lira(3 * signal + 1e4, 3 * references + 1e4, reference_membership, mode=mode, variance=variance)
    np.testing.assert_allclose(moved, scores, rtol=1e-7, atol=1e-7)


def test_peer_error_two_sided_offline_lira():
    # A hard example that the target gets more wrong than any reference model is no member; the authors' code says so.
    references = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0]])
    far_below, far_above = lira([-9.0, 9.0], references, np.zeros((3, 2), dtype=bool), mode="offline")
    assert far_below < 1e-9
    assert far_above > 1 - 1e-9


def test_peer_error_sigma_is_the_deviation_not_the_variance():
    references, reference_membership = np.array([[0.0], [4.0]]), np.zeros((2, 1), dtype=bool)
    score = lira([4.0], references, reference_membership, mode="offline", variance="per_example")[0]
    assert score == pytest.approx(norm.cdf(2 / np.sqrt(8)), abs=1e-12)


def test_offline_scores_rise_on_where_phi_rounds_to_one():
    references, reference_membership = np.array([[-1.0] * 5, [1.0] * 5]), np.zeros((2, 5), dtype=bool)
    signal = np.array([8.0, 8.5, 9.0, 20.0, 400.0]) * np.sqrt(2)
    assert norm.cdf(9.0) == norm.cdf(20.0) == 1.0
    scores = lira(signal, references, reference_membership, mode="offline")
    assert np.all(np.diff(scores) > 0)
    assert np.all(np.abs(scores - norm.cdf(signal / np.sqrt(2))) < 1e-9)
    assert scores.max() <= 1.0


def test_queries_are_summed_as_independent_evidence():
    first, second = draw(1), draw(2)
    reference_membership = first[2]
    signals, references = np.stack([first[0], second[0]]), np.stack([first[1], second[1]])
    both = lira(signals, references, reference_membership)
    one_by_one = [lira(signals[q], references[q], reference_membership) for q in range(2)]
    np.testing.assert_allclose(both, sum(one_by_one), atol=1e-12)
    offline = lira(signals, references, reference_membership, mode="offline")
    distances = [norm.ppf(lira(signals[q], references[q], reference_membership, mode="offline")) for q in range(2)]
    np.testing.assert_allclose(offline, norm.cdf(sum(distances) / np.sqrt(2)), atol=1e-9)


def test_one_query_is_no_query_axis():
    signal, references, reference_membership, _ = draw()
    for mode in ("online", "offline"):
        np.testing.assert_array_equal(
            lira(signal[None], references[None], reference_membership, mode=mode),
            lira(signal, references, reference_membership, mode=mode),
        )


def test_a_memory_mapped_float32_store_is_read_as_float64(tmp_path):
    signal, references, reference_membership, _ = draw()
    stored = np.lib.format.open_memmap(tmp_path / "store.npy", mode="w+", dtype=np.float32, shape=references.shape)
    stored[:] = references
    expected = lira(signal, references.astype(np.float32).astype(np.float64), reference_membership)
    np.testing.assert_array_equal(lira(signal, stored, reference_membership), expected)


def test_offline_needs_no_in_references():
    signal, references, _, _ = draw()
    assert np.isfinite(lira(signal, references, np.zeros(references.shape, dtype=bool), mode="offline")).all()


def test_fifty_thousand_examples_take_no_loop_over_examples():
    signal, references, reference_membership, _ = draw(n_examples=50_000)
    start = time.perf_counter()
    lira(signal, references, reference_membership)
    assert time.perf_counter() - start < 2.0  # a loop over examples takes several


def spoil(what):
    signal, references, reference_membership, _ = draw(n_references=4, n_examples=10)
    arguments = {"mode": "online", "variance": "pooled"}
    if what == "always IN":
        reference_membership[:, :3] = True
    elif what == "always OUT":
        reference_membership[:, :2] = False
    elif what == "unknown mode":
        arguments["mode"] = "on-line"
    elif what == "unknown variance":
        arguments["variance"] = "global"
    elif what == "one IN reference":
        reference_membership[:, 0] = [True, False, False, False]
        arguments["variance"] = "per_example"
    elif what == "one reference":
        references, reference_membership = references[:1], reference_membership[:1]
    elif what == "one pair":
        references, reference_membership = references[:2], reference_membership[:2]
    elif what == "constant":
        references = np.full_like(references, 0.1)
    elif what == "constant example":
        references[:, 4] = 0.3
        arguments["variance"] = "per_example"
    elif what == "NaN reference":
        references[2, 1] = np.nan
    elif what == "NaN signal":
        signal[1] = np.nan
    elif what == "other examples":
        signal = signal[:9]
    elif what == "other membership":
        reference_membership = reference_membership[:, :9]
    elif what == "integer membership":
        reference_membership = reference_membership.astype(int)
    elif what == "one row":
        references = references[0]
    elif what == "other queries":
        signal, references = np.stack([signal] * 2), np.stack([references] * 3)
    elif what == "no example":
        signal, references, reference_membership = signal[:0], references[:, :0], reference_membership[:, :0]
    elif what == "prior":
        arguments.update(variance="shrunk", prior_degrees=0)
    return (signal, references, reference_membership), arguments


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("always IN", "3 of 10 examples IN for all 4 reference models"),
        ("always OUT", "2 of 10 examples OUT for all 4 reference models: use mode='offline'"),
        ("unknown mode", "mode is 'on-line': pass one of online, offline"),
        ("unknown variance", "variance is 'global': pass one of per_example, pooled, shrunk"),
        ("one IN reference", "needs 2 IN reference models per example and 1 of 10"),
        ("one reference", "1 reference models: pass at least 2"),
        ("one pair", "no example has 2 OUT reference models"),
        ("constant", "zero variance over the OUT reference models for every example"),
        ("constant example", "zero variance over the OUT reference models for 1 of 10 examples"),
        ("NaN reference", "reference_signals holds 1 NaN"),
        ("NaN signal", "signal holds 1 NaN"),
        ("other examples", "signal has 9 examples of 1 queries and reference_signals 10 of 1"),
        ("other membership", r"reference_membership has shape \(4, 9\): pass \(4, 10\)"),
        ("integer membership", "reference_membership has dtype int64: pass booleans"),
        ("one row", r"signal has shape \(10,\) and reference_signals \(10,\)"),
        ("other queries", "signal has 10 examples of 2 queries and reference_signals 10 of 3"),
        ("no example", "signal is empty"),
        ("prior", "prior_degrees is 0"),
    ],
)
def test_bad_input_is_refused_with_one_sentence(what, message):
    arguments, keywords = spoil(what)
    with pytest.raises(InputError, match=message) as error:
        lira(*arguments, **keywords)
    assert "\n" not in str(error.value)
