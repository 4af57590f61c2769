"""A report does not take the place of one that says more of the same weights."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_privacy.errors import InputError
from hf_privacy.hub.strength import Strength, refuse_weaker
from hf_privacy.reports import PrivacyReport

STRENGTHS = st.builds(
    Strength,
    depth=st.sampled_from(["quick", "full"]),
    references=st.integers(0, 4),
    confidence=st.sampled_from([0.5, 0.95]),
    fprs=st.frozensets(st.sampled_from([0.001, 0.01])),
    attacks=st.frozensets(st.sampled_from(["loss", "lira"])),
    sections=st.frozensets(st.sampled_from(["canaries", "unlearning"])),
)


@given(STRENGTHS, STRENGTHS, STRENGTHS)
def test_lacking_is_an_order(one, two, three):
    assert one.lacks(one) == []
    if not one.lacks(two) and not two.lacks(three):
        assert not one.lacks(three)
    if not one.lacks(two) and not two.lacks(one):
        assert one == two


def test_a_users_own_examination_is_not_lost_unseen(make_folder):
    folder, report = make_folder(), None
    report = json.loads((folder / "privacy_report.json").read_text())
    report["outside"] = {"mine": {"accuracy": 0.5}}
    (folder / "privacy_report.json").write_text(json.dumps(report))
    weights, strength = report["model"]["weights_sha256"], Strength.of(report)
    assert "mine" in strength.sections
    refuse_weaker(folder, weights, strength)
    with pytest.raises(InputError, match="this one has no section mine: audit as deeply"):
        refuse_weaker(folder, weights, strength._replace(sections=strength.sections - {"mine"}))


def weaker(report, how, made_up_evidence):
    report = json.loads(json.dumps(report))
    if how == "quick":
        report.update(depth="quick", references=None)
    elif how == "fewer references":
        report["references"]["n_models"] = 4
    elif how == "less confidence":
        report["attacks"][0]["confidence"] = 0.5
    elif how == "no attack":
        report["attacks"].pop()
        report["curves"] = {}
    elif how == "no FPR":
        for entry in report["attacks"]:
            entry["tpr_at_fpr"] = []
    return {**report, "evidence": made_up_evidence(report)}


HOW = {
    "quick": "depth quick and not full",
    "fewer references": "4 reference models and not 8",
    "less confidence": "confidence 0.5 and not 0.95",
    "no attack": "no attack lira",
    "no FPR": "no TPR at FPR 0.01",
}


@pytest.mark.parametrize("how", HOW)
def test_a_weaker_report_is_refused_and_the_stronger_one_stays(make_folder, made_up_evidence, how):
    folder = make_folder()
    there = (folder / "privacy_report.json").read_bytes()
    report = PrivacyReport.from_dict(weaker(json.loads(there), how, made_up_evidence))
    with pytest.raises(InputError, match=f"deeper privacy report of the same weights, and this one has .*{HOW[how]}"):
        report.save(folder)
    assert (folder / "privacy_report.json").read_bytes() == there
    report.save(folder, replace_report=True)
    assert PrivacyReport.load(folder) == report


def test_an_equal_or_stronger_one_takes_its_place(make_folder):
    folder = make_folder()
    report = PrivacyReport.load(folder)
    report.save(folder)
    report.references["n_models"] = 16
    report.save(folder)
    assert PrivacyReport.load(folder).references["n_models"] == 16


def test_a_report_of_other_weights_and_one_that_cannot_be_read_do_not_count(make_folder, made_up_evidence):
    folder = make_folder()
    report = json.loads((folder / "privacy_report.json").read_text())
    strength = Strength.of(weaker(report, "quick", made_up_evidence))
    refuse_weaker(folder, "f" * 64, strength)
    (folder / "privacy_report.json").write_text("{broken")
    refuse_weaker(folder, report["model"]["weights_sha256"], strength)


def test_an_attack_of_ones_own_is_not_lost_unseen(make_folder, made_up_evidence):
    folder = make_folder()
    report = json.loads((folder / "privacy_report.json").read_text())
    report["attacks"].append({**report["attacks"][0], "name": "my_attacks:gain"})
    report["evidence"] = made_up_evidence(report)
    (folder / "privacy_report.json").write_text(json.dumps(report))
    weights, strength = report["model"]["weights_sha256"], Strength.of(report)
    refuse_weaker(folder, weights, strength, attacks=["label_only"])
    with pytest.raises(InputError, match="no attack my_attacks:gain"):
        refuse_weaker(folder, weights, strength._replace(attacks=frozenset()), attacks=["label_only"])
