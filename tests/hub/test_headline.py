"""The sentence: what any figure of a report shows it says, and it claims nothing that the choice explains."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_privacy.hub import headline, strength_order, strongest_attack, validate_report
from hf_privacy.hub.evidence import strongest_of
from hf_privacy.hub.headline import evidence_sentence, percent

FPRS = (0.001, 0.01, 0.1)


def figures(draw: st.DrawFn, name: str, *, resolved: list[float]) -> tuple[dict, dict]:
    """An attack's entry and its p-values, independent of each other."""
    unit = st.floats(0.001, 0.999)
    auc_low, auc, auc_high = sorted(draw(st.tuples(unit, unit, unit)))
    entries = []
    for fpr in FPRS:
        if fpr in resolved:
            low, tpr, high = sorted(draw(st.tuples(unit, unit, unit)))
            values = {"tpr": tpr, "low": low, "high": high, "conditional_low": tpr, "conditional_high": tpr}
            entries.append({"fpr": fpr, **values})
        else:
            values = dict.fromkeys(("tpr", "low", "high", "conditional_low", "conditional_high"))
            entries.append({"fpr": fpr, **values, "reason": "too few"})
    p_value = st.one_of(st.floats(0.0005, 0.05), st.floats(0.0501, 1.0))
    attack = {
        "name": name, "title": f"Attack {name}", "n_references": draw(st.sampled_from([0, 8])), "queries": [],
        "parameters": {}, "auc": auc, "auc_low": auc_low, "auc_high": auc_high, "advantage": 0.0,
        "balanced_accuracy": 0.5, "tpr_at_fpr": entries, "n_members": 400, "n_nonmembers": 400, "confidence": 0.95,
    }  # fmt: skip
    test = {
        "attack": name, "auc": draw(p_value), "tpr": [{"fpr": fpr, "p_value": draw(p_value)} for fpr in resolved],
    }  # fmt: skip
    return attack, test


@st.composite
def changes(draw: st.DrawFn) -> dict:
    """What a report may hold of leakage, in any combination."""
    resolved = draw(st.sampled_from([[], [0.1], [0.01, 0.1], [0.001, 0.01, 0.1]]))
    clean = [figures(draw, name, resolved=resolved) for name in ("loss", "lira")[: draw(st.integers(1, 2))]]
    adversarial = [figures(draw, "rmia", resolved=resolved)] if draw(st.booleans()) else []
    tests = [{**test, "inputs": "clean"} for _, test in clean]
    tests += [{**test, "inputs": "adversarial"} for _, test in adversarial]
    attacks = [("clean", attack) for attack, _ in clean] + [("adversarial", attack) for attack, _ in adversarial]
    if draw(st.booleans()):  # nothing is shown
        for test in tests:
            test["auc"] = max(test["auc"], 0.06)
            for entry in test["tpr"]:
                entry["p_value"] = max(entry["p_value"], 0.06)
    rate = {"value": 0.8, "low": 0.75, "high": 0.85}
    robustness = {
        "norm": "linf", "epsilon": 0.1, "n_steps": 5, "step_size": None, "space": "features", "targets": None,
        "accuracies": [
            {"name": "pgd", "title": "PGD-5", "set": which, "n_examples": 400, **rate}
            for which in ("members", "nonmembers")
        ],
        "membership_attacks": [attack for attack, _ in adversarial] or None, "memorization_bins": None, "seconds": 1,
    }  # fmt: skip
    member = draw(st.sampled_from([0.8, 0.99]))
    epsilon = draw(st.sampled_from([None, 0.0, 1.5]))
    mean = {"mean": 0.6, "low": draw(st.sampled_from([0.4, 0.55])), "high": 0.7}
    slices = [
        {
            "class": name, "attack": "loss", "n_members": 40, "n_nonmembers": 40, "auc": 0.6,
            "auc_low": draw(st.sampled_from([0.45, 0.52])), "auc_high": 0.7, "confidence": 0.95,
        }
        for name in ("cat", "dog")
    ]  # fmt: skip
    quick = draw(st.booleans())
    return {
        "attacks": [attack for attack, _ in clean],
        "curves": {},
        "robustness": robustness if adversarial or draw(st.booleans()) else None,
        "evidence": {
            "method": "made up", "n_attacks": len(tests), "n_permutations": 2000, "level": 0.05,
            "strongest": strongest_of(attacks, tests, level=0.05), "attacks": tests,
        },
        "depth": "quick" if quick else "full",
        "references": None if quick else {"n_models": 8, "fraction": 0.5, "recipe_hash": "ef56"},
        "epsilon": {
            "upper": None,
            "lower": None
            if epsilon is None
            else {"epsilon": epsilon, "delta": 1e-5, "confidence": 0.95, "method": "one run"},
        },
        "utility": {
            "member_accuracy": {"value": member, "low": member - 0.01, "high": member + 0.01},
            "nonmember_accuracy": {"value": 0.8, "low": 0.79, "high": 0.81}, "member_loss": 0.1, "nonmember_loss": 0.1,
        },
        "targets": draw(st.sampled_from([None, {
            "n_targets": 4, "confidence": 0.95, "member_accuracy": mean, "nonmember_accuracy": mean,
            "attacks": [{"name": "loss", "title": "LOSS", "auc": mean, "tpr_at_fpr": []}],
        }])),
        "class_slices": draw(st.sampled_from([None, slices])),
        "blind_baseline": draw(st.sampled_from([None, {
            "auc": 0.6, "auc_low": 0.55, "auc_high": 0.65, "confidence": 0.95, "differs": True,
        }])),
    }  # fmt: skip


