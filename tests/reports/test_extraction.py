"""What a report says of extraction, and what it may never hold of it."""

from __future__ import annotations

import copy

import pytest
from made_up_extraction import FOUND, share, sides

from hf_privacy.errors import InputError
from hf_privacy.reports import CardData, PrivacyReport, render_card, render_page, what_it_does_not_mean, what_it_means
from hf_privacy.reports.sections.extraction import EXTRACTION_FILE


@pytest.fixture
def with_extraction(report_dict):
    def make(**changes) -> PrivacyReport:
        report_dict.update(extraction={**copy.deepcopy(FOUND), **changes})
        return PrivacyReport.from_dict(report_dict)

    return make


def test_it_is_said_beside_held_out_texts_and_the_base(with_extraction):
    (said,) = (sentence for sentence in what_it_means(with_extraction()) if "greedy decoding" in sentence)
    assert said == (
        "Given its beginning, greedy decoding gives the rest of a text (up to 50 tokens) back word for word for 34 % "
        "of training texts and 2 % of held-out ones; the base model for 1 % and 1 %: +32.00 points [+26.00, +38.00] "
        "are owed to training."
    )
    assert any("a near copy" in sentence for sentence in what_it_does_not_mean(with_extraction()))


def test_none_is_not_said_to_be_leakage(with_extraction):
    (said,) = (s for s in what_it_means(with_extraction(greedy=sides(4, 4))) if "greedy decoding" in s)
    assert "nothing is shown to be owed to training (+0.00 points [-6.00, +6.00])" in said


def test_table_page_and_card_show_it(with_extraction, tmp_path):
    report = with_extraction()
    table = report.table()
    assert "34.0 [29.0, 39.0]" in table
    assert "+32.0 [+26.0, +38.0]" in table
    assert max(map(len, table.splitlines())) <= 100
    page = render_page(report, roc_png=b"", scores_png=b"", extraction_png=b"plot")
    card = render_card(report, CardData(model_name="lm"))
    for text in (page, card):
        assert "34.0 [29.0, 39.0]" in text
        assert "10,000 samples" in text
        assert "with a probability of one half or more" in text
        assert "stands 2 or more times in the training set" in text
        assert "12.5 tokens (25 % of the text) and 12 %" in text
        assert "Base model, both" in text
    assert "<h3>Extraction</h3>" in page
    report.save(tmp_path)
    assert (tmp_path / EXTRACTION_FILE).read_bytes().startswith(b"\x89PNG")
    assert PrivacyReport.load(tmp_path).extraction == report.extraction


def test_without_a_base_its_columns_are_left_out(with_extraction):
    plain = {**sides(68, 4), "base_members": None, "base_heldout": None}
    curve = [{"n": 1, "p": 0.5, **plain}]
    report = with_extraction(greedy=plain, sampling={**FOUND["sampling"], "curve": curve}, overlap=None, repeats=[])
    assert "Base model" not in report.table() + render_card(report, CardData())
    assert report.rendered()[EXTRACTION_FILE].startswith(b"\x89PNG")


def test_a_report_without_it_says_and_holds_nothing_of_it(report_dict, tmp_path):
    report = PrivacyReport.from_dict(report_dict)
    assert "extraction" not in report.to_dict()
    page = render_page(report, roc_png=b"", scores_png=b"")
    assert "xtraction" not in page.replace("attributes, reconstruction or extraction", "") + report.table()
    (tmp_path / EXTRACTION_FILE).write_bytes(b"old")
    report.save(tmp_path)
    assert not (tmp_path / EXTRACTION_FILE).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"greedy": {**sides(68, 4), "texts": ["a"]}}, r"\$.extraction"),
        ({"token_ids": [1, 2]}, r"\$.extraction"),
        ({"greedy": {**sides(68, 4), "members": {**share(3), "rate": 0.9}}}, r"rate is 0.9 but its interval"),
        ({"greedy": {**sides(68, 4), "leakage": {"value": 0.5, "low": 0.6, "high": 0.7}}}, "value is 0.5"),
        ({"sampling": {**FOUND["sampling"], "curve": []}}, r"\$.extraction"),
    ],
)
def test_what_cannot_be_or_holds_more_than_aggregates_is_refused(with_extraction, changes, message):
    with pytest.raises(InputError, match=message):
        with_extraction(**changes)
