"""The published schema accepts what an audit writes and says where a report breaks it."""

from __future__ import annotations

import copy
import json

import pytest

from hf_privacy.errors import InputError
from hf_privacy.hub import load_report_dict, validate_report


def changed(report, path, value):
    """The report with the value at a path of keys replaced; a value of ... removes the key."""
    report = copy.deepcopy(report)
    place = report
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return report


def test_a_full_report_is_valid(report):
    validate_report(report)


def test_a_quick_report_has_no_references(report):
    validate_report(changed(changed(report, ["depth"], "quick"), ["references"], None))


def test_parts_that_later_audits_fill_are_free(report):
    report["memorization_bins"] = [
        {
            "memorization_from": 0.0, "memorization_to": 0.1, "attack": "loss", "n_members": 30, "n_nonmembers": 30,
            "auc": 0.5, "auc_low": 0.4, "auc_high": 0.6, "confidence": 0.95,
        }
    ]  # fmt: skip
    report["epsilon"]["upper"] = {"epsilon": 8, "delta": 1e-5, "accountant": "prv", "sampler": "poisson"}
    report["epsilon"]["lower"] = {"epsilon": 0.1, "delta": 1e-5, "confidence": 0.95, "method": "one run"}
    validate_report(report)


def robustness() -> dict:
    """PGD on 100 held-out examples, one memorization bin, and an attack on adversarial inputs."""
    found = {"value": 0.4, "low": 0.3, "high": 0.5, "n_examples": 100}
    attack = {
        "name": "lira", "title": "LiRA", "n_references": 8, "queries": ["adversarial"], "parameters": {}, "auc": 0.6,
        "auc_low": 0.5, "auc_high": 0.7, "balanced_accuracy": 0.6, "advantage": 0.2, "tpr_at_fpr": [],
        "n_members": 400, "n_nonmembers": 400, "confidence": 0.95,
    }  # fmt: skip
    return {
        "norm": "linf",
        "epsilon": 8 / 255,
        "n_steps": 20,
        "step_size": None,
        "space": "pixels",
        "accuracies": [{"name": "pgd", "title": "PGD-20", "set": "nonmembers", **found}],
        "targets": {
            "n_targets": 3,
            "accuracies": [{"name": "pgd", "set": "nonmembers", "mean": 0.4, "low": -0.1, "high": 0.9}],
        },
        "membership_attacks": [attack],
        "memorization_bins": [
            {"memorization_from": -1.0, "memorization_to": 0.1, "name": "pgd", "set": "nonmembers", **found}
        ],
        "seconds": 12.5,
    }


def leakage_share() -> dict:
    none = {"top": 0.05, "share": None, "low": None, "high": None, "n_examples": 40}
    shares = [{"top": 0.01, "share": 0.2, "low": 0.1, "high": 0.3, "n_examples": 8}, none]
    return {"attack": "lira", "fpr": 0.01, "shares": shares, "ranked_by": "memorization"}


@pytest.fixture
def robust_report(report, made_up_evidence) -> dict:
    """With everything about robustness, and the share at the top."""
    made = {**report, "robustness": robustness(), "leakage_share": leakage_share()}
    return {**made, "evidence": made_up_evidence(made)}


def test_robustness_and_the_leakage_share_are_valid(robust_report):
    validate_report(robust_report)


def test_a_report_from_before_the_leakage_share_stays_valid(report):
    assert "leakage_share" not in report
    assert report["robustness"] is None
    validate_report(report)


def test_the_targets_own_values_may_stand_beside_their_mean(robust_report):
    found = robust_report["robustness"]
    found["targets"]["accuracies"][0]["values"] = [0.3, 0.4, 0.5]
    validate_report(robust_report)
    found["targets"]["accuracies"][0]["values"] = [0.4] * 513
    with pytest.raises(InputError, match="values"):
        validate_report(robust_report)


