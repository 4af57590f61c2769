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
