"""The attacks that read curvature, on tables whose curvature is planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hf_privacy.auditing.curvature import quick_curvature_scores, reference_curvature_scores
from hf_privacy.auditing.examinations.membership.budgets import over_budgets
from hf_privacy.auditing.targets import leave_one_out_table
from hf_privacy.statistics import auc


@pytest.fixture(scope="module")
def bent(planted_table):
    """Members lie `effect` standard deviations lower in log curvature, around a level of each example's own."""

    def make(effect: float = 2.0, n_references: int = 8, seed: int = 0):
        table = planted_table(n_references=n_references, seed=seed)
        rng = np.random.default_rng([seed, 1])
        n_columns = table.target["phi"].shape[1]
        level = rng.normal(0.0, 3.0, n_columns)
        membership = np.zeros(n_columns)
        membership[: table.n_pool] = table.membership
        target = level - effect * membership + rng.normal(size=(1, n_columns))
        references = (
            level - effect * table.reference_membership + rng.normal(size=(1, *table.reference_membership.shape))
        )
        return replace(
            table,
            target={**table.target, "curvature": target},
            references={**table.references, "curvature": references},
        )

    return make


def test_a_table_without_curvature_has_no_attacks_on_it(planted_table):
    assert quick_curvature_scores(planted_table()) == []
    assert reference_curvature_scores(planted_table()) == []


def test_flatter_examples_are_likelier_members_and_references_sharpen_it(bent):
    table = bent()
    scores = [*quick_curvature_scores(table), *reference_curvature_scores(table)]
    assert [attack.name for attack in scores] == ["curvature", "curvature_online", "curvature_nll"]
    areas = [auc(attack.scores, table.membership) for attack in scores]
    assert areas[0] > 0.6
    assert min(areas[1:]) > areas[0] + 0.1
    assert [attack.n_references for attack in scores] == [0, 8, 8]


def test_without_an_effect_curvature_guesses(bent):
    for attack in (quick_curvature_scores, reference_curvature_scores):
        values = np.array(
            [[auc(s.scores, t.membership) for s in attack(t)] for t in (bent(0.0, seed=k) for k in range(6))]
        )
        # One AUC of 300 members and 300 non-members has a standard deviation of about 0.024.
        assert (abs(values.mean(axis=0) - 0.5) < 4 * 0.024 / np.sqrt(6)).all()


def test_two_references_take_one_variance_for_all_examples(bent):
    scores = reference_curvature_scores(bent(n_references=2))
    assert {attack.parameters["variance"] for attack in scores} == {"global"}
    assert {attack.parameters["variance"] for attack in reference_curvature_scores(bent())} == {"pooled"}


def test_curvature_attacks_are_made_at_every_budget(bent):
    table = bent()
    budgets = over_budgets([table, leave_one_out_table(table, 0)], [2, 4], fprs=(0.1,), confidence=0.95)
    named = {(entry["n_references"], entry["name"]) for entry in budgets["attacks"]}
    assert {(0, "curvature"), (2, "curvature_online"), (4, "curvature_online"), (4, "curvature_nll")} <= named