def test_one_memorization_bin_may_hold_several_attacks_but_none_twice(report):
    entry = {
        "memorization_from": 0.0, "memorization_to": 0.1, "attack": "loss", "n_members": 30, "n_nonmembers": 30,
        "auc": 0.5, "auc_low": 0.4, "auc_high": 0.6, "confidence": 0.95,
    }  # fmt: skip
    report["memorization_bins"] = [entry, {**entry, "attack": "lira"}]
    validate_report(report)
    report["memorization_bins"] = [entry, {**entry, "auc": 0.55}]
    with pytest.raises(InputError, match=r"memorization_bins\[1\]: it is listed twice"):
        validate_report(report)
    report["memorization_bins"] = [{**entry, "fpr": 0.01, "tpr": 0.5, "tpr_low": 0.1, "tpr_high": 0.2}]
    with pytest.raises(InputError, match=r"memorization_bins\[0\]: tpr is 0.5 but its interval is \[0.1, 0.2\]"):
        validate_report(report)
    report["memorization_bins"] = [{**entry, "attack": "rmia"}]
    with pytest.raises(InputError, match="no attack is named 'rmia'"):
        validate_report(report)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (["robustness", "pgd"], {"accuracy": 0.4}, r"\$\.robustness: .*pgd"),
        (["robustness", "norm"], "l1", r"\$\.robustness\.norm"),
        (["robustness", "epsilon"], -0.1, r"\$\.robustness\.epsilon"),
        (["robustness", "space"], "tokens", r"\$\.robustness\.space"),
        (["robustness", "seconds"], ..., r"\$\.robustness: .*seconds"),
        (["robustness", "accuracies", 0, "set"], "all", r"accuracies\[0\]\.set"),
        (["robustness", "accuracies", 0, "value"], 0.6, r"accuracies\[0\]: value is 0.6 but its interval"),
        (["robustness", "accuracies", 0, "correct"], [True], r"accuracies\[0\]: .*correct"),
        (
            ["robustness", "memorization_bins", 0, "name"],
            "clean",
            r"memorization_bins\[0\]\.name: accuracies holds no",
        ),
        (["robustness", "memorization_bins", 0, "memorization_to"], -1, r"it goes from -1.0 to -1"),
        (["robustness", "membership_attacks", 0, "auc"], 0.9, r"membership_attacks\[0\]: auc is 0.9"),
        (["robustness", "targets", "n_targets"], 1, r"targets\.n_targets"),
        (["leakage_share", "attack"], "rmia", r"\$\.leakage_share\.attack: no attack is named 'rmia'"),
        (["leakage_share", "shares", 0, "share"], 1.2, r"shares\[0\]\.share"),
        (["leakage_share", "ids"], [1, 2], r"\$\.leakage_share: .*ids"),
    ],
)
def test_a_violation_of_robustness_or_leakage_is_named_with_its_path(robust_report, path, value, where):
    with pytest.raises(InputError, match=where):
        validate_report(changed(robust_report, path, value))


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (["evidence"], ..., r"\$: .*evidence"),
        (["evidence", "n_attacks"], 2, r"\$\.evidence\.n_attacks: it is 2 and p-values are given of 3"),
        (["evidence", "attacks", 0, "attack"], "entropy", r"\$\.evidence\.attacks: it must hold every attack"),
        (["evidence", "attacks", 2, "inputs"], "clean", r"\$\.evidence\.attacks: it must hold every attack"),
        (["evidence", "attacks", 1, "tpr"], [], r"attacks\[1\]\.tpr: .*each resolved false-positive rate of lira"),
        (["evidence", "attacks", 1, "auc"], 1e-6, r"attacks\[1\]: 2,000 permutations give no p-value below 0\.0005"),
        (["evidence", "attacks", 1, "auc"], 0, r"attacks\[1\]\.auc"),
        (["evidence", "strongest", "attack"], "loss", r"\$\.evidence\.strongest: by the figures it is lira \(tpr\)"),
        (["evidence", "strongest", "value"], 0.9, r"\$\.evidence\.strongest"),
        (["evidence", "strongest", "rows"], [1, 2], r"strongest.*rows"),
        (["leakage_share", "shares", 0, "low"], None, r"shares\[0\]: share, low and high are given together"),
        (["leakage_share", "shares", 0, "low"], 0.25, r"shares\[0\]: share is 0.2 but its interval"),
    ],
)
def test_evidence_that_does_not_fit_the_figures_is_refused(robust_report, path, value, where):
    with pytest.raises(InputError, match=where):
        validate_report(changed(robust_report, path, value))


