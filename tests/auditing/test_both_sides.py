"""Attacks on a defended model, of which members may score lowest, are read and judged from both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hf_privacy.auditing.attack import all_scores, attack_all
from hf_privacy.auditing.targets import mean_figures
from hf_privacy.hub.evidence import all_attacks, as_read
from hf_privacy.recipe import AuditSettings
from hf_privacy.statistics import tpr_at_fpr


def test_a_model_that_knows_less_of_its_members_leaks_and_one_side_alone_does_not_see_it(planted_table):
    table = planted_table(effect=-2.0, n_references=0)
    one, both = (attack_all(table, AuditSettings(depth="quick"), both_sides=sides) for sides in (False, True))
    assert one.evidence["strongest"]["p_value"] > one.evidence["level"]
    assert both.evidence["strongest"]["p_value"] <= both.evidence["level"]
    assert "both sides" in both.evidence["method"]
    # What one side says stays as it is, and the other stands beside it.
    assert [{**attack, "two_sided": None} for attack in both.attacks] == [
        {**attack, "two_sided": None} for attack in one.attacks
    ]
    loss = next(attack for attack in both.attacks if attack["name"] == "loss")
    assert loss["auc_high"] < 0.5
    assert as_read(loss)["auc"] == pytest.approx(1 - loss["auc"])
    assert as_read(loss)["auc_low"] > 0.5
    assert as_read(loss)["side"] == "low"
    read = all_attacks({"attacks": both.attacks, "robustness": None})
    assert both.evidence["strongest"]["value"] in [
        entry["tpr"] for _, attack in read for entry in attack["tpr_at_fpr"]
    ] + [attack["auc"] for _, attack in read]


def test_without_leakage_both_sides_are_claimed_no_more_often_than_the_level(planted_table):
    claims = 0
    for seed in range(30):
        table = planted_table(effect=0.0, seed=seed, n_references=0)
        evidence = attack_all(table, AuditSettings(depth="quick"), both_sides=True).evidence
        claims += evidence["strongest"]["p_value"] <= evidence["level"]
    assert claims <= 4  # P(more | 2.5 %) = .1 %


def test_whole_groups_are_read_from_both_sides_too(planted_table):
    table = planted_table(effect=-2.0, n_references=0)
    groups = np.empty(600, dtype=np.int64)
    groups[np.argsort(~table.membership, kind="stable")] = np.arange(600) // 10
    table = replace(table, groups=groups)
    found = attack_all(table, AuditSettings(depth="quick"), both_sides=True)
    loss = next(attack for attack in found.attacks if attack["name"] == "loss")
    assert as_read(loss)["by_group"]["auc"] == pytest.approx(1 - loss["by_group"]["auc"])
    assert as_read(loss)["by_group"]["auc_low"] >= 0.5


def test_over_several_targets_one_side_is_read_for_all(planted_table):
    tables = [planted_table(effect=-2.0, n_references=0, seed=seed) for seed in (0, 1, 2)]
    options = AuditSettings(depth="quick")
    runs = [(table, all_scores(table, options)) for table in tables]
    one, both = (
        {a["name"]: a for a in mean_figures(runs, fprs=(0.1,), confidence=0.95, both_sides=sides)}
        for sides in (False, True)
    )
    assert "two_sided" not in one["loss"]
    loss = both["loss"]
    assert {**loss, "two_sided": None} == {**one["loss"], "two_sided": None}
    assert loss["two_sided"]["side"] == "low"
    assert loss["two_sided"]["auc"]["values"] == pytest.approx([1 - value for value in loss["auc"]["values"]])
    assert loss["two_sided"]["auc"]["low"] == pytest.approx(1 - loss["auc"]["high"])
    rate = loss["two_sided"]["tpr_at_fpr"][0]
    scores = [next(s for s in made if s.name == "loss").scores for _, made in runs]
    assert rate["values"] == pytest.approx(
        [tpr_at_fpr(-s, t.membership, fpr=0.1)["tpr"] for s, t in zip(scores, tables, strict=True)]
    )
