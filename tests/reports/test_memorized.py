"""What a report says of how much of a language model's rows is memorized, and what it may never hold of it."""

from __future__ import annotations

import copy

import pytest

from hf_privacy.errors import InputError
from hf_privacy.reports import CardData, PrivacyReport, render_card

ADAPTER = CardData(repo_id="ada/tofu-lora", library_name="peft", pipeline_tag="text-generation")
FOUND = {
    "measure": "probability", "n_references": 8, "n_examples": 120, "confidence": 0.95, "mean": 0.03, "low": 0.02,
    "high": 0.04, "standard_error": 0.012, "reliability": 0.6,
    "groups": {"n_groups": 30, "n_above": 21, "mean": 0.03, "low": 0.02, "high": 0.04},
    "curvature": {
        "spearman": 0.4, "low": 0.2, "high": 0.6, "n_examples": 60,
        "base": {"spearman": 0.1, "low": -0.1, "high": 0.3},
    },
}  # fmt: skip


def test_table_page_and_card_say_it(language_dict):
    report = PrivacyReport.from_dict({**language_dict(), "memorization": copy.deepcopy(FOUND)})
    texts = [report.table(), report.rendered()["privacy_report.html"].decode(), render_card(report, ADAPTER)]
    for text in texts:
        text = " ".join(text.split()).replace("\\", "")
        assert "0.030 [0.020, 0.040] more probability" in text
        assert "21 have an interval above 0" in text
        assert "0.40 [0.20, 0.60]; that of the base checkpoint 0.10 [-0.10, 0.30]" in text


def test_without_groups_and_curvature_nothing_is_said_of_them(language_dict):
    made = {**FOUND, "groups": None, "curvature": None, "standard_error": None, "reliability": None}
    said = PrivacyReport.from_dict({**language_dict(), "memorization": made}).table()
    assert "interval over rows" in " ".join(said.split())
    assert "curvature of the loss" not in said
    assert "standard error" not in said


def test_a_report_without_it_is_as_before(language_dict):
    report = PrivacyReport.from_dict(language_dict())
    assert "memorization" not in report.to_dict()
    assert "more probability" not in report.table()


@pytest.mark.parametrize(
    "change", [{"scores": [0.1, 0.2]}, {"mean": 2.0}, {"groups": {"n_groups": 3, "names": ["a"]}}]
)
def test_no_row_and_no_group_fits_in(change, language_dict):
    made = {**language_dict(), "memorization": {**FOUND, **change}}
    with pytest.raises(InputError, match=r"\$\.memorization"):
        PrivacyReport.from_dict(made).to_dict()
