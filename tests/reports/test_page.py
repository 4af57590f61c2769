"""The HTML page."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from hf_privacy.reports import render_page


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in {"meta", "img", "br", "!doctype"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def page_of(report) -> tuple[str, Page]:
    text = render_page(report, roc_png=b"\x89PNG roc", scores_png=b"\x89PNG scores")
    return text, Page(text)


def test_nothing_is_fetched_from_elsewhere(report):
    text, page = page_of(report)
    assert not page.all("script")
    assert not page.all("link")
    assert not page.all("iframe")
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    for _, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on")}
        assert (attributes.get("src") or "data:").startswith("data:")


def test_both_plots_are_inside_with_a_text_for_those_who_cannot_see_them(report):
    _, page = page_of(report)
    images = page.all("img")
    assert [base64.b64decode(image["src"].partition("base64,")[2]) for image in images] == [
        b"\x89PNG roc",
        b"\x89PNG scores",
    ]
    assert all(len(image["alt"]) > 40 for image in images)


def test_every_tag_is_closed_and_every_header_cell_says_what_it_heads(report):
    _, page = page_of(report)
    assert page.open == []
    assert {cell.get("scope") for cell in page.all("th")} == {"col", "row"}
    assert page.all("html")[0]["lang"] == "en"


def test_figures_meaning_identity_and_caveats_are_all_there(report):
    _, page = page_of(report)
    for said in (
        "digits-resnet", "LiRA (online, pooled variance)", "lower bound on leakage, not a guarantee",
        "Near repeats were not counted.", "near repeats not counted", report.model["weights_sha256"], "5e5e",
        "timm/resnet18.a1_in1k", "torch", "2.15.0", "31.2 s", "Guaranteed, at most", "96.2 %", "learning_rate",
    ):  # fmt: skip
        assert said in page.text
    assert report.headline().split(" ")[0] in page.text


def test_an_unresolved_rate_shows_its_reason(report):
    text, _ = page_of(report)
    assert 'title="200 non-members cannot resolve a false positive rate of 0.001' in text


@pytest.mark.parametrize("place", ["name", "architecture"])
def test_text_from_the_report_is_escaped(report, place):
    report.model[place] = "<script>alert(1)</script>"
    report.caveats = ["a < b & <img src=x>"]
    _, page = page_of(report)
    assert not page.all("script")
    assert len(page.all("img")) == 2
    assert "<script>alert(1)</script>" in page.text
    assert "a < b & <img src=x>" in page.text


def test_light_and_dark_and_narrow_screens(report):
    text, page = page_of(report)
    assert "prefers-color-scheme: dark" in text
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_parts_that_later_audits_fill_are_shown_when_filled(report):
    report.epsilon["upper"] = {"epsilon": 8.0, "delta": 1e-5, "accountant": "PRV", "sampler": "Poisson"}
    report.defense = {"name": "relaxloss", "parameters": {"alpha": 0.5}, "paper": {"title": "RelaxLoss", "id": "X"}}
    _, page = page_of(report)
    for said in (
        "ε = 8 at δ = 1e-05",
        "RelaxLoss (X)",
        "alpha",
    ):
        assert said in page.text


GROUP = {
    "attack": "loss", "n_members": 1234, "n_nonmembers": 567, "auc": 0.61, "auc_low": 0.6, "auc_high": 0.62,
    "confidence": 0.95, "fpr": 0.01, "tpr": 0.25, "tpr_low": 0.2, "tpr_high": 0.3,
}  # fmt: skip


def test_leakage_by_class_and_by_memorization_has_its_tables(report):
    assert "By class" not in page_of(report)[1].text
    report.class_slices = [{"class": "forest", **GROUP}]
    report.memorization_bins = [
        {"memorization_from": low, "memorization_to": high, **GROUP} for low, high in ((-1.0, 0.1), (0.1, 0.25))
    ]
    text = page_of(report)[1].text
    for said in ("By class", "forest", "1,234, 567", "[20.0, 30.0]", "By memorization", "below 0.1", "0.1 to 0.25"):
        assert said in text


def test_many_classes_are_folded_away(report):
    report.class_slices = [{"class": "forest", **GROUP}] * 12
    assert "12 classes" not in page_of(report)[1].text
    report.class_slices = [{"class": "forest", **GROUP}] * 13
    assert "13 classes" in page_of(report)[1].text


def test_a_group_without_a_resolved_rate_has_no_such_column(report):
    report.class_slices = [{"class": "forest", **{k: v for k, v in GROUP.items() if "pr" not in k}}]
    assert "forest" in page_of(report)[1].text


def test_the_page_says_whether_the_split_can_be_told_without_the_model(report):
    assert "not tried" in page_of(report)[1].text
    report.blind_baseline = {"auc": 0.51, "auc_low": 0.49, "auc_high": 0.53, "confidence": 0.95, "differs": False}
    assert "AUC 0.510 [0.490, 0.530]" in page_of(report)[1].text


def test_a_quick_report_has_its_page_too(quick_report):
    _, page = page_of(quick_report)
    assert "Quick depth" in page.text
    assert "quick audit" in page.text


def test_figures_over_several_training_runs_have_their_own_table(report, report_over_runs):
    assert "training runs" not in page_of(report)[1].text
    text = page_of(report_over_runs)[1].text
    for said in (
        "Over 4 training runs",
        "0.765",
        "[0.750, 0.780]",
        "21.0 %",
        "[0.0, 43.0]",
        "on 4 models of the same",
    ):
        assert said in text