@given(change=changes())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_any_figure_shows_the_sentence_says_and_no_more(report, change):
    report = {**copy.deepcopy(report), **change}
    validate_report(report)
    text = headline(report)
    evidence = report["evidence"]
    p_values = [p for test in evidence["attacks"] for p in (test["auc"], *(e["p_value"] for e in test["tpr"]))]
    shown = min(p_values) <= evidence["level"]

    # A claim against guessing is made just where one of all attacks was shown to do better.
    assert ("This audit could not show" in text) == (not shown)
    assert ("guessing would find" in text or "By AUC the strongest attack tried" in text) == shown
    # It never says that there is none, nor that something is guessing.
    for comfort in ("cannot be told from guessing", "no leakage", "does not leak", "is private", "safe"):
        assert comfort not in text
    # Where the interval holds guessing all the same, that is not passed over.
    found = evidence["strongest"]
    open_end = shown and found["measure"] == "tpr" and found["low"] <= found["fpr"]
    assert ("how much more, the interval leaves open" in text) == open_end
    # An AUC that was shown is said, whatever the rates.
    if any(test["auc"] <= evidence["level"] for test in evidence["attacks"]):
        best = max(
            attack["auc"]
            for attack, test in zip(
                [*report["attacks"], *((report["robustness"] or {}).get("membership_attacks") or [])],
                evidence["attacks"], strict=True,
            )
            if test["auc"] <= evidence["level"]
        )  # fmt: skip
        assert f"{best:.2f} [" in text
    lower = report["epsilon"]["lower"]
    assert ("ε is at least 1.5" in text) == (lower is not None and lower["epsilon"] > 0)
    assert ("even without the model" in text) == (report["blind_baseline"] is not None)
    assert ("No reference models were used" in text) == (report["depth"] == "quick")
    if not shown:
        # What would contradict the sentence on the same page is named in it.
        assert ("The model is right on 99 %" in text) == (report["utility"]["member_accuracy"]["value"] == 0.99)
        alone = any(
            attack["auc_low"] > 0.5 or any(e["low"] is not None and e["low"] > e["fpr"] for e in attack["tpr_at_fpr"])
            for _, attack in strength_order(report)
        )
        assert ("Taken alone" in text) == alone
        above = sum(entry["auc_low"] > 0.5 for entry in report["class_slices"] or [])
        assert ("intervals within classes" in text) == (above > 0)
        over_runs = report["targets"] is not None and report["targets"]["attacks"][0]["auc"]["low"] > 0.5
        assert ("over 4 training runs" in text) == over_runs
    # One attack for the sentence, and it is that of the evidence.
    assert strength_order(report)[0][1] is strongest_attack(report)
    assert strongest_attack(report)["title"] in text
    assert strongest_attack(report)["title"] in evidence_sentence(report)


