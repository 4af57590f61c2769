"""Intervals and tests by groups: they hold where the rows of a group are alike, and by row they would not."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy.stats import norm

from hf_privacy.errors import InputError
from hf_privacy.statistics import auc, auc_interval, membership_permutation_test, summarize, tpr_at_fpr
from hf_privacy.statistics.clusters import design_effect, variance_of_mean


def drawn(rng, n_groups, size, alike, shift, *, unequal=False):
    """Scores of so many groups a side, whose rows correlate; members are shifted."""
    sizes = np.full(2 * n_groups, size)
    if unequal:
        sizes = np.maximum(1, rng.lognormal(0, 1, 2 * n_groups) * size / 1.65).astype(int)
    groups = np.repeat(np.arange(2 * n_groups), sizes)
    membership = groups < n_groups
    own = rng.normal(size=2 * n_groups)[groups]
    scores = np.sqrt(alike) * own + np.sqrt(1 - alike) * rng.normal(size=len(groups)) + shift * membership
    return scores, membership, groups


@pytest.mark.parametrize(
    ("n_groups", "size", "alike", "shift", "unequal"),
    [
        (5, 20, 0.3, 0.0, False),
        (10, 20, 0.9, 1.0, False),
        (20, 10, 0.9, 0.0, False),
        (20, 10, 0.9, 2.0, False),
        (20, 20, 0.3, 1.0, True),
        (50, 5, 0.0, 0.0, False),
    ],
)
def test_the_intervals_cover_whatever_groups_have_in_common(n_groups, size, alike, shift, unequal):
    rng = np.random.default_rng(n_groups + size)
    runs, true_auc = 400, norm.cdf(shift / np.sqrt(2))
    true_tpr = norm.sf(norm.isf(0.1) - shift)
    covered, covered_tpr, by_row = 0, 0, 0
    for _ in range(runs):
        scores, membership, groups = drawn(rng, n_groups, size, alike, shift, unequal=unequal)
        low, high = auc_interval(scores, membership, groups=groups)
        covered += low <= true_auc <= high
        rate = tpr_at_fpr(scores, membership, fpr=0.1, groups=groups)
        covered_tpr += rate["low"] <= true_tpr <= rate["high"]
        low, high = auc_interval(scores, membership)
        by_row += low <= true_auc <= high
    # 95 % promised; three standard errors of 400 runs are 3.3 %, and 93 % is what a normal approximation may lose.
    assert covered / runs >= 0.93
    assert covered_tpr / runs >= 0.93
    if alike >= 0.9:
        assert by_row / runs < 0.75


def test_with_many_groups_the_interval_is_no_wider_than_it_must_be():
    rng = np.random.default_rng(1)
    widths, areas = [], []
    for _ in range(200):
        scores, membership, groups = drawn(rng, 100, 5, 0.5, 0.5)
        low, high = auc_interval(scores, membership, groups=groups)
        widths.append(high - low)
        areas.append(auc(scores, membership))
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(areas), rel=0.15)


@pytest.mark.parametrize("ties", [False, True])
def test_rows_that_are_groups_of_their_own_have_the_interval_without_groups(ties):
    rng = np.random.default_rng(0)
    membership = rng.random(300) < 0.4
    scores = rng.normal(size=300) + membership
    scores = np.round(scores) if ties else scores
    assert auc_interval(scores, membership, groups=np.arange(300)) == pytest.approx(auc_interval(scores, membership))
    grouped = tpr_at_fpr(scores, membership, fpr=0.1, groups=np.arange(300))
    plain = tpr_at_fpr(scores, membership, fpr=0.1)
    assert grouped["tpr"] == plain["tpr"]
    assert [grouped[end] for end in ("low", "high")] == pytest.approx(
        [plain[end] for end in ("low", "high")], abs=0.02
    )


def test_groups_of_equal_rows_say_as_much_as_one_row_each():
    rng = np.random.default_rng(3)
    membership = np.arange(160) < 80
    scores = rng.normal(size=160) + 0.5 * membership
    once = auc_interval(scores, membership)
    copies = np.repeat(np.arange(160), 7)
    assert auc_interval(scores[copies], membership[copies], groups=copies) == pytest.approx(once, abs=1e-3)


def test_the_variance_is_obuchowskis():
    """The formula of Obuchowski (1997) for groups of one side each, typed anew as loops over pairs."""
    rng = np.random.default_rng(5)
    scores, membership, groups = drawn(rng, 40, 6, 0.5, 0.7)
    members, others = np.flatnonzero(membership), np.flatnonzero(~membership)
    wins = np.array([[float(scores[i] > scores[j]) for j in others] for i in members])
    theta = wins.mean()
    variance = 0.0
    for of_each, rows in ((wins.mean(axis=1), members), (wins.mean(axis=0), others)):
        names = np.unique(groups[rows])
        spread = sum(float((of_each[groups[rows] == name] - theta).sum()) ** 2 for name in names)
        variance += len(names) / (len(names) - 1) * spread / len(rows) ** 2
    low, high = auc_interval(scores, membership, groups=groups)
    reach = (np.log(high / (1 - high)) - np.log(low / (1 - low))) / 2 * theta * (1 - theta)
    # Student's t with the degrees of freedom of some seventy groups: a little more than the normal 1.96.
    assert 1.96 < reach / np.sqrt(variance) < 2.1


def test_names_and_the_order_of_the_groups_play_no_part():
    rng = np.random.default_rng(2)
    scores, membership, groups = drawn(rng, 12, 6, 0.5, 1.0)
    order = rng.permutation(len(scores))
    names = np.array([f"user {number}" for number in groups])
    whole = summarize(scores, membership, fprs=[0.1], groups=groups)
    again = summarize(scores[order], membership[order], fprs=[0.1], groups=names[order])
    assert again["auc_low"] == pytest.approx(whole["auc_low"], abs=1e-12)
    assert again["tpr_at_fpr"][0] == pytest.approx(whole["tpr_at_fpr"][0], abs=1e-9)


def test_a_perfect_attack_on_few_groups_is_not_certain():
    membership = np.repeat([True, False], 500)
    groups = np.repeat(np.arange(10), 100)
    low, _ = auc_interval(np.arange(1000.0)[::-1], membership, groups=groups)
    assert low == pytest.approx(0.025 ** (1 / 5), abs=1e-9)
    assert summarize(np.arange(1000.0)[::-1], membership, fprs=[0.1], groups=groups)["tpr_at_fpr"][0]["low"] == 0.0


def test_one_group_a_side_says_nothing():
    scores, membership, _ = drawn(np.random.default_rng(0), 1, 50, 0.0, 1.0)
    low, high = auc_interval(scores, membership, groups=membership)
    assert low < 0.1
    assert high > 0.9


def test_design_effects_by_hand():
    values = np.array([0.0, 0.0, 1.0, 1.0])
    # Two groups of two equal rows, one 0 and one 1: the mean of two values that are 0 and 1 has variance 1/4.
    assert variance_of_mean(values, np.array([7, 7, 3, 3])) == pytest.approx(0.25)
    assert design_effect(values, np.array([7, 7, 3, 3])) == pytest.approx(0.25 / (1 / 3 / 4))
    # Rows of a group that differ more than others do not make an interval narrower.
    assert design_effect(values, np.array([0, 1, 0, 1])) == 1.0


def test_groups_of_another_number_of_rows_are_refused():
    for function in (auc_interval, summarize):
        with pytest.raises(InputError, match="groups have shape"):
            function([1.0, 2.0, 3.0], [True, False, True], groups=[1, 2])


# ---- the test of all attacks together ----


def smallest(found: dict) -> float:
    return min([*found["auc"], *(p for values in found["tpr"].values() for p in values)])


@pytest.mark.parametrize("unequal", [False, True])
def test_permuted_by_group_the_smallest_p_value_is_one_and_by_row_it_is_not(unequal):
    rng = np.random.default_rng(4)
    wrong, by_row = [], []
    for _ in range(250):
        scores, membership, groups = drawn(rng, 15, 12, 0.8, 0.0, unequal=unequal)
        table = np.stack([scores, scores + rng.normal(size=len(scores)), np.round(scores)])
        options = {"fprs": (0.05, 0.2), "n_permutations": 199}
        wrong.append(smallest(membership_permutation_test(table, membership, groups=groups, **options)))
        by_row.append(smallest(membership_permutation_test(table, membership, **options)))
    shares = [np.mean(np.array(wrong) <= level) for level in (0.05, 0.2, 0.5)]
    assert shares[0] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 250)
    assert 0.12 < shares[1] < 0.28
    assert 0.4 < shares[2] < 0.6
    assert np.mean(np.array(by_row) <= 0.05) > 0.3


def test_p_values_are_the_share_of_all_choices_of_groups():
    """Unequal groups, all 35 choices of three of seven counted: by the sum of ranks, and by the TPR."""
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(7), [1, 5, 2, 4, 3, 6, 3])
    scores = rng.normal(size=len(groups)) + 0.8 * (groups < 3)
    membership = groups < 3
    ranks = np.argsort(np.argsort(scores)) + 1.0 - (len(groups) + 1) / 2
    sums = [ranks[np.isin(groups, members)].sum() for members in itertools.combinations(range(7), 3)]
    found = membership_permutation_test([scores], membership, fprs=(), n_permutations=20_000, groups=groups)
    assert found["auc"][0] == pytest.approx(np.mean(np.array(sums) >= ranks[membership].sum() - 1e-9), abs=0.012)
    rates = [
        tpr_at_fpr(scores, np.isin(groups, members), fpr=0.3)["tpr"] for members in itertools.combinations(range(7), 3)
    ]
    alone = membership_permutation_test(
        [np.zeros(len(groups)), scores], membership, fprs=[0.3], n_permutations=20_000, groups=groups
    )
    # The AUC of the second attack competes too: corrected p-values are no smaller than the plain share.
    plain = np.mean(np.array(rates) >= tpr_at_fpr(scores, membership, fpr=0.3)["tpr"] - 1e-9)
    assert plain - 0.012 <= alone["tpr"][0.3][1] <= 2 * plain + 0.012
    assert alone["auc"][0] == alone["tpr"][0.3][0] == 1.0


def test_a_real_shift_is_found_beside_attacks_that_find_nothing():
    rng = np.random.default_rng(6)
    scores, membership, groups = drawn(rng, 25, 10, 0.3, 1.5)
    table = np.concatenate([rng.normal(size=(10, len(scores))), scores[None]])
    found = membership_permutation_test(table, membership, fprs=[0.05], n_permutations=999, groups=groups)
    assert found["auc"][-1] == 0.001
    assert found["tpr"][0.05][-1] < 0.025
    assert min(found["auc"][:-1]) > 0.025


def test_blocks_of_permutations_change_nothing(monkeypatch):
    scores, membership, groups = drawn(np.random.default_rng(0), 10, 9, 0.5, 0.5, unequal=True)
    options = {"fprs": [0.1], "n_permutations": 100, "groups": groups}
    found = membership_permutation_test([scores], membership, **options)
    monkeypatch.setattr("hf_privacy.statistics.group_permutation.ENTRIES_AT_ONCE", 7 * len(scores))
    assert membership_permutation_test([scores], membership, **options) == found


def test_a_group_of_both_kinds_is_refused_and_too_few_nonmembers_too():
    membership = [True, False, True, False]
    with pytest.raises(InputError, match="groups hold 1 with members and non-members"):
        membership_permutation_test([[1.0, 2.0, 3.0, 4.0]], membership, fprs=(), groups=[0, 0, 1, 2])
    with pytest.raises(InputError, match=r"fprs hold 0\.01: 2 non-members cannot resolve"):
        membership_permutation_test([[1.0, 2.0, 3.0, 4.0]], membership, fprs=[0.01], groups=[0, 1, 2, 3])


def test_twelve_attacks_on_five_thousand_rows_of_250_authors_take_little_time():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(250), 20)
    scores, membership = rng.normal(size=(12, 5000)), groups < 125
    started = time.process_time()
    membership_permutation_test(scores, membership, fprs=(0.001, 0.01, 0.1), groups=groups)
    assert time.process_time() - started < 12
