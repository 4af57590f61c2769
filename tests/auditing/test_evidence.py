"""Claims after choosing the best of the audit's own attacks: rare without leakage, made with it."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.auditing.attack import attack_all
from hf_privacy.auditing.evidence import evidence_of
from hf_privacy.hub.evidence import strongest_of
from hf_privacy.recipe import AuditSettings


def evidence(table, **settings):
    options = AuditSettings(depth="full" if table.n_references else "quick", **settings)
    return attack_all(table, options)


@pytest.mark.parametrize("with_population", [True, False])
def test_without_leakage_the_best_of_all_attacks_is_seldom_called_better_than_guessing(planted_table, with_population):
    """Before: in 40 of 100. At most 2.5 % are; 60 draws tell 40 % from that."""
    claims = naive = 0
    for seed in range(60):
        table = planted_table(effect=0.0, seed=seed, n_references=0, with_population=with_population)
        found = evidence(table)
        claims += found.evidence["strongest"]["p_value"] <= found.evidence["level"]
        naive += any(
            attack["auc_low"] > 0.5 or any(e["tpr"] and e["conditional_low"] > e["fpr"] for e in attack["tpr_at_fpr"])
            for attack in found.attacks
        )
    assert claims <= 5  # P(more | 2.5 %) = .4 %
    assert naive > claims


def test_leakage_is_claimed_and_the_strongest_named(planted_table):
    found = evidence(planted_table(effect=2.0))
    assert found.evidence["strongest"]["p_value"] == pytest.approx(1 / 2001)
    assert found.evidence["strongest"]["attack"] == found.strongest.name
    assert [test["attack"] for test in found.evidence["attacks"]] == [attack["name"] for attack in found.attacks]
    made = [("clean", attack) for attack in found.attacks]
    assert strongest_of(made, found.evidence["attacks"], level=0.025) == found.evidence["strongest"]
    largest = max(entry["tpr"] for attack in found.attacks for entry in attack["tpr_at_fpr"] if entry["fpr"] == 0.01)
    assert found.evidence["strongest"]["value"] == largest


@pytest.mark.parametrize(("confidence", "level"), [(0.5, 0.025), (0.95, 0.025), (0.99, 0.005), (0.99999, 0.001)])
def test_the_level_is_what_the_confidence_leaves_at_one_end_and_never_more(planted_table, confidence, level):
    table = planted_table(n_references=0)
    made = evidence(table)
    pairs = list(zip(made.scores, made.attacks, strict=True))
    found = evidence_of([("clean", *pair) for pair in pairs], table.membership, confidence=confidence)
    assert found["level"] == level
    assert np.isclose(found["strongest"]["p_value"], 1 / 2001)
