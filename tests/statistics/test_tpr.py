"""TPR at a false positive rate: by brute force, honest of a null attack, and its interval where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from hf_privacy.errors import InputError
from hf_privacy.statistics import clopper_pearson, summarize, tpr_at_fpr
from hf_privacy.statistics.tpr import allowed_false_positives


def draw(seed=0, n_members=400, n_nonmembers=1000, decimals=None, shift=1.0, spread=1.2):
    generator = np.random.default_rng(seed)
    scores = np.concatenate([generator.normal(shift, spread, n_members), generator.normal(0, 1, n_nonmembers)])
    return scores if decimals is None else scores.round(decimals), np.arange(len(scores)) < n_members


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("fpr", [0.001, 0.01, 0.0137, 0.1, 0.5])
def test_tpr_is_the_best_of_all_thresholds_that_a_fresh_nonmember_passes_seldom_enough(fpr, decimals):
    scores, membership = draw(decimals=decimals)
    allowed = [
        np.mean(scores[membership] >= threshold)
        for threshold in [*scores, np.inf]
        if (np.sum(scores[~membership] >= threshold) + 1) / 1001 <= fpr
    ]
    assert tpr_at_fpr(scores, membership, fpr=fpr)["tpr"] == max(allowed)


@settings(max_examples=60, deadline=None)
@given(
    n_members=st.integers(1, 4), n_nonmembers=st.integers(1, 5), n_levels=st.integers(1, 6), fpr=st.floats(0.01, 0.99)
)
def test_null_behaviour_over_all_orders_the_tpr_is_never_above_the_target(n_members, n_nonmembers, n_levels, fpr):
    # Without leakage every assignment of membership to the scores is as likely: their mean is the expectation itself.
    n = n_members + n_nonmembers
    scores = np.arange(n) % n_levels
    rates = []
    for chosen in range(2**n):
        membership = np.array([bool(chosen >> bit & 1) for bit in range(n)])
        if membership.sum() == n_members:
            rates.append(tpr_at_fpr(scores, membership, fpr=fpr)["tpr"])
    if rates[0] is None:
        assert allowed_false_positives(n_nonmembers, fpr) < 0
        return
    assert np.mean(rates) <= fpr * (1 + 1e-9)
    if n_levels >= n:  # without ties it is the target, but for the one step that counts allow
        assert np.mean(rates) > fpr - 1 / (n_nonmembers + 1)


def test_tpr_is_never_interpolated():
    # One step from (0, 0) to (0.5, 1): a line would promise a TPR of 0.2 at an FPR of 0.1.
    scores = np.array([1.0] * 10 + [1.0] * 5 + [0.0] * 5)
    assert tpr_at_fpr(scores, np.arange(20) < 10, fpr=0.1)["tpr"] == 0.0


def test_the_conditional_interval_is_clopper_pearsons_of_the_members_found():
    result = tpr_at_fpr(*draw(), fpr=0.01, confidence=0.9)
    expected = clopper_pearson(round(result["tpr"] * 400), 400, confidence=0.9)
    assert (result["conditional_low"], result["conditional_high"]) == expected
    assert result["low"] < expected[0] < expected[1] < result["high"]


def test_a_target_that_the_nonmembers_cannot_resolve_is_refused_with_the_reason():
    result = tpr_at_fpr(*draw(n_nonmembers=998), fpr=0.001)
    assert {key for key, value in result.items() if value is None} == {
        "tpr", "low", "high", "conditional_low", "conditional_high",
    }  # fmt: skip
    assert result["reason"] == "998 non-members cannot resolve a false positive rate of 0.001: at least 999 are needed"
    assert "reason" not in tpr_at_fpr(*draw(n_nonmembers=999), fpr=0.001)


@pytest.mark.parametrize(("n_nonmembers", "fpr"), [(9, 0.1), (29, 0.1), (999, 1e-3), (2, 1 / 3), (69, 0.1)])
def test_a_target_met_exactly_is_not_lost_to_rounding(n_nonmembers, fpr):
    scores = np.arange(n_nonmembers + 1.0)[::-1]  # non-members rank above the member but for the allowed ones
    allowed = round((n_nonmembers + 1) * fpr) - 1
    membership = np.zeros(n_nonmembers + 1, dtype=bool)
    membership[allowed] = True
    assert tpr_at_fpr(scores, membership, fpr=fpr)["tpr"] == 1.0


@pytest.mark.parametrize("fpr", [0, 1, 1.5, -0.1, float("nan"), "low"])
def test_a_target_outside_zero_and_one_is_refused(fpr):
    with pytest.raises(InputError, match="fpr is"):
        tpr_at_fpr(*draw(), fpr=fpr)
    with pytest.raises(InputError, match="fprs holds"):
        summarize(*draw(), fprs=[0.1, fpr])


@pytest.mark.parametrize(
    ("shift", "n", "fpr", "decimals"),
    [
        (0.0, 1000, 0.01, None),
        (1.0, 1000, 0.01, None),
        (2.0, 1000, 0.01, None),
        (2.0, 2500, 0.001, None),
        (1.0, 200, 0.1, None),
        (1.0, 300, 0.05, 0),
    ],
)
def test_the_interval_covers_the_rate_at_that_fpr_in_either_tail(shift, n, fpr, decimals):
    # The conditional one misses it in 37 to 51 % of runs. Of scores rounded to whole numbers the truth is the rate at
    # the lowest of them whose FPR is not above the target.
    truth = norm.sf(norm.isf(fpr) - shift)
    if decimals == 0:
        truth = norm.sf(np.ceil(norm.isf(fpr) + 0.5) - 0.5 - shift)
    too_high = too_low = 0
    for seed in range(300):
        rate = tpr_at_fpr(*draw(seed, n, n, decimals, shift, 1.0), fpr=fpr)
        too_high += rate["low"] > truth
        too_low += rate["high"] < truth
    assert max(too_high, too_low) / 300 <= 0.05  # stated: 0.025 in either tail; three standard errors above


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=40),
    st.lists(st.integers(0, 8), min_size=1, max_size=40),
    st.floats(0.01, 0.9),
    st.floats(0.5, 0.999),
)
def test_the_interval_holds_the_rate_and_grows_with_confidence(members, nonmembers, fpr, confidence):
    scores = np.array(members + nonmembers, dtype=float)
    membership = np.arange(len(scores)) < len(members)
    rate = tpr_at_fpr(scores, membership, fpr=fpr, confidence=confidence)
    if rate["tpr"] is None:
        return
    assert 0.0 <= rate["low"] <= rate["tpr"] <= rate["high"] <= 1.0
    wider = tpr_at_fpr(scores, membership, fpr=fpr, confidence=(1 + confidence) / 2)
    assert wider["low"] <= rate["low"] + 1e-9
    assert wider["high"] >= rate["high"] - 1e-9
    same = tpr_at_fpr(np.exp(scores / 4)[::-1], membership[::-1], fpr=fpr, confidence=confidence)
    assert same == pytest.approx(rate)


def test_a_perfect_attack_on_few_nonmembers_is_not_said_to_be_perfect_at_that_fpr():
    membership = np.arange(800) < 400
    scores = 10.0 * membership + np.random.default_rng(0).normal(size=800)
    few = tpr_at_fpr(scores, membership, fpr=0.003)  # in e^−1.2 = 30 % of draws no non-member lies that high
    many = tpr_at_fpr(scores, membership, fpr=0.01)
    assert (few["tpr"], few["low"], few["high"]) == (1.0, 0.0, 1.0)
    assert many["low"] > 0.9
