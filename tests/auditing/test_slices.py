"""Leakage by class, and every attack at every budget."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.auditing.examinations.membership.budgets import over_budgets
from hf_privacy.auditing.groups import class_slices, over_groups
from hf_privacy.auditing.table import AttackScores
from hf_privacy.auditing.targets import leave_one_out_table
from hf_privacy.statistics import auc, tpr_at_fpr


@pytest.fixture(scope="module")
def table(planted_table):
    return planted_table()


@pytest.fixture(scope="module")
def attack(table):
    return AttackScores("lira", "LiRA", table.target["phi"][0, : table.n_pool])


def test_one_group_of_all_gives_the_figures_of_all(table, attack):
    (figures,) = over_groups(table, attack, np.zeros(table.n_pool, dtype=int), confidence=0.95).values()
    assert figures["auc"] == auc(attack.scores, table.membership)
    assert figures["tpr"] == tpr_at_fpr(attack.scores, table.membership, fpr=0.01)["tpr"]
    assert figures["n_members"] + figures["n_nonmembers"] == table.n_pool


def test_the_threshold_is_set_on_the_non_members_of_all_groups(table, attack):
    groups = np.arange(table.n_pool) % 3
    figures = over_groups(table, attack, groups, confidence=0.95)
    found = sum(round(f["tpr"] * f["n_members"]) for f in figures.values())
    assert found == round(tpr_at_fpr(attack.scores, table.membership, fpr=0.01)["tpr"] * table.membership.sum())


def test_groups_of_fewer_than_twenty_members_are_left_out(table, attack):
    groups = np.zeros(table.n_pool, dtype=int)
    groups[np.flatnonzero(table.membership)[:19]] = 1
    groups[np.flatnonzero(~table.membership)[:30]] = 1
    assert list(over_groups(table, attack, groups, confidence=0.95)) == [0]


def test_no_rate_is_given_where_the_non_members_do_not_resolve_it(planted_table):
    small = planted_table(seed=1)
    kept = np.concatenate([np.flatnonzero(small.membership)[:90], np.flatnonzero(~small.membership)[:90]])
    shrunk = type(small)({"phi": small.target["phi"][:, kept]}, small.membership[kept])
    scores = AttackScores("loss", "LOSS", small.target["phi"][0, kept])
    (figures,) = over_groups(shrunk, scores, np.zeros(len(kept), dtype=int), confidence=0.95).values()
    assert "tpr" not in figures


def test_classes_have_their_names(table, attack):
    slices = class_slices(table, attack, ["cat", "dog"], confidence=0.95)
    assert [row["class"] for row in slices] == ["cat", "dog"]
    assert {row["attack"] for row in slices} == {"lira"}


def test_budgets_hold_every_attack_at_every_number_of_references(table):
    tables = [table, leave_one_out_table(table, 0), leave_one_out_table(table, 2)]
    budgets = over_budgets(tables, [2, 4], fprs=(0.1,), confidence=0.95)
    by_budget = {count: {e["name"] for e in budgets["attacks"] if e["n_references"] == count} for count in (0, 2, 4)}
    assert "loss" in by_budget[0]
    assert {"lira_global", "rmia", "base"} <= by_budget[2]
    assert "lira_pooled" not in by_budget[2]  # one value a side has no variance
    assert {"lira_global", "lira_pooled", "lira_shrunk", "lira_per_example"} <= by_budget[4]
    assert budgets["n_targets"] == 3
    areas = {(e["n_references"], e["name"]): e["auc"]["mean"] for e in budgets["attacks"]}
    assert areas[4, "rmia"] > areas[0, "loss"]