def test_an_adversarial_accuracy_given_twice_is_refused(robust_report):
    robust_report["robustness"]["accuracies"] *= 2
    with pytest.raises(InputError, match="pgd of nonmembers is listed twice"):
        validate_report(robust_report)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (["schema_version"], 2, r"\$\.schema_version"),
        (["created"], "yesterday", r"\$\.created"),
        (["note"], "more", r"\$: .*note"),
        (["model", "note"], "more", r"\$\.model: .*note"),
        (["model", "weights_sha256"], "abc", r"\$\.model\.weights_sha256"),
        (["split", "n_members"], 0, r"\$\.split\.n_members"),
        (["utility"], ..., r"\$: .*utility"),
        (["attacks"], [], r"\$\.attacks"),
        (["attacks", 0, "auc"], 1.5, r"\$\.attacks\[0\]\.auc"),
        (["attacks", 0, "auc"], float("nan"), r"\$\.attacks\[0\]\.auc: nan is not a finite number"),
        (["attacks", 0, "auc"], 0.4, r"\$\.attacks\[0\]: auc is 0.4 but its interval is \[0.54, 0.66\]"),
        (["attacks", 1, "name"], "loss", r"\$\.attacks\[1\]\.name: .*twice"),
        (["attacks", 0, "tpr_at_fpr", 0, "tpr"], None, r"\$\.attacks\[0\]\.tpr_at_fpr\[0\]"),
        (["attacks", 0, "tpr_at_fpr", 0, "high"], None, r"\$\.attacks\[0\]\.tpr_at_fpr\[0\]\.high"),
        (["attacks", 0, "tpr_at_fpr", 0, "conditional_low"], 0.9, r"\$\.attacks\[0\]\.tpr_at_fpr\[0\]: tpr is"),
        (["attacks", 0, "tpr_at_fpr", 0, "conditional_low"], ..., r"\$\.attacks\[0\]\.tpr_at_fpr\[0\]"),
        (["curves", "rmia"], {}, r"\$\.curves\.rmia"),
        (["curves", "lira", "tpr"], [0, 1], r"\$\.curves\.lira: fpr has 3 points and tpr has 2"),
        (["curves", "lira", "member_counts"], [1], r"\$\.curves\.lira: member_counts has 1 bins"),
        (["references"], None, r"\$\.references: the depth is 'full'"),
        (["cost", "training_seconds"], -1, r"\$\.cost\.training_seconds"),
    ],
)
def test_a_violation_is_named_with_its_path(report, path, value, where):
    with pytest.raises(InputError, match=where):
        validate_report(changed(report, path, value))


def test_a_report_of_an_older_version_is_refused_in_one_sentence(report):
    older = {**report, "schema_version": "0.1"}
    for attack in older["attacks"]:
        for entry in attack["tpr_at_fpr"]:
            del entry["conditional_low"], entry["conditional_high"]
    with pytest.raises(InputError, match=r"^the privacy report is of version '0\.1', .*: audit again with `hf-"):
        validate_report(older)


def test_no_array_of_per_example_values_fits_in(report):
    report["training"]["members"] = list(range(65))
    with pytest.raises(InputError, match=r"\$\.training\.members"):
        validate_report(report)


def test_a_message_stays_one_sentence_when_the_value_is_long(report):
    report["model"]["architecture"] = "x" * 100_000
    with pytest.raises(InputError) as caught:
        validate_report(report)
    assert len(str(caught.value)) < 500


def test_loading_reads_what_was_written(make_folder):
    assert load_report_dict(make_folder())["depth"] == "full"


def test_a_missing_report_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="hf-privacy audit"):
        load_report_dict(tmp_path)


def test_what_is_not_json_is_refused(tmp_path):
    (tmp_path / "privacy_report.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        load_report_dict(tmp_path)


def test_json_with_nan_is_refused(tmp_path, report):
    report["utility"]["member_loss"] = float("nan")
    (tmp_path / "privacy_report.json").write_text(json.dumps(report))
    with pytest.raises(InputError, match="NaN"):
        load_report_dict(tmp_path)
