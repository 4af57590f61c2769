"""The gate holds its budgets against whichever side of an attack's scores tells more, where the report has both."""

from __future__ import annotations

import json

import pytest

from hf_privacy.hub import GateError, check_gate
from hf_privacy.hub.headline import headline
from hf_privacy.reports import PrivacyReport

ENDS = {"low": 0.01, "high": 0.2, "conditional_low": 0.05, "conditional_high": 0.15}


@pytest.fixture
def folder(make_folder, made_up_evidence):
    """A folder whose report has members score lowest by LOSS: AUC 0.38 [0.34, 0.42], 0.62 [0.58, 0.66] when read."""
    path = make_folder()
    file = path / "privacy_report.json"
    report = json.loads(file.read_text())
    for attack in report["attacks"]:
        low = attack["name"] == "loss"
        attack.update(auc=0.38 if low else 0.5, auc_low=0.34 if low else 0.46, auc_high=0.42 if low else 0.54)
        rates = [
            entry if entry["tpr"] is None else {**entry, **ENDS, "tpr": 0.09, "side": "low", "low_tail": 0.09}
            for entry in attack["tpr_at_fpr"]
        ]
        attack["two_sided"] = {
            "side": "low" if low else "high", "auc": 0.62 if low else 0.5, "auc_low": 0.58 if low else 0.5,
            "auc_high": 0.66 if low else 0.54, "balanced_accuracy": 0.6, "advantage": 0.2, "tpr_at_fpr": rates,
        }  # fmt: skip
    report["evidence"] = made_up_evidence(report)
    file.write_text(json.dumps(report))
    return path


def test_members_that_score_lowest_do_not_pass_a_budget_that_one_side_would(folder):
    assert check_gate(folder, max_auc=0.67)
    with pytest.raises(GateError, match=r"max_auc 0\.6 .* loss \(read from both sides\), 0\.66 \(AUC 0\.620"):
        check_gate(folder, max_auc=0.6)
    with pytest.raises(GateError, match=r"the highest upper end is that of .* \(read from both sides\), 0\.2 "):
        check_gate(folder, max_tpr_at_fpr=(0.01, 0.15))


def test_page_card_and_headline_say_which_side(folder):
    report = PrivacyReport.load(folder)
    assert "by the lowest scores" in report.table()
    assert "0.620 [0.580, 0.660]" in report.table()
    page = report.rendered()["privacy_report.html"].decode()
    assert "LOSS, by the lowest scores" in page or "loss, by the lowest scores" in page.lower()
    assert "each attack was read from both sides" in page
    assert "The reference models were trained under the same defence." in page
    assert "by the lowest scores" in headline(vars(report))
