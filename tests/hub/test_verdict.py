"""The verdict's sentence, level, budget and advice, on reports made up for each case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_privacy.hub import GateSettings, budget_record, verdict
from hf_privacy.hub.prices import PRICES
from hf_privacy.hub.verdict import LEVELS, budget_of

RECIPES = Path(__file__).parents[2] / "recipes"


def report_of(tpr=0.13, low=0.08, high=0.16, *, fpr=0.01, auc=0.6, p_value=0.001, **parts):
    """As much of a report as the verdict reads: one attack and its test."""
    attack = {"name": "loss", "title": "LOSS", "n_references": 8, "confidence": 0.95}
    attack |= {"auc": auc, "auc_low": auc - 0.02, "auc_high": auc + 0.02}
    attack["tpr_at_fpr"] = [{"fpr": fpr, "tpr": tpr, "low": low, "high": high}]
    strongest = {"attack": "loss", "inputs": "clean", "measure": "tpr", "fpr": fpr, "p_value": p_value}
    strongest |= {"value": tpr, "low": low, "high": high}
    test = {"attack": "loss", "inputs": "clean", "auc": p_value, "tpr": [{"fpr": fpr, "p_value": p_value}]}
    report = {
        "model": {"task": "tabular-classification", "architecture": "TabularMLPForClassification"},
        "split": {"n_members": 2000},
        "defense": {"name": "none"},
        "depth": "full",
        "references": {"n_models": 8},
        "attacks": [attack],
        "evidence": {"level": 0.025, "strongest": strongest, "attacks": [test]},
        "robustness": None,
        "unlearning": None,
    }
    return {**report, **parts}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({}, "Of 100 training records about 13 (8 to 16) can be picked out, at 1 false alarm in 100."),
        (
            {"tpr": 0.004, "low": 0.001, "high": 0.008, "fpr": 0.001},
            "Of 1,000 training records about 4 (1 to 8) can be picked out, at 1 false alarm in 1,000.",
        ),
        (
            {"tpr": 0.25, "low": 0.2, "high": 0.3, "fpr": 0.1},
            "Of 100 training records about 25 (20 to 30) can be picked out, at 10 false alarms in 100.",
        ),
        (
            {"p_value": 0.4},
            "No attack tried could be shown to pick out training records better than guessing; of 100 at most 16 can "
            "be, at 1 false alarm in 100.",
        ),
    ],
)
def test_the_sentence_is_in_natural_frequencies(made, expected):
    assert verdict(report_of(**made)).sentence == expected


def test_the_sentence_goes_by_pairs_where_only_an_auc_is_shown():
    report = report_of()
    report["evidence"]["strongest"] |= {"measure": "auc", "fpr": None, "value": 0.62, "low": 0.6, "high": 0.64}
    said = verdict(report).sentence
    assert said.startswith("Of 100 pairs of a training record and another record, the strongest attack tells which")
    assert "in 62 (60 to 64); guessing does in 50." in said


@pytest.mark.parametrize(
    ("tpr", "auc", "level"),
    [
        (0.015, 0.52, "low"),
        (0.02, 0.52, "moderate"),
        (0.05, 0.52, "high"),
        (0.2, 0.52, "very high"),
        (0.015, 0.56, "moderate"),
        (0.015, 0.7, "high"),
        (0.015, 0.81, "very high"),
    ],
)
def test_the_worse_of_both_figures_counts(tpr, auc, level):
    assert verdict(report_of(tpr, 0.011, tpr, auc=auc)).level == level


def test_what_the_interval_leaves_open_is_said_beside_the_level():
    found = verdict(report_of(0.015, 0.011, 0.06, auc=0.52))
    assert found.level == "low"
    assert found.reasons[0].endswith("By the upper end of its interval the level would be high.")
    nothing = verdict(report_of(0.015, 0.0, 0.06, auc=0.51, p_value=0.5))
    assert nothing.level == LEVELS[0]
    assert "would allow a level of high" in nothing.reasons[0]


def test_the_budget_is_passed_failed_or_not_set():
    report = report_of()
    assert verdict(report).budget == "not set"
    assert "max_tpr_at_fpr: {0.01: 0.05}" in verdict(report).budget_reason
    failed = verdict(report, GateSettings(max_tpr_at_fpr={0.01: 0.05}))
    assert failed.budget == "failed"
    assert failed.budget_reason.startswith("The budget is TPR 0.05 at FPR 0.01 and the highest upper end is that of")
    report["budget"] = budget_record(GateSettings(max_tpr_at_fpr=(0.01, 0.2)).gate_settings())
    assert budget_of(report) == {"max_tpr_at_fpr": {0.01: 0.2}, "min_confidence": 0.95}
    passed = verdict(report)
    assert passed.budget == "passed"
    assert passed.budget_reason.startswith("The report keeps at most 20 % of the training records at 1 % FPR")
    assert passed.next_steps[-1] == "It may be pushed: `hf-privacy push`."


def test_what_to_do_depends_on_the_case():
    assert "CCL took it to 15.1 %" in verdict(report_of()).next_steps[0]
    defended = verdict(report_of(defense={"name": "ccl"}))
    assert defended.next_steps[0].startswith("The defence ccl did not keep it down")
    quick = verdict(report_of(depth="quick", references=None))
    assert "hf-privacy audit --audit.depth full" in quick.next_steps[0]
    assert "narrower" in verdict(report_of(p_value=0.5)).next_steps[0]


def test_a_budget_that_fails_by_the_audit_and_not_by_leakage_asks_for_no_defence():
    little = {"tpr": 0.011, "low": 0.002, "high": 0.02, "auc": 0.51}
    budget = GateSettings(max_tpr_at_fpr={0.01: 0.05})
    for parts in ({"depth": "quick", "references": None}, {"fpr": 0.1}, {"references": {"n_models": 2}}):
        for defense in ("none", "ccl"):
            found = verdict(report_of(**little, defense={"name": defense}, **parts), budget)
            assert (found.level, found.budget) == ("low", "failed")
            assert found.next_steps[-1] == "Do what is said of the budget: it is not by leakage that it fails."
            assert not any("defence" in step for step in found.next_steps)
    leaks = verdict(report_of(**{**little, "high": 0.06}, defense={"name": "ccl"}), budget)
    assert (leaks.level, leaks.budget) == ("low", "failed")
    assert leaks.next_steps == (
        "The defence ccl did not keep it down: set it stronger, train fewer epochs, or take one with a guarantee "
        "(`defense: dp`).",
    )


def test_the_reports_budget_asks_for_unlearning_where_the_push_does():
    asked = GateSettings(max_auc=0.9, require_unlearning=True).gate_settings()
    found = verdict(report_of(budget=budget_record(asked)))
    assert found.budget == "failed"
    assert "says nothing of unlearning" in found.budget_reason
    assert "require_unlearning" not in budget_record(GateSettings(max_auc=0.9).gate_settings())


def test_an_unlearned_model_that_lost_what_was_to_be_kept_says_so_first():
    def figures(retained):
        return [{"name": name, "value": value} for name, value in (("UA", 0.5), ("RA", retained), ("MIA", 0.5))]

    section = {"figures": {"before": figures(0.95), "after": figures(0.81), "retrained": None}, "n_retrained": 0}
    section |= {"gap": None, "method": {"name": "salun"}}
    found = verdict(report_of(unlearning=section))
    assert found.forgetting.status == "broke what was to be kept"
    assert "now has 81 % (14.0 points less" in found.forgetting.reasons[0]
    assert found.next_steps[0].startswith("Unlearn again")
    # The budget's bound is the verdict's too, and the gate's.
    borne = verdict(report_of(unlearning=section), GateSettings(max_retained_loss=0.2))
    assert (borne.forgetting.status, borne.budget) == ("not judged", "passed")
    assert "at most 20 points lost of what was to be kept" in borne.budget_reason
    refused = verdict(report_of(unlearning=section), GateSettings(max_retained_loss=0.1))
    assert (refused.forgetting.status, refused.budget) == ("broke what was to be kept", "failed")
    assert verdict(report_of()).forgetting is None


@pytest.mark.skipif(not RECIPES.is_dir(), reason="the recipes are not installed with the package")
@pytest.mark.parametrize("task", PRICES)
def test_what_defences_cost_is_what_the_committed_table_says(task):
    table = PRICES[task]
    result = json.loads((RECIPES / table.result).read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in result["rows"] if row["outputs"] == "plain"}
    assert result["fpr"] == 0.01
    for price in (table.undefended, *table.defended):
        row = rows[price.defense]
        assert row["title"] == price.title
        assert row["strongest"]["measure"] == "tpr"
        assert row["strongest"]["mean"] == pytest.approx(price.found, abs=5e-4)
        digits = 5e-4 if table.worth == "accuracy" else 0.05
        assert row[table.worth]["mean"] == pytest.approx(price.worth, abs=digits)
