"""The gate says why it refuses, in one sentence each, and judges by the highest upper end of all attacks."""

from __future__ import annotations

import json

import pytest

from hf_privacy.errors import InputError
from hf_privacy.hub import GateError, check_gate, weights_sha256


def rewrite(folder, change):
    file = folder / "privacy_report.json"
    report = json.loads(file.read_text())
    change(report)
    file.write_text(json.dumps(report))


def test_an_audited_model_without_a_budget_passes(make_folder):
    assert check_gate(make_folder())["depth"] == "full"


def test_no_report_is_refused(make_folder):
    with pytest.raises(GateError, match=r"no privacy_report\.json in .*: run `hf-privacy audit` first"):
        check_gate(make_folder(audited=False))


def test_allow_unaudited_lets_a_missing_report_pass(make_folder):
    assert check_gate(make_folder(audited=False), allow_unaudited=True) is None


def test_allow_unaudited_does_not_excuse_a_report_for_other_weights(make_folder):
    folder = make_folder()
    rewrite(folder, lambda report: report["model"].update(weights_sha256="0" * 64))
    with pytest.raises(GateError, match="other weights"):
        check_gate(folder, allow_unaudited=True)


def test_a_report_for_other_weights_is_refused_with_both_hashes(make_folder):
    folder, other = make_folder("one", seed=1), make_folder("two", seed=2)
    (folder / "privacy_report.json").write_bytes((other / "privacy_report.json").read_bytes())
    with pytest.raises(GateError) as caught:
        check_gate(folder)
    assert weights_sha256(folder)[:12] in str(caught.value)
    assert weights_sha256(other)[:12] in str(caught.value)


def test_an_invalid_report_is_refused_with_the_path(make_folder):
    folder = make_folder()
    rewrite(folder, lambda report: report["attacks"][0].pop("auc"))
    with pytest.raises(GateError, match=r"\$\.attacks\[0\].*auc"):
        check_gate(folder)


def test_the_auc_budget_is_held_against_the_highest_upper_end(make_folder):
    # LiRA has the higher AUC (0.60), LOSS the higher upper end (0.66).
    folder = make_folder()
    assert check_gate(folder, max_auc=0.66)
    with pytest.raises(
        GateError,
        match=r"max_auc 0\.65 .* loss, 0\.66 \(.*\[0\.540, 0\.660\]\); the strongest is lira",
    ):
        check_gate(folder, max_auc=0.65)


@pytest.mark.parametrize("budget", [(0.01, 0.069), {0.01: 0.069}])
def test_the_tpr_budget_is_held_against_the_highest_upper_end(make_folder, budget):
    with pytest.raises(GateError, match=r"TPR 0\.069 at FPR 0\.01 and the highest upper end is that of loss, 0\.07 "):
        check_gate(make_folder(), max_tpr_at_fpr=budget)


def test_attacks_on_adversarial_inputs_are_held_against_the_budget_too(make_folder, made_up_evidence):
    folder = make_folder()

    def add(report):
        attack = {**report["attacks"][1], "auc": 0.7, "auc_low": 0.65, "auc_high": 0.75}
        report["robustness"] = {
            "norm": "linf", "epsilon": 0.1, "n_steps": 5, "step_size": None, "space": "features", "targets": None,
            "accuracies": [
                {"name": "pgd", "title": "PGD-5", "set": "members", "n_examples": 9, "value": 1, "low": 0.4, "high": 1}
            ],
            "membership_attacks": [attack], "memorization_bins": None, "seconds": None,
        }  # fmt: skip
        report["evidence"] = made_up_evidence(report)

    rewrite(folder, add)
    assert check_gate(folder, max_auc=0.75)
    with pytest.raises(GateError, match=r"highest upper end is that of lira on adversarial inputs, 0\.75"):
        check_gate(folder, max_auc=0.74)


def test_a_tpr_at_the_budget_passes(make_folder):
    assert check_gate(make_folder(), max_tpr_at_fpr=(0.01, 0.07))


def test_a_budget_at_an_fpr_the_report_does_not_hold_is_refused(make_folder):
    with pytest.raises(GateError, match=r"no TPR at that FPR for loss"):
        check_gate(make_folder(), max_tpr_at_fpr={0.001: 1.0})


def test_a_budget_at_an_fpr_the_report_does_not_resolve_is_refused(make_folder, made_up_evidence):
    folder = make_folder()
    names = ("tpr", "low", "high", "conditional_low", "conditional_high")
    unresolved = [{"fpr": 0.01, **dict.fromkeys(names), "reason": "400 non-members"}]
    rewrite(folder, lambda report: report["attacks"][1].update(tpr_at_fpr=unresolved))
    rewrite(folder, lambda report: report.update(evidence=made_up_evidence(report)))
    with pytest.raises(GateError, match=r"does not resolve it for lira \(400 non-members\)"):
        check_gate(folder, max_tpr_at_fpr=(0.01, 1.0))


