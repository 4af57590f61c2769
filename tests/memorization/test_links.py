"""Correlations of proxies, detection of wrong labels and the share of leakage, against scipy and planted cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from hf_privacy.errors import InputError
from hf_privacy.memorization import correlation_table, feldman_zhang, leakage_share, links, mislabel_auroc
from hf_privacy.statistics import auc, auc_interval, tpr_at_fpr


def scored(seed=0, n_examples=300, slope=0.5):
    generator = np.random.default_rng(seed)
    scores = np.round(generator.exponential(0.2, n_examples), 1)  # with ties, as few reference models give
    return scores, slope * scores + 0.2 * generator.normal(size=n_examples)


# ---- correlation table ----


def test_each_correlation_is_scipys():
    scores, proxy = scored()
    tied = np.round(proxy, 1)
    table = correlation_table(scores, {"proxy": proxy, "tied": tied}, n_resamples=100)
    for name, values in (("proxy", proxy), ("tied", tied)):
        assert table[name]["pearson"] == pytest.approx(pearsonr(scores, values).statistic)
        assert table[name]["spearman"] == pytest.approx(spearmanr(scores, values).statistic)
        assert table[name]["cosine"] == pytest.approx(
            scores @ values / np.linalg.norm(scores) / np.linalg.norm(values)
        )
        assert table[name]["n_examples"] == 300
    assert {type(value) for value in table["proxy"].values()} <= {float, int}


def test_each_interval_is_that_of_scipy_on_the_same_resamples():
    scores, proxy = scored(n_examples=40)
    table = correlation_table(scores, {"proxy": proxy}, n_resamples=200, confidence=0.9, seed=5)
    generator, by_hand = np.random.default_rng(5), {"pearson": [], "spearman": [], "cosine": []}
    for _ in range(200):
        chosen = generator.integers(40, size=40)
        x, y = scores[chosen], proxy[chosen]
        by_hand["pearson"].append(pearsonr(x, y).statistic)
        by_hand["spearman"].append(spearmanr(x, y).statistic)
        by_hand["cosine"].append(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    for kind, values in by_hand.items():
        assert [table["proxy"][f"{kind}_low"], table["proxy"][f"{kind}_high"]] == pytest.approx(
            np.quantile(values, [0.05, 0.95]), abs=1e-9
        )


def test_the_intervals_cover_what_they_state():
    many = scored(1, 200_000)
    truth = {
        "pearson": pearsonr(*many).statistic,
        "spearman": spearmanr(*many).statistic,
        "cosine": many[0] @ many[1] / np.linalg.norm(many[0]) / np.linalg.norm(many[1]),
    }
    tables = [
        correlation_table(s, {"p": p}, n_resamples=100, confidence=0.9)["p"]
        for s, p in (scored(seed, 150) for seed in range(10, 130))
    ]
    for kind in ("pearson", "spearman", "cosine"):
        share = np.mean([t[f"{kind}_low"] <= truth[kind] <= t[f"{kind}_high"] for t in tables])
        assert share == pytest.approx(0.9, abs=0.09)


def test_all_proxies_see_the_same_resamples():
    scores, proxy = scored()
    alone = correlation_table(scores, {"proxy": proxy}, n_resamples=50)
    beside = correlation_table(scores, {"other": -proxy, "proxy": proxy}, n_resamples=50)
    assert beside["proxy"] == pytest.approx(alone["proxy"], abs=1e-12)
    assert beside["other"]["pearson_low"] == pytest.approx(-alone["proxy"]["pearson_high"])


def test_a_constant_proxy_has_a_reason_and_a_nearly_constant_one_no_nan():
    scores, _ = scored()
    rare = np.zeros(300)
    rare[np.argmax(scores)] = 1.0  # in one resample of three it is constant
    table = correlation_table(scores, {"flat": np.ones(300), "rare": rare}, n_resamples=100)
    assert table["flat"] == {"n_examples": 300, "reason": "flat is constant"}
    assert np.isfinite(list(table["rare"].values())).all()
    assert table["rare"]["pearson_low"] == 0.0
    assert correlation_table(scores, {"flat": np.ones(300)}) == {"flat": table["flat"]}


@pytest.mark.parametrize(
    ("scores", "proxies", "keywords", "message"),
    [
        ([0.1, 0.2], {"p": [1, 2]}, {}, "at least 3"),
        ([0.1, 0.1, 0.1], {"p": [1, 2, 3]}, {}, "scores are 0.1 for all 3"),
        ([0.1, 0.2, 0.3], {}, {}, "proxies are empty"),
        ([0.1, 0.2, 0.3], {"loss": [1, 2]}, {}, "loss has 2 rows for 3"),
        ([0.1, 0.2, 0.3], {"loss": [1, 2, np.nan]}, {}, "loss holds 1 NaN"),
        ([0.1, 0.2, 0.3], {"p": [1, 2, 3]}, {"n_resamples": 10}, "a confidence of 0.95 needs at least 40"),
        ([0.1, 0.2, 0.3], {"p": [1, 2, 3]}, {"confidence": 95}, "confidence is 95"),
    ],
)
def test_the_table_refuses_bad_input(scores, proxies, keywords, message):
    with pytest.raises(InputError, match=message) as error:
        correlation_table(scores, proxies, **keywords)
    assert "\n" not in str(error.value)


# ---- wrong labels ----


def test_planted_wrong_labels_are_found_by_memorization():
    # Wrong labels are learned by heart; of the others some are hard, and duplicates need nobody.
    generator = np.random.default_rng(0)
    half = generator.random((16, 600)) < 0.5
    membership = np.concatenate([half, ~half])
    mislabelled, duplicated = np.arange(600) < 60, np.arange(600) >= 400
    chance_out = np.where(mislabelled, 0.02, np.where(duplicated, 1.0, generator.uniform(0.4, 1.0, 600)))
    correct = membership | (generator.random(membership.shape) < chance_out)
    scores = feldman_zhang(correct, membership)
    assert scores[mislabelled].min() > 0.8
    assert np.abs(scores[duplicated]).max() == 0.0
    result = mislabel_auroc(scores, mislabelled)
    assert result["auroc"] == auc(scores, mislabelled) > 0.97
    assert (result["low"], result["high"]) == auc_interval(scores, mislabelled)
    assert (result["n_mislabelled"], result["n_clean"]) == (60, 540)
    assert {type(value) for value in result.values()} <= {float, int}


@pytest.mark.parametrize(
    ("mislabelled", "message"),
    [
        ([True, True], "mislabelled is True for all 2 examples"),
        ([False, False], "mislabelled is False for all 2"),
        ([1, 0], "mislabelled has dtype int64: pass booleans"),
        ([True], "mislabelled has 1 rows for 2 examples"),
    ],
)
def test_detection_refuses_bad_input(mislabelled, message):
    with pytest.raises(InputError, match=message):
        mislabel_auroc([0.1, 0.2], mislabelled)


# ---- the share of leakage ----


def test_the_share_is_that_of_a_count_by_hand():
    generator = np.random.default_rng(0)
    membership, memorization = np.arange(6000) < 4000, generator.random(6000)
    scores = generator.normal(size=6000) + 3 * membership * memorization**8
    result = leakage_share(scores, membership, memorization, fpr=0.02, top=[0.01, 0.1])
    threshold = np.sort(scores[~membership])[::-1][39]  # above it lie 39 of 2,000 non-members: 40/2,001 of fresh ones
    found = membership & (scores > threshold)
    assert result["n_true_positives"] == found.sum()
    assert result["n_members"] == 4000
    for entry, n_top in zip(result["shares"], (40, 400), strict=True):
        members = np.flatnonzero(membership)
        top = members[np.argsort(-memorization[members])[:n_top]]
        assert entry["n_examples"] == n_top
        assert entry["share"] == pytest.approx(found[top].sum() / found.sum())
    assert result["n_true_positives"] / 4000 == tpr_at_fpr(scores, membership, fpr=0.02)["tpr"]
    assert list(result["shares"][0]) == ["top", "share", "n_examples"]


def test_an_attack_that_is_blind_to_memorization_has_a_share_equal_to_the_top_itself():
    generator = np.random.default_rng(1)
    membership = np.arange(40_000) < 20_000
    scores = generator.normal(size=40_000) + membership
    shares = leakage_share(scores, membership, generator.random(40_000), fpr=0.1, top=[0.05, 0.5])["shares"]
    assert [entry["share"] for entry in shares] == pytest.approx([0.05, 0.5], abs=0.015)


def test_members_tied_at_the_border_count_their_mean():
    membership = np.arange(400) < 200
    memorization = np.zeros(400)
    scores = np.where(np.arange(400) < 50, 2.0, 0.0) + np.where(membership, 0.0, np.linspace(0, 1, 400))
    # All are tied: the most memorized tenth holds a tenth of those found, in whatever order they come.
    share = leakage_share(scores, membership, memorization, top=[0.1])["shares"][0]
    assert (share["share"], share["n_examples"]) == (pytest.approx(0.1), 20)


def test_a_top_that_points_at_persons_and_an_attack_that_finds_nobody_have_no_share():
    membership = np.arange(400) < 200
    few = leakage_share(np.arange(400)[::-1], membership, np.arange(400))["shares"]
    assert [(entry["share"] is None, entry["n_examples"]) for entry in few] == [(True, 2), (False, 10)]
    nobody = leakage_share(np.arange(400), membership, np.arange(400), top=[0.5])
    assert nobody["n_true_positives"] == 0
    assert nobody["shares"] == [{"top": 0.5, "share": None, "n_examples": 100}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memorization": np.zeros(399)}, "memorization has 399 rows for 400"),
        ({"memorization": np.full(400, np.nan)}, "memorization holds 400 NaN"),
        ({"top": [1.0]}, "top holds 1.0"),
        ({"fpr": 0.001}, "non-members of a target cannot resolve it"),
        ({"membership": np.ones(400, dtype=bool)}, "membership holds only members"),
    ],
)
def test_the_share_refuses_bad_input(change, message):
    arguments = {"scores": np.arange(400), "membership": np.arange(400) < 200, "memorization": np.zeros(400)}
    with pytest.raises(InputError, match=message) as error:
        leakage_share(**{**arguments, **change})
    assert "\n" not in str(error.value)


def test_links_has_every_computation_under_one_name():
    assert all(callable(getattr(links, name)) for name in links.__all__)
