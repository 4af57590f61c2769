"""Traps 5, 6 and 17: a push is one private commit of weights, card and report, or it is refused with nothing sent."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from local_hub import WRITE_TOKEN, running_hub

from hf_privacy.hub import validate_report
from hf_privacy.reports import curve_of
from hf_privacy.statistics import summarize

HERE = Path(__file__).parent


def report_template(made_up_evidence) -> dict:
    """A valid report of one attack at AUC 0.875, for weights that do not exist."""
    scores, membership = [*range(50, 150), *range(100)], [True] * 100 + [False] * 100
    accuracy = {"value": 0.9, "low": 0.85, "high": 0.94}
    report = {
        "schema_version": "0.2",
        "created": "2026-11-23T10:00:00Z",
        "model": {
            "name": "digits",
            "architecture": "ViTForImageClassification",
            "base_model": None,
            "base_revision": None,
            "weights_sha256": "0" * 64,
            "n_parameters": 6,
            "n_trainable_parameters": 6,
            "adapter": None,
        },
        "dataset": {"name": "digits", "revision": None, "fingerprint": "ab12", "n_examples": 200, "n_classes": 3},
        "split": {
            "hash": "cd34",
            "n_members": 100,
            "n_nonmembers": 100,
            "n_population": 0,
            "stratified": True,
            "exact_repeats": 0,
            "near_repeats": None,
        },
        "defense": {"name": "none", "parameters": {}, "paper": None},
        "training": {"learning_rate": 0.001},
        "epsilon": {"upper": None, "lower": None},
        "depth": "quick",
        "references": None,
        "attacks": [
            {
                "name": "loss",
                "title": "LOSS",
                "n_references": 0,
                "queries": ["identity"],
                "parameters": {},
                **summarize(scores, membership),
            }
        ],
        "curves": {"loss": curve_of(scores, membership)},
        "utility": {
            "member_accuracy": accuracy,
            "nonmember_accuracy": accuracy,
            "member_loss": 0.2,
            "nonmember_loss": 0.4,
        },
        "targets": None,
        "memorization_bins": None,
        "robustness": None,
        "unlearning": None,
        "cost": {"training_seconds": 1, "references_seconds": None, "signals_seconds": 1, "attacks_seconds": 1},
        "versions": {"torch": "2.6.0"},
        "caveats": [],
    }
    report["evidence"] = made_up_evidence(report)
    validate_report(report)
    return report


@pytest.fixture(scope="module")
def local_hub(tmp_path_factory):
    """The running local Hub, one for the tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub_client")) as hub:
        yield hub


