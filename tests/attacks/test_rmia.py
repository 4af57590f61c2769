"""RMIA against its dense N × Z form, closed forms and no leakage at all."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_privacy.attacks import rmia
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc

TIE_BREAK = 1e-9


def draw(seed=0, n_references=8, n_examples=200, n_population=150, leak=1.5):
    generator = np.random.default_rng(seed)
    half = generator.random((n_references // 2, n_examples)) < 0.5
    reference_membership = np.stack([half, ~half], axis=1).reshape(n_references, n_examples)
    membership = generator.random(n_examples) < 0.5
    hardness, population_hardness = generator.normal(0, 2, n_examples), generator.normal(0, 2, n_population)

    def probability(logit):
        return 1 / (1 + np.exp(-logit - generator.normal(0, 0.5, logit.shape)))

    return {
        "prob": probability(hardness + leak * membership),
        "reference_probs": probability(hardness + leak * reference_membership),
        "reference_membership": reference_membership,
        "population_prob": probability(population_hardness),
        "population_reference_probs": probability(np.tile(population_hardness, (n_references, 1))),
    }, membership


def dense(
    prob,
    reference_probs,
    reference_membership,
    population_prob,
    population_reference_probs,
    *,
    a=None,
    gamma=1.0,
    population_membership=None,
):
    """The definition, pair by pair."""
    if population_membership is None:
        population_membership = np.zeros(population_reference_probs.shape, dtype=bool)

    def marginal(probs, membership):
        values = []
        for n in range(probs.shape[1]):
            inside, outside = probs[membership[:, n], n], probs[~membership[:, n], n]
            if a is not None:
                values.append(0.5 * ((1 + a) * outside.mean() + 1 - a))
            else:
                values.append(0.5 * (inside.mean() + outside.mean()) if len(inside) else outside.mean())
        return np.array(values)

    ratio = prob / marginal(reference_probs, reference_membership)
    population_ratio = population_prob / marginal(population_reference_probs, population_membership)
    wins = ratio[:, None] / population_ratio[None, :] >= gamma
    return wins.mean(axis=1)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("a", [None, 0.0, 0.3, 1.0])
def test_scores_are_those_of_the_dense_table(a, gamma):
    arguments, _ = draw()
    scores = rmia(**arguments, mode="online" if a is None else "offline", a=a, gamma=gamma)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, dense(**arguments, a=a, gamma=gamma), atol=TIE_BREAK)


@pytest.mark.parametrize("a", [None, 0.3])
def test_population_members_of_references_count_on_their_side(a):
    arguments, _ = draw()
    generator = np.random.default_rng(1)
    population_membership = generator.random(arguments["population_reference_probs"].shape) < 0.3
    population_membership[:, population_membership.all(axis=0)] = False
    mode = "online" if a is None else "offline"
    scores = rmia(**arguments, mode=mode, a=a, population_membership=population_membership)
    expected = dense(**arguments, a=a, population_membership=population_membership)
    np.testing.assert_allclose(scores, expected, atol=TIE_BREAK)


def from_nonmembers(arguments, membership):
    """No population was set aside: the target's non-members take its place."""
    outside = ~membership
    return arguments | {
        "population_prob": arguments["prob"][outside],
        "population_reference_probs": arguments["reference_probs"][:, outside],
        "population_membership": arguments["reference_membership"][:, outside],
    }


GAMMAS = [0.25, 0.5, 1.0, 1.1, 2.0, 8.0]


@pytest.mark.parametrize("a", [None, 0.0, 0.3])
@pytest.mark.parametrize("set_aside", [True, False])
@pytest.mark.parametrize("n_levels", [None, 6])
def test_null_behaviour_members_and_nonmembers_are_compared_with_one_population(a, set_aside, n_levels):
    # Left out of its own comparison, a non-member would be told by that: AUC .626 at γ = .5, .412 at γ = 2.
    areas = {gamma: [] for gamma in GAMMAS}
    for seed in range(60):
        arguments, membership = draw(seed, n_examples=80, n_population=40, leak=0.0)
        if n_levels is not None:  # ties, as a hard label or a rounded answer makes them
            for name in ("prob", "reference_probs", "population_prob", "population_reference_probs"):
                arguments[name] = (1 + np.floor(arguments[name] * n_levels)) / (n_levels + 1)
        if not set_aside:
            arguments = from_nonmembers(arguments, membership)
        for gamma, found in areas.items():
            found.append(
                auc(rmia(**arguments, mode="online" if a is None else "offline", a=a, gamma=gamma), membership)
            )
    for found in areas.values():
        assert np.mean(found) == pytest.approx(0.5, abs=4 * np.std(found) / np.sqrt(60))
        if n_levels is None:  # whatever γ, the order is that of r_x; of tied ones rounding has a say
            assert np.allclose(found, areas[1.0], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 20.0), st.sampled_from([None, 0.0, 0.5, 1.0]), st.booleans())