def test_the_strongest_is_judged_at_one_percent_and_not_by_auc(report):
    assert headline(report) == (
        "At 1 % false positives the strongest attack tried (Attack lira, 8 reference models) recognises 5 % "
        "[3 %, 6 %] of the training examples; guessing would find 1 %. Its AUC is 0.60 [0.57, 0.63]; that of guessing "
        "is 0.50."
    )


def test_an_auc_that_is_shown_speaks_where_no_rate_does(report):
    for test in report["evidence"]["attacks"]:
        test["tpr"][0]["p_value"] = 0.3
    report |= {"depth": "quick", "references": None}
    report["evidence"]["strongest"] = strongest_of(
        [("clean", attack) for attack in report["attacks"]], report["evidence"]["attacks"], level=0.05
    )
    validate_report(report)
    assert headline(report) == (
        "By AUC the strongest attack tried (Attack lira, 8 reference models) reaches 0.60 [0.57, 0.63], where "
        "guessing reaches 0.50; that any attack does better than guessing at 1 % false positives or fewer is not "
        "shown. No reference models were used; attacks with them usually find more."
    )


def test_where_nothing_is_shown_the_upper_ends_are_said(report):
    for test in report["evidence"]["attacks"]:
        test["auc"] = test["tpr"][0]["p_value"] = 0.3
    report["evidence"]["strongest"]["p_value"] = 0.3
    validate_report(report)
    assert headline(report).startswith(
        "This audit could not show that any of 2 attacks tried does better than guessing (smallest p = 0.3, corrected "
        "for looking at all; the strongest is Attack lira, 8 reference models); the intervals reach up to an AUC of "
        "0.66 (guessing: 0.50) and 7 % of the training examples at 1 % false positives (guessing: 1 %)."
    )
    assert "Taken alone, an interval of Attack loss, 8 reference models and Attack lira" in headline(report)


def test_canaries_that_are_told_apart_are_said_even_where_no_epsilon_is_shown(report):
    found = {"auc": 0.7, "auc_low": 0.6, "auc_high": 0.8}
    lower = {"epsilon": 0.0, "delta": 1e-5, "confidence": 0.95, "method": "one run"}
    report["epsilon"] = {"upper": None, "lower": lower}
    assert "can be told from those left out (AUC 0.70 [0.60, 0.80]" in headline({**report, "canaries": found})
    assert "Canaries" not in headline({**report, "canaries": {**found, "auc_low": 0.5}})
    lower["epsilon"] = 1.5
    assert "Canaries in a second model of the recipe show that ε is at least 1.5" in headline(
        {**report, "canaries": found}
    )


def test_u_lira_that_still_tells_what_was_forgotten_is_said(report):
    found = {"auc": 0.7, "auc_low": 0.6, "auc_high": 0.8}
    assert "can still be told" in headline({**report, "unlearning": {"u_lira": found}})
    assert "can still be told" not in headline({**report, "unlearning": {"u_lira": {**found, "auc_low": 0.4}}})


@pytest.mark.parametrize(("p_value", "said"), [(1 / 2001, "p < 0.001"), (0.0123, "p = 0.012")])
def test_the_test_is_described_with_its_numbers(report, p_value, said):
    report["evidence"]["strongest"]["p_value"] = p_value
    text = evidence_sentence(report)
    assert said in text
    assert "from 2 attacks and tested together with them, by AUC and every resolved TPR" in text
    assert percent(0.01) in text