@pytest.fixture(scope="module")
def pushes(local_hub, tmp_path_factory, made_up_evidence):
    """What each push of `push_scenarios.py` answered, and the folder it trained in."""
    folder = tmp_path_factory.mktemp("trained")
    template = folder / "template.json"
    template.write_text(json.dumps(report_template(made_up_evidence)))
    env = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE.parent), str(HERE)])}
    command = [sys.executable, str(HERE / "push_scenarios.py"), str(folder), str(template)]
    done = local_hub.run(command, env=env, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return {"folder": folder, **json.loads(done.stdout.strip().splitlines()[-1])}


def test_trap_6_training_with_checkpoints_sends_nothing(pushes):
    assert pushes["training"] == {"sent": False, "checkpoints": 2}


def test_a_push_without_a_report_is_refused_and_sends_nothing(pushes):
    refusal = pushes["without a report"]
    assert (refusal["kind"], refusal["sent"]) == ("GateError", False)
    assert "there is no privacy_report.json" in refusal["text"]


def test_a_push_of_other_weights_than_were_audited_is_refused_and_sends_nothing(pushes):
    refusal = pushes["other weights"]
    assert (refusal["kind"], refusal["sent"]) == ("GateError", False)
    assert "the report is for other weights" in refusal["text"]


def test_a_push_over_the_budget_of_the_config_is_refused_and_sends_nothing(pushes):
    refusal = pushes["over the budget"]
    assert (refusal["kind"], refusal["sent"]) == ("OverBudgetError", False)
    assert "max_auc 0.65" in refusal["text"]


def test_a_quick_audit_does_not_unlock_the_budget_of_the_config(pushes):
    refusal = pushes["of a quick audit"]
    assert (refusal["kind"], refusal["sent"]) == ("GateError", False)
    assert "of a quick audit and a budget on leakage asks for a full one" in refusal["text"]


def test_every_other_way_to_publish_refuses_and_sends_nothing(pushes, local_hub):
    assert len(pushes["side doors"]) == 8
    for name, answer in pushes["side doors"].items():
        assert answer == {"kind": "InputError", "sent": False}, name
    assert local_hub.repository("tester/side") is None


def test_a_push_in_the_background_is_refused(pushes):
    assert (pushes["not blocking"]["kind"], pushes["not blocking"]["sent"]) == ("InputError", False)


@pytest.mark.parametrize("name", ["dry run", "dry run unaudited"])
def test_a_dry_run_names_the_files_and_sends_nothing(name, pushes):
    plan = pushes[name]
    assert (plan["kind"], plan["sent"]) == ("PushPlan", False)
    files = {file for file, _ in plan["files"]}
    assert {"model.safetensors", "config.json", "preprocessor_config.json", "README.md"} <= files
    assert ("privacy_report.json" in files) == (name == "dry run")


def test_trap_6_on_push_begin_fires_once_a_push(pushes):
    assert pushes["audited"]["begun"] == 1
    assert pushes["without a report"]["begun"] == 1


def test_trap_17_an_audited_push_is_one_private_commit_of_weights_card_and_report(pushes, local_hub):
    assert pushes["audited"]["kind"] == "CommitInfo"
    (commit,) = local_hub.commits("tester/audited")
    assert commit["message"] == "Digits"
    assert {"model.safetensors", "config.json", "README.md", "privacy_report.json"} <= set(commit["added"])
    assert local_hub.repository("tester/audited")["private"]


@pytest.mark.parametrize("name", ["audited", "unaudited", "adapter"])
def test_trap_18_no_state_no_arguments_no_token_and_no_path_is_uploaded(name, pushes, local_hub):
    files = local_hub.files(f"tester/{name}")
    unwanted = r"checkpoint-|optimizer|scheduler|rng_state|training_args|trainer_state|\.(bin|pt|pth|pkl)$"
    assert not [file for file in files if re.search(unwanted, file)]
    for secret in (WRITE_TOKEN, str(pushes["folder"]), str(HERE)):
        assert not [file for file, content in files.items() if secret.encode() in content]


def test_the_uploaded_weights_are_those_on_disk_and_the_card_carries_the_report(pushes, local_hub):
    files = local_hub.files("tester/audited")
    card = files["README.md"].decode()
    assert "| LOSS | none | 0.875 [" in card
    assert 'from_pretrained("tester/audited")' in card
    assert "license: mit" in card
    report = json.loads(files["privacy_report.json"])
    saved = json.loads((pushes["folder"] / "audited" / "privacy_report.json").read_text())
    assert report == saved


def test_an_unaudited_push_says_so_on_its_card(pushes, local_hub):
    assert pushes["unaudited"]["kind"] == "CommitInfo"
    (commit,) = local_hub.commits("tester/unaudited")
    assert "Unaudited" in commit["description"]
    card = local_hub.files("tester/unaudited")["README.md"].decode()
    assert re.search("unaudited", card, re.IGNORECASE)
    assert "privacy_report.json" not in commit["files"]


def test_an_adapter_on_a_local_base_needs_the_id_of_its_base(pushes, local_hub):
    refusal = pushes["adapter on a local base"]
    assert (refusal["kind"], refusal["sent"]) == ("InputError", False)
    assert "base_model_id" in refusal["text"]
    assert pushes["adapter"]["kind"] == "CommitInfo"
    files = local_hub.files("tester/adapter")
    assert "adapter_model.safetensors" in files
    assert "model.safetensors" not in files
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "ann/tiny-bert"
    assert "ann/tiny-bert" in files["README.md"].decode()
