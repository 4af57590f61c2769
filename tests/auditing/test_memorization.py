"""Leakage by memorization: bins of several attacks, and the share at the top."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hf_privacy.auditing.attack import attack_all
from hf_privacy.auditing.examinations.memorization import Memorization, leakage_at_top, memorization_slices
from hf_privacy.auditing.groups import memorization_of
from hf_privacy.auditing.table import AttackScores
from hf_privacy.memorization import feldman_zhang
from hf_privacy.recipe import AuditSettings
from hf_privacy.statistics import clopper_pearson


@pytest.fixture(scope="module")
def table(planted_table):
    return planted_table()


@pytest.fixture(scope="module")
def attack(table):
    return AttackScores("lira", "LiRA", table.target["phi"][0, : table.n_pool])


def test_scores_are_feldman_and_zhangs_of_the_references_alone(table):
    n = table.n_pool
    expected = feldman_zhang(table.references["correct"][0][:, :n], table.reference_membership[:, :n])
    np.testing.assert_array_equal(memorization_of(table), expected)
    swapped = replace(table, membership=~table.membership)
    np.testing.assert_array_equal(memorization_of(swapped), expected)


def test_bins_are_in_order_and_each_example_is_in_one(table, attack):
    slices = memorization_slices(table, [attack], confidence=0.95)
    bounds = [(row["memorization_from"], row["memorization_to"]) for row in slices]
    assert bounds == sorted(bounds)
    assert len(bounds) > 2
    assert sum(row["n_members"] + row["n_nonmembers"] for row in slices) <= table.n_pool


def test_an_example_that_is_right_only_after_training_is_in_the_top_bin(planted_table):
    table = planted_table(effect=0.0)
    references = dict(table.references)
    references["correct"] = table.reference_membership[None].astype(float)
    memorized = replace(table, references=references)
    scores = AttackScores("loss", "LOSS", table.target["phi"][0, : table.n_pool])
    (row,) = memorization_slices(memorized, [scores], confidence=0.95)
    assert (row["memorization_from"], row["memorization_to"]) == (0.75, 1.0)
    assert row["n_members"] == table.membership.sum()


def test_the_strongest_attack_lira_and_rmia_have_bins_whichever_is_strongest(table):
    settings = AuditSettings(references=table.n_references)
    found = attack_all(table, settings)
    case = SimpleNamespace(table=table, findings=found, settings=settings, timed=lambda name: nullcontext())
    bins = Memorization().run(case)["memorization_bins"]
    names = list(dict.fromkeys(row["attack"] for row in bins))
    assert names[0] == found.strongest.name
    assert set(names) == {found.strongest.name, "lira", "rmia"}
    counts = {name: sum(row["attack"] == name for row in bins) for name in names}
    assert len(set(counts.values())) == 1  # every attack has the same bins


# ---- the share at the top ----


def memorized_at(table, positions):
    """The table with those examples memorized outright and all others not at all."""
    correct = np.ones((table.n_references, table.target["phi"].shape[1]))
    correct[:, positions] = table.reference_membership[:, positions]
    return replace(table, references={**table.references, "correct": correct[None]})


def test_a_top_of_fewer_than_twenty_members_is_not_shown(planted_table):
    table = planted_table(effect=0.0)
    memorized = np.flatnonzero(table.membership)[:30]
    scores = np.zeros(table.n_pool)
    scores[memorized] = 1.0
    # Of 300 members the most memorized 5 % are 15.
    assert leakage_at_top(memorized_at(table, memorized), AttackScores("lira", "LiRA", scores)) is None


def test_the_share_is_counted_among_recognised_members(planted_table, monkeypatch):
    monkeypatch.setattr("hf_privacy.auditing.examinations.memorization.TOPS", (0.01, 0.1))
    table = planted_table(effect=0.0)
    members = np.flatnonzero(table.membership)
    memorized, others = members[:30], members[30:50]
    scores = np.zeros(table.n_pool)
    scores[np.concatenate([memorized, others])] = 1.0
    low, high = clopper_pearson(30, 50)
    # 1 % are 3 members, and are not shown.
    found = leakage_at_top(memorized_at(table, memorized), AttackScores("rmia", "RMIA", scores))
    assert found == {
        "attack": "rmia",
        "fpr": 0.01,
        "shares": [{"top": 0.1, "share": pytest.approx(30 / 50), "n_examples": 30, "low": low, "high": high}],
        "ranked_by": "memorization",
    }
    # Of ten authors, fifty rows are no more than ten draws.
    by_author = replace(memorized_at(table, memorized), groups=np.arange(table.n_pool) % 10)
    (share,) = leakage_at_top(by_author, AttackScores("rmia", "RMIA", scores))["shares"]
    assert [share["low"], share["high"]] == list(clopper_pearson(6, 10))
    assert share["share"] == pytest.approx(30 / 50)


def test_no_share_is_given_where_one_percent_is_not_resolved(planted_table):
    table = planted_table()
    kept = np.concatenate([np.flatnonzero(table.membership)[:90], np.flatnonzero(~table.membership)[:90]])
    small = type(table)(
        {name: values[:, kept] for name, values in table.target.items()},
        table.membership[kept],
        references={name: values[:, :, kept] for name, values in table.references.items()},
        reference_membership=table.reference_membership[:, kept],
    )
    assert leakage_at_top(small, AttackScores("loss", "LOSS", small.target["phi"][0])) is None