def test_the_order_is_that_of_the_ratio_whatever_gamma_and_population(seed, gamma, a, set_aside):
    arguments, membership = draw(seed, n_references=4, n_examples=30, n_population=7)
    membership[:2] = True, False
    out_mean = np.array(
        [arguments["reference_probs"][~arguments["reference_membership"][:, n], n].mean() for n in range(30)]
    )
    mean = arguments["reference_probs"].mean(axis=0) if a is None else 0.5 * ((1 + a) * out_mean + 1 - a)
    arguments = arguments if set_aside else from_nonmembers(arguments, membership)
    scores = rmia(**arguments, mode="online" if a is None else "offline", a=a, gamma=gamma)
    assert auc(scores, membership) == pytest.approx(auc(arguments["prob"] / mean, membership), abs=1e-9)


def test_online_denominator_is_the_plain_mean_of_balanced_references():
    arguments, _ = draw()
    arguments["reference_probs"] = np.random.default_rng(0).random((8, 200))
    n_in = arguments["reference_membership"].sum(axis=0)
    assert np.all(n_in == 4)
    ratio = arguments["prob"] / arguments["reference_probs"].mean(axis=0)
    population_ratio = arguments["population_prob"] / arguments["population_reference_probs"].mean(axis=0)
    expected = (ratio[:, None] >= population_ratio[None, :]).mean(axis=1)
    np.testing.assert_allclose(rmia(**arguments), expected, atol=TIE_BREAK)


def test_peer_error_denominator_over_the_larger_half_of_out_scores():
    # Privacy Meter and PrivacyGuard take the larger half of the OUT values for IN ones: .831 where .715 is right.
    out_values = np.array([0.1, 0.2, 0.6, 0.7])  # mean 0.4; larger half 0.65
    arguments = {
        "prob": [0.5],
        "reference_probs": out_values[:, None],
        "reference_membership": np.zeros((4, 1), dtype=bool),
        "population_prob": [0.5, 0.5],
        "population_reference_probs": np.array([[0.45, 0.55]] * 4),
    }
    # r_x = 0.5/0.4 beats both; over the larger half it would be 0.5/0.65 and beat neither.
    assert rmia(**arguments, mode="offline", a=1.0)[0] == pytest.approx(1.0, abs=TIE_BREAK)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_ratios_that_tie_with_the_population_count_as_dominated(gamma):
    # r_x/r_z ≥ γ: equality wins. Powers of two, so that no rounding decides.
    generator = np.random.default_rng(0)
    powers = 0.5 ** generator.integers(0, 5, (2, 60))
    arguments = {
        "prob": powers[0],
        "reference_probs": np.full((2, 60), 0.5),
        "reference_membership": np.array([[True] * 60, [False] * 60]),
        "population_prob": powers[1],
        "population_reference_probs": np.full((2, 60), 0.5),
    }
    np.testing.assert_allclose(rmia(**arguments, gamma=gamma), dense(**arguments, gamma=gamma), atol=TIE_BREAK)


def test_ties_in_the_share_are_broken_by_the_ratio_within_zero_and_one():
    arguments, _ = draw(n_population=3, leak=4.0)
    ratio = arguments["prob"] / arguments["reference_probs"].mean(axis=0)
    scores, share = rmia(**arguments), dense(**arguments)
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert len(np.unique(share)) <= 4
    np.testing.assert_array_equal(np.argsort(scores), np.lexsort((ratio, share)))


