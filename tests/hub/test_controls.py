"""A control is shown and is no evidence: not for the sentence, the strongest attack, the order or the gate."""

from __future__ import annotations

import copy
import json

import pytest

from hf_privacy.attack_table import ATTACKS, is_control
from hf_privacy.hub import check_gate, headline, strength_order, strongest_attack, validate_report
from hf_privacy.hub.evidence import all_attacks
from hf_privacy.reports import PrivacyReport


@pytest.fixture
def with_control(make_folder):
    """A folder whose report has length alone, which tells every member, beside its attacks; and the report without."""
    folder = make_folder()
    file = folder / "privacy_report.json"
    report = json.loads(file.read_text())
    before = copy.deepcopy(report)
    control = copy.deepcopy(report["attacks"][0]) | {
        "name": "length", "title": ATTACKS["length"].title, "auc": 0.999, "auc_low": 0.998, "auc_high": 0.9999,
    }  # fmt: skip
    for entry in control["tpr_at_fpr"]:
        entry.pop("reason", None)
        entry |= {"tpr": 0.99, "low": 0.98, "high": 0.999, "conditional_low": 0.985, "conditional_high": 0.995}
    report["attacks"].insert(1, control)
    file.write_text(json.dumps(report))
    return folder, report, before


def test_length_alone_is_the_one_control():
    assert [name for name in ATTACKS if is_control(name)] == ["length"]


def test_sentence_order_and_strongest_are_those_without_it(with_control):
    _, report, before = with_control
    validate_report(report)
    assert all_attacks(report) == all_attacks(before)
    assert strength_order(report) == strength_order(before)
    assert strongest_attack(report) == strongest_attack(before)
    assert headline(report) == headline(before)


def test_the_gate_judges_by_the_attacks(with_control):
    folder, _, before = with_control
    highest = max(attack["auc_high"] for attack in before["attacks"])
    assert highest < 0.9
    assert check_gate(folder, max_auc=highest + 0.01)


def test_the_table_shows_it(with_control):
    folder, _, _ = with_control
    assert "Length alone (control)" in PrivacyReport.load(folder).table()


def test_evidence_that_counts_it_is_refused(with_control):
    _, report, _ = with_control
    evidence = report["evidence"]
    evidence["attacks"].insert(1, {**copy.deepcopy(evidence["attacks"][0]), "attack": "length"})
    evidence["n_attacks"] += 1
    with pytest.raises(ValueError, match="must hold every attack of the report but its controls once"):
        validate_report(report)
