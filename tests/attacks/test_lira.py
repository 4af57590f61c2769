"""LiRA against loops over scipy.stats, closed forms and no leakage at all."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hf_privacy.attacks import lira
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc

VARIANCES = ("per_example", "pooled", "shrunk", "global")


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
        pooled = sum(len(x) * np.var(x) for x in side) / max(sum(len(x) - 1 for x in side), 1)
        deviations.append(
            {
                "per_example": lambda x: np.std(x, ddof=1),
                "pooled": lambda x, pooled=pooled: np.sqrt(pooled),
                "shrunk": lambda x, pooled=pooled: np.sqrt(
                    (prior_degrees * pooled + len(x) * np.var(x)) / (prior_degrees + len(x) - 1)
                ),
                "global": lambda x, side=side: np.std(np.concatenate(side)),
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


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_global_variance_makes_do_with_one_reference_a_side(mode):
    signal, references, reference_membership, membership = draw(n_references=2, n_examples=1000, leak=2.0)
    expected = by_loop(signal, references, reference_membership, mode, "global")
    scores = lira(signal, references, reference_membership, mode=mode, variance="global")
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-9)
    assert auc(scores, membership) > 0.7
    with pytest.raises(InputError, match="or use variance='global'"):
        lira(signal, references, reference_membership, mode=mode)


def test_global_variance_is_taken_over_each_side_alone():
    # The authors' fix_variance puts the IN deviation on both sides. Here IN is 4 ± 1 and OUT 0 ± 3 over both examples.
    references = np.array([[3.0, 5.0], [3.0, 5.0], [-3.0, 3.0], [-3.0, 3.0]])
    reference_membership = np.array([[True, True], [True, True], [False, False], [False, False]])
    signal = np.array([2.0, 4.0])
    expected = norm.logpdf(signal, [3, 5], 1.0) - norm.logpdf(signal, [-3, 3], 3.0)
    np.testing.assert_allclose(lira(signal, references, reference_membership, variance="global"), expected, atol=1e-12)


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


def closed_form_draw(*, effect=1.0, in_spread=1.0, n_references=512, n_examples=4000, equal=False):
    """φ ~ N(μ_n, σ_n) without the example and N(μ_n + effect·σ_n, in_spread·σ_n) with it."""
    generator = np.random.default_rng(7)
    hardness = generator.normal(0, 5, n_examples)
    sigma = np.ones(n_examples) if equal else generator.uniform(0.2, 3.0, n_examples)

    def phi(membership):
        noise = generator.normal(size=membership.shape)
        return hardness + sigma * np.where(membership, effect + in_spread * noise, noise)

    reference_membership = paired_membership(generator, n_references, n_examples)
    membership = generator.random(n_examples) < 0.5
    return phi(membership), phi(reference_membership), reference_membership, membership


def exceeded(threshold, mode, effect, in_spread):
    """Chance that a non-member's and a member's score exceed a threshold, by the Gaussians' exact parameters.

    With u = (φ − μ_n)/σ_n the log-likelihood ratio is −log s − (u − d)²/2s² + u²/2.
    """
    if mode == "offline":
        edges = [norm.ppf(threshold)]
    elif in_spread == 1:
        edges = [threshold / effect + effect / 2]
    else:
        quadratic = [0.5 - 0.5 / in_spread**2, effect / in_spread**2]
        constant = -np.log(in_spread) - effect**2 / (2 * in_spread**2) - threshold
        edges = np.sort(np.roots([*quadratic, constant]))
        if np.iscomplexobj(edges):
            return 1.0, 1.0  # below the least value that the ratio takes
    above = [norm.sf(edges[-1], effect * side, in_spread**side) for side in (0, 1)]
    below = [norm.cdf(edges[0], effect * side, in_spread**side) if len(edges) == 2 else 0.0 for side in (0, 1)]
    return above[0] + below[0], above[1] + below[1]


@pytest.mark.parametrize(
    ("mode", "variance", "in_spread"),
    [
        ("online", "per_example", 1.0),
        ("online", "per_example", 1.5),
        ("online", "pooled", 1.0),
        ("online", "pooled", 1.5),
        ("online", "shrunk", 1.5),
        ("offline", "per_example", 1.5),
        ("offline", "pooled", 1.0),
    ],
)
def test_area_and_power_are_those_of_theory_within_sampling_error(mode, variance, in_spread):
    signal, references, reference_membership, membership = closed_form_draw(
        effect=1.0, in_spread=in_spread, equal=variance != "per_example"
    )
    scores = lira(signal, references, reference_membership, mode=mode, variance=variance)
    grid = np.linspace(0, 1, 1001) if mode == "offline" else np.linspace(-8, 25, 1651)
    curve = np.array([exceeded(threshold, mode, 1.0, in_spread) for threshold in grid])[::-1]
    area = np.sum(np.diff(curve[:, 0]) * (curve[1:, 1] + curve[:-1, 1]) / 2)
    n_members, n_nonmembers = int(membership.sum()), int((~membership).sum())
    assert auc(scores, membership) == pytest.approx(
        area, abs=4 * np.sqrt(area * (1 - area) / min(n_members, n_nonmembers))
    )
    for threshold in np.interp([0.01, 0.1], curve[:, 0], grid[::-1]):
        fpr, tpr = exceeded(threshold, mode, 1.0, in_spread)
        for side, rate, n in ((False, fpr, n_nonmembers), (True, tpr, n_members)):
            share = np.mean(scores[membership == side] >= threshold)
            assert share == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / n))


@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("variance", VARIANCES)
def test_members_score_higher(mode, variance):
    signal, references, reference_membership, membership = draw(n_examples=1000, leak=2.0)
    scores = lira(signal, references, reference_membership, mode=mode, variance=variance)
    assert auc(scores, membership) > 0.75
    assert auc(scores, membership) > auc(signal, membership) + 0.1


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


@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("variance", VARIANCES)
def test_a_large_offset_of_the_signal_cancels_nothing(mode, variance):
    signal, references, reference_membership, _ = draw()
    scores = lira(signal, references, reference_membership, mode=mode, variance=variance)
    for offset in (1e6, -1e6):
        moved = lira(signal + offset, references + offset, reference_membership, mode=mode, variance=variance)
        np.testing.assert_allclose(moved, scores, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_sides_far_apart_do_not_spoil_each_others_variance(mode):
    signal, references, reference_membership, _ = draw()
    apart = np.where(reference_membership, references + 1e9, references)
    expected = by_loop(signal, apart, reference_membership, mode, "per_example")
    scores = lira(signal, apart, reference_membership, mode=mode, variance="per_example")
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_per_example_score_does_not_depend_on_its_batch_mates(mode):
    signal, references, reference_membership, _ = draw()
    together = lira(signal, references, reference_membership, mode=mode, variance="per_example")
    alone = [
        lira(signal[[n]], references[:, [n]], reference_membership[:, [n]], mode=mode, variance="per_example")[0]
        for n in range(20)
    ]
    np.testing.assert_array_equal(alone, together[:20])


def test_peer_error_two_sided_offline_lira_loses_area():
    # The authors' code scores −log N(φ; μ_out, σ_out), high on both sides: .60 where one side gives .67.
    signal, references, reference_membership, membership = closed_form_draw(effect=0.62, n_references=64, equal=True)
    outside = np.where(reference_membership, np.nan, references)
    both_sides = -norm.logpdf(signal, np.nanmean(outside, axis=0), np.nanstd(outside))
    one_side = auc(lira(signal, references, reference_membership, mode="offline"), membership)
    assert one_side == pytest.approx(norm.cdf(0.62 / np.sqrt(2)), abs=0.03)
    assert one_side > auc(both_sides, membership) + 0.05


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


def test_peer_error_sigma_is_the_deviation_not_the_variance_online():
    # IN 4 ± 1 around 5, OUT 0 ± 2 around 2, n − 1 = 1: variances 2 and 8.
    references = np.array([[4.0], [6.0], [0.0], [4.0]])
    score = lira([5.0], references, np.array([[True], [True], [False], [False]]), variance="per_example")[0]
    assert score == pytest.approx(norm.logpdf(5, 5, np.sqrt(2)) - norm.logpdf(5, 2, np.sqrt(8)), abs=1e-12)


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
        arguments["variance"] = "fixed"
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
    elif what == "constant sides":
        references = np.where(reference_membership, 0.1, 5.3)
    elif what == "constant IN side":
        references = np.where(reference_membership, 0.1, references)
    elif what == "one value":
        references, arguments["variance"] = np.full_like(references, 0.1), "global"
    elif what == "one global reference":
        references, reference_membership = references[:1], reference_membership[:1] & False
        arguments.update(mode="offline", variance="global")
    elif what == "overflow":
        references[1, 3] = 1e200
    elif what == "infinite reference":
        references[0, 3] = -np.inf
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
        ("unknown mode", "mode is 'on-line': pass 'online' or 'offline'"),
        ("unknown variance", "variance is 'fixed': pass 'per_example' or 'pooled' or 'shrunk' or 'global'"),
        ("one IN reference", "needs 2 IN reference models per example and 1 of 10"),
        ("one reference", "1 reference models: pass at least 2"),
        ("one pair", "no example has 2 OUT reference models"),
        ("constant", "zero variance over the OUT reference models for every example"),
        ("constant example", "zero variance over the OUT reference models for 1 of 10 examples"),
        ("constant sides", "zero variance over the OUT reference models for every example"),
        ("constant IN side", "zero variance over the IN reference models for every example"),
        ("one value", "one and the same value for every example and every OUT reference model"),
        ("one global reference", "1 reference models: pass at least 2"),
        ("overflow", "so large that their squares overflow"),
        ("infinite reference", "reference_signals holds 1 NaN or infinite values of 10"),
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