@pytest.mark.parametrize("budget", [55, -0.1, float("nan"), True, "0.6"])
def test_a_budget_that_is_no_rate_is_bad_input(make_folder, budget):
    with pytest.raises(InputError, match="max_auc is"):
        check_gate(make_folder(), max_auc=budget)


@pytest.mark.parametrize("budget", [0.05, (0.01,), {0.01: 5}])
def test_a_tpr_budget_that_is_no_pair_or_mapping_of_rates_is_bad_input(make_folder, budget):
    with pytest.raises(InputError, match="max_tpr_at_fpr"):
        check_gate(make_folder(), max_tpr_at_fpr=budget)


# ---- the audit that must show it ----


def quick(report):
    report.update(depth="quick", references=None)
    for entry in report["attacks"]:
        entry["n_references"] = 0


def with_references(count):
    def change(report):
        report["references"]["n_models"] = count
        for entry in report["attacks"]:
            entry["n_references"] = count

    return change


def at_confidence(confidence):
    def change(report):
        for entry in report["attacks"]:
            entry["confidence"] = confidence

    return change


@pytest.mark.parametrize("budget", [{"max_auc": 1.0}, {"max_tpr_at_fpr": (0.01, 1.0)}])
def test_a_quick_audit_does_not_unlock_a_budget_unless_it_is_said_to_do(make_folder, budget):
    folder = make_folder()
    rewrite(folder, quick)
    with pytest.raises(GateError, match="of a quick audit and a budget on leakage asks for a full one"):
        check_gate(folder, **budget)
    assert check_gate(folder, **budget, min_depth="quick")
    assert check_gate(folder)  # without a budget a report speaks for itself


@pytest.mark.parametrize("count", [2, 7])
def test_fewer_references_do_not_unlock_a_budget_unless_they_are_said_to_do(make_folder, count):
    folder = make_folder()
    rewrite(folder, with_references(count))
    with pytest.raises(GateError, match=f"have {count} reference models and a budget on leakage asks for at least 8"):
        check_gate(folder, max_auc=1.0)
    assert check_gate(folder, max_auc=1.0, min_references=count)


def test_references_that_no_attack_used_do_not_count(make_folder):
    folder = make_folder()
    rewrite(folder, lambda report: [entry.update(n_references=0) for entry in report["attacks"]])
    with pytest.raises(GateError, match="have 0 reference models"):
        check_gate(folder, max_auc=1.0)


def test_a_push_may_ask_for_more_than_a_budget_does_and_without_one(make_folder):
    folder = make_folder()
    with pytest.raises(GateError, match="have 8 reference models and the push asks for at least 16"):
        check_gate(folder, min_references=16)
    rewrite(folder, quick)
    with pytest.raises(GateError, match="and the push asks for a full one"):
        check_gate(folder, min_depth="full")
    with pytest.raises(GateError, match="have 0 reference models"):
        check_gate(folder, min_depth="quick", min_references=1)


@pytest.mark.parametrize("confidence", [0.5, 0.9])
@pytest.mark.parametrize("budget", [{}, {"max_auc": 1.0}])
def test_intervals_at_less_than_the_gate_s_confidence_are_refused(make_folder, confidence, budget):
    folder = make_folder()
    rewrite(folder, at_confidence(confidence))
    with pytest.raises(GateError, match=f"at confidence {confidence} and the gate judges at 0.95"):
        check_gate(folder, **budget)
    assert check_gate(folder, min_confidence=confidence, **budget)


def test_one_attack_at_less_confidence_is_enough_to_refuse(make_folder):
    folder = make_folder()
    rewrite(folder, lambda report: report["attacks"][1].update(confidence=0.6))
    with pytest.raises(GateError, match=r"at confidence 0\.6"):
        check_gate(folder)


def test_more_confidence_passes(make_folder):
    folder = make_folder()
    rewrite(folder, at_confidence(0.99))
    assert check_gate(folder, max_auc=0.66)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("min_depth", "deep"),
        ("min_depth", 1),
        ("min_references", -1),
        ("min_references", 2.5),
        ("min_references", True),
        ("min_confidence", 0),
        ("min_confidence", 1),
        ("min_confidence", float("nan")),
        ("min_confidence", "0.9"),
    ],
)
def test_a_setting_that_is_none_is_bad_input(make_folder, setting, value):
    with pytest.raises(InputError, match=f"{setting} is"):
        check_gate(make_folder(), **{setting: value})
