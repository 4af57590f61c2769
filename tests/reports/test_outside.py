"""Sections of examinations that are not this package's."""

from __future__ import annotations

import json

import pytest

from hf_privacy.errors import InputError
from hf_privacy.reports import CardData, PrivacyReport, render_card

FOUND = {"token_length": {"mean": 12.5, "by | kind": {"short": 3, "long": [1, 2]}, "passed": True}}


def test_it_is_in_table_page_card_and_json(report_dict, tmp_path):
    report = PrivacyReport.from_dict({**report_dict, "outside": FOUND})
    assert report.table().endswith(
        "token_length\n  mean: 12.5\n  by | kind.short: 3\n  by | kind.long: 1, 2\n  passed: yes"
    )
    page = report.rendered()["privacy_report.html"].decode()
    assert '<h2 id="outside-1">token_length</h2>' in page
    assert '<tr><th scope="row">mean</th><td>12.5</td></tr>' in page
    assert "### token_length" in (card := render_card(report, CardData()))
    assert "| by \\| kind.long | 1, 2 |" in card
    report.save(tmp_path)
    assert PrivacyReport.load(tmp_path).outside == FOUND


def test_a_report_without_any_is_as_before(report, tmp_path):
    assert "outside" not in report.to_dict()
    assert "outside" not in json.loads(report.save(tmp_path).read_text())


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"mine": {"folder": "/home/ada/run"}}, "outside.mine.folder holds the absolute path"),
        ({"mine": {"token": "hf_" + "a" * 34}}, "outside.mine.token holds"),
        ({"mine": {"scores": [0.5] * 65}}, "not valid at"),
        ({"mine": {"rate": float("nan")}}, "not a finite number"),
        ({"../mine": {}}, "not valid at"),
        ({"mine": 3}, "not valid at"),
    ],
)
def test_what_may_not_be_published_is_refused(report_dict, found, said):
    report = PrivacyReport.from_dict(report_dict)
    report.outside = found
    with pytest.raises(InputError, match=said):
        report.to_dict()