def test_probabilities_that_underflow_give_no_nan():
    arguments, _ = draw()
    for name in ("prob", "reference_probs"):
        arguments[name][..., :5] = 0.0  # 0/0
    arguments["prob"][6] = 0.0
    arguments["population_prob"][:2] = 0.0
    arguments["population_reference_probs"][:, 0] = 0.0
    for mode, a in (("online", None), ("offline", 1.0)):
        scores = rmia(**arguments, mode=mode, a=a)
        assert np.isfinite(scores).all()
        assert scores[6] < 0.1


def test_no_table_of_examples_by_population_is_made():
    arguments, _ = draw(n_references=2, n_examples=20_000, n_population=5_000)
    tracemalloc.start()
    rmia(**arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6  # the dense table takes 100 MB as booleans, 800 MB as ratios


def spoil(what):
    arguments, _ = draw(n_references=4, n_examples=10, n_population=6)
    if what == "no a":
        arguments["mode"] = "offline"
    elif what == "a online":
        arguments["a"] = 0.3
    elif what == "a range":
        arguments.update(mode="offline", a=1.5)
    elif what == "gamma":
        arguments["gamma"] = 0.0
    elif what == "mode":
        arguments["mode"] = "both"
    elif what == "log-probabilities":
        arguments["prob"] = np.log(arguments["prob"])
    elif what == "reference range":
        arguments["reference_probs"][1, 2] = 1.5
    elif what == "NaN":
        arguments["population_reference_probs"][1, 2] = np.nan
    elif what == "always IN":
        arguments["reference_membership"][:, :3] = True
    elif what == "always OUT":
        arguments["reference_membership"][:, :3] = False
    elif what == "population always IN":
        arguments["population_membership"] = np.ones((4, 6), dtype=bool)
    elif what == "no reference":
        for name in ("reference_probs", "reference_membership", "population_reference_probs"):
            arguments[name] = arguments[name][:0]
    elif what == "population rows":
        arguments["population_reference_probs"] = arguments["population_reference_probs"][:3]
    elif what == "columns":
        arguments["prob"] = arguments["prob"][:9]
    elif what == "membership type":
        arguments["reference_membership"] = arguments["reference_membership"].astype(int)
    elif what == "membership shape":
        arguments["population_membership"] = np.zeros((4, 5), dtype=bool)
    elif what == "empty population":
        arguments["population_prob"] = []
    elif what == "one side's bins":
        arguments["bins"] = np.zeros(10, dtype=int)
    elif what == "empty bins":
        arguments.update(bins=np.arange(10) // 5, population_bins=np.ones(6, dtype=int))
    elif what == "bins in halves":
        arguments.update(bins=np.full(10, 0.5), population_bins=np.ones(6, dtype=int))
    return arguments


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no a", "a is missing and mode='offline' needs it: find it with tune_rmia_a"),
        ("a online", "a is 0.3 and mode 'online'"),
        ("a range", r"a is 1.5: pass a number in \[0, 1\]"),
        ("gamma", "gamma is 0.0"),
        ("mode", "mode is 'both': pass 'online' or 'offline'"),
        ("log-probabilities", "prob reaches from -"),
        ("reference range", "reference_probs reaches from .* to 1.5"),
        ("NaN", "population_reference_probs holds 1 NaN"),
        ("always IN", "3 of 10 examples are IN for all 4 reference models"),
        ("always OUT", "3 of 10 examples are OUT for all 4 reference models: use mode='offline'"),
        ("population always IN", "6 of 6 population examples are IN for all 4"),
        ("no reference", "reference_probs hold no reference model"),
        ("population rows", "population_reference_probs has 3 rows and reference_probs 4"),
        ("columns", r"reference_probs has shape \(4, 10\) and prob \(9,\)"),
        ("membership type", "reference_membership has dtype int64"),
        ("membership shape", r"population_membership has shape \(4, 5\): pass \(4, 6\)"),
        ("empty population", r"population_prob has shape \(0,\)"),
        ("one side's bins", "population_bins is missing and bins given: pass both, or neither"),
        ("empty bins", "bins put 5 of 10 examples where there is no population example"),
        ("bins in halves", "bins holds values that are no classes"),
    ],
)
def test_bad_input_is_refused_with_one_sentence(what, message):
    with pytest.raises(InputError, match=message) as error:
        rmia(**spoil(what))
    assert "\n" not in str(error.value)
