"""The test of all attacks together: exact under the null, blind to what must not matter, quick."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from hf_privacy.errors import InputError
from hf_privacy.statistics import auc, membership_permutation_test, tpr_at_fpr
from hf_privacy.statistics.permutation import _log_at_least, _Rates
from hf_privacy.statistics.tpr import allowed_false_positives


def smallest(found: dict) -> float:
    return min([*found["auc"], *(p for values in found["tpr"].values() for p in values)])


def test_without_leakage_the_smallest_of_all_p_values_is_one():
    """Twelve attacks that depend on each other, ties among them: 300 draws of who is a member."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=400)
    scores = np.stack([shared + spread * rng.normal(size=400) for spread in np.linspace(0, 2, 12)])
    scores[3], scores[4] = np.round(scores[3]), scores[4] > 1.5
    wrong = []
    for seed in range(300):
        membership = np.random.default_rng(seed + 1).permutation(400) < 200
        wrong.append(smallest(membership_permutation_test(scores, membership, fprs=(0.01, 0.1), n_permutations=199)))
    shares = [np.mean(np.array(wrong) <= level) for level in (0.05, 0.2, 0.5)]
    # Binomial: at most about 3 standard deviations above, and not far below either.
    assert shares[0] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert 0.13 < shares[1] < 0.27
    assert 0.42 < shares[2] < 0.58


def test_p_values_are_the_share_of_all_permutations_where_these_can_be_counted():
    scores = np.array([[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]])
    membership = np.array([True, True, True, False, False, False])
    extreme = 0
    for members in itertools.combinations(range(6), 3):
        chosen = np.isin(np.arange(6), members)
        extreme += auc(scores[0], chosen) == 1.0
    found = membership_permutation_test(scores, membership, fprs=(), n_permutations=20_000)
    assert found["auc"][0] == pytest.approx(extreme / 20, abs=0.005)


@given(
    seed=st.integers(0, 10_000), ties=st.booleans(), n_members=st.integers(20, 60), fpr=st.sampled_from([0.05, 0.3])
)
@settings(max_examples=40, deadline=None)
def test_the_members_found_are_those_of_the_tpr(seed, ties, n_members, fpr):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(3, 80))
    scores = np.round(2 * scores) if ties else scores
    membership = rng.permutation(80) < n_members
    rates = _Rates(list(scores), membership, fpr)
    for head in (rates.head, 1, 80):  # however far is looked at first
        for row, order in zip(scores, rates.orders, strict=True):
            allowed = allowed_false_positives(80 - n_members, fpr)
            tables = np.stack([membership, rng.permutation(membership)])
            found = order.members_found(tables, np.array([allowed, 3]), head)[0]
            best = max(
                (int((membership & (row >= threshold)).sum()) for threshold in np.unique(row)
                 if (~membership & (row >= threshold)).sum() <= allowed),
                default=0,
            )  # fmt: skip
            assert found == best
        assert found / n_members == tpr_at_fpr(row, membership, fpr=fpr)["tpr"]


def test_the_scale_is_the_negative_hypergeometric_tail():
    log_p = _log_at_least(30, 50, 4)
    for x in range(1, 31):
        # x members precede the fifth non-member where among the first x + 4 at least x are members.
        assert log_p[x] == pytest.approx(hypergeom.logsf(x - 1, 80, 30, x + 4), abs=1e-9)
    assert log_p[0] == 0.0


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_neither_the_order_of_examples_and_attacks_nor_the_scale_of_scores_matters(seed):
    rng = np.random.default_rng(seed)
    scores, membership = rng.normal(size=(3, 120)), rng.permutation(120) < 60
    found = membership_permutation_test(scores, membership, fprs=[0.1], n_permutations=99)
    scaled = membership_permutation_test(np.exp(3 * scores), membership, fprs=[0.1], n_permutations=99)
    assert found == scaled
    turned = membership_permutation_test(scores[::-1], membership, fprs=[0.1], n_permutations=99)
    assert turned["auc"] == found["auc"][::-1]
    assert turned["tpr"][0.1] == found["tpr"][0.1][::-1]


def test_more_attacks_never_make_a_p_value_smaller():
    rng = np.random.default_rng(3)
    membership = np.arange(300) < 150
    scores = rng.normal(size=(8, 300)) + 0.2 * membership
    few = membership_permutation_test(scores[:2], membership, fprs=[0.1])
    many = membership_permutation_test(scores, membership, fprs=[0.1])
    assert all(a <= b for a, b in zip(few["auc"], many["auc"], strict=False))


def test_leakage_of_one_attack_among_many_is_found_in_its_own_figure():
    rng = np.random.default_rng(0)
    membership = np.arange(2000) < 1000
    scores = rng.normal(size=(10, 2000))
    scores[4] += 0.3 * membership
    scores[7, :30] += 10  # 3 % of the members alone
    found = membership_permutation_test(scores, membership, fprs=(0.01, 0.1))
    assert found["auc"][4] == pytest.approx(1 / 2001)
    assert found["tpr"][0.01][7] == pytest.approx(1 / 2001)
    assert found["auc"][7] > 0.05
    assert min(found["auc"][:4]) > 0.05


def test_constant_scores_and_blocks_of_permutations(monkeypatch):
    rng = np.random.default_rng(0)
    membership = rng.permutation(90) < 30
    scores = np.stack([np.zeros(90), rng.normal(size=90)])
    found = membership_permutation_test(scores, membership, fprs=[0.1], n_permutations=100)
    assert found["auc"][0] == found["tpr"][0.1][0] == 1.0
    monkeypatch.setattr("hf_privacy.statistics.permutation.ENTRIES_AT_ONCE", 90 * 7)
    assert membership_permutation_test(scores, membership, fprs=[0.1], n_permutations=100) == found


def test_twelve_attacks_on_five_thousand_examples_take_little_time():
    rng = np.random.default_rng(0)
    membership = rng.permutation(5000) < 2500
    scores = rng.normal(size=(12, 5000))
    started = time.process_time()
    membership_permutation_test(scores, membership, fprs=(0.001, 0.01, 0.1))
    assert time.process_time() - started < 5  # about 0.5 s; the rest is for slow machines


@pytest.mark.parametrize(
    ("scores", "arguments", "said"),
    [
        ([0.0, 1.0], {}, "one row of scores per attack"),
        ([], {}, "one row of scores per attack"),
        ([[0.0, np.nan]], {}, "NaN or infinite"),
        ([[0.0, 1.0]], {"fprs": [0.01]}, "cannot resolve a false positive rate"),
        ([[0.0, 1.0]], {"fprs": [1.5]}, "fprs holds 1.5"),
        ([[0.0, 1.0]], {"fprs": [], "n_permutations": 0}, "n_permutations"),
        ([[0.0, 1.0]], {"fprs": [], "seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_tested_is_refused(scores, arguments, said):
    with pytest.raises(InputError, match=said):
        membership_permutation_test(scores, [True, False], **arguments)
