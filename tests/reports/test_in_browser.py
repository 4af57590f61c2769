"""The page in a real browser: narrow, wide, dark, by keyboard and on paper."""

from __future__ import annotations

import copy
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from browser import NAMES, Browser, executable
from made_up_extraction import FOUND as EXTRACTION
from made_up_unlearning import SECTION
from PIL import Image

from hf_privacy.reports import PrivacyReport, render_page

pytestmark = pytest.mark.skipif(executable() is None, reason=f"there is no browser: none of {', '.join(NAMES)}")
ROOT = Path(__file__).resolve().parents[2]
FAULTS = (ROOT / "tests" / "page_faults.js").read_text(encoding="utf-8")
MADE = ("everything", "unlearning", "language")
PAPER = 703  # CSS pixels of A4's width between the page's margins of 12 mm
AA = 4.5  # the least contrast of text, WCAG 2


def committed() -> list[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return []
    listed = subprocess.run(["git", "ls-files", "*privacy_report.html"], cwd=ROOT, capture_output=True, text=True)
    return listed.stdout.split()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def made(request, report_dict):
    """A report with every section, one of an unlearned model, and a language model's."""

    def make(name: str) -> PrivacyReport:
        if name == "unlearning":
            return PrivacyReport.from_dict(report_dict | {"unlearning": copy.deepcopy(SECTION)})
        if name == "language":
            made = request.getfixturevalue("language_dict")()
            return PrivacyReport.from_dict(made | {"extraction": copy.deepcopy(EXTRACTION)})
        request.getfixturevalue("report_over_runs")
        everything = request.getfixturevalue("robust_dict")
        a_bin, attack = everything["memorization_bins"][0], everything["targets"]["attacks"][0]
        part = {key: value for key, value in a_bin.items() if "memorization" not in key}
        everything |= {
            "class_slices": [{**part, "class": f"class {number}"} for number in range(14)],
            "unlearning": copy.deepcopy(SECTION),
            "extraction": copy.deepcopy(EXTRACTION),
            "outside": {"token_length": {"mean": 12.5, "a_name_that_is_long": {"of": "w" * 80}}},
            "budgets": {
                "n_targets": 4, "confidence": 0.95, "attacks": [{**attack, "n_references": count} for count in (2, 4)],
            },
        }  # fmt: skip
        return PrivacyReport.from_dict(everything)

    return make


@pytest.fixture(params=[*MADE, *committed()])
def page(request, made, tmp_path) -> Path:
    if request.param not in MADE:
        return ROOT / request.param
    blank = io.BytesIO()
    Image.new("RGB", (1050, 1020), "white").save(blank, format="PNG")
    report, file = made(request.param), tmp_path / "page.html"
    parts = {"budgets": report.budgets, "memorization": report.memorization_bins, "extraction": report.extraction}
    plots = ["roc_png", "scores_png", *(f"{name}_png" for name, part in parts.items() if part)]
    text = render_page(report, **dict.fromkeys(plots, blank.getvalue()))
    file.write_text(text, encoding="utf-8")
    return file


def found(browser: Browser, call: str) -> Any:
    return browser.value(f"{FAULTS}\nfaults.{call}")


def walked(browser: Browser) -> list[str]:
    """What is wrong on a walk over the page by the keyboard alone, on which everything folded is opened."""
    wrong: list[str] = []
    places: list[int] = []
    while True:
        browser.press("Tab")
        at = found(browser, "focused()")
        if at["place"] < 0 or at["place"] in places:
            break
        places.append(at["place"])
        wrong += [f"{at['text']} is not {what}" for what in ("outlined", "seen", "named") if not at[what]]
        if at["folded"]:
            browser.press("Enter")
            wrong += [f"{at['text']} does not open"] * found(browser, "focused()")["folded"]
        if at["wide"]:
            browser.press("ArrowRight")
            wrong += [f"{at['text']} does not scroll"] * (not browser.value("document.activeElement.scrollLeft"))
    count = found(browser, "reachable()")
    return wrong if places == list(range(count)) else [*wrong, f"reached {places} of {count}"]


def test_a_narrow_and_a_wide_screen_scroll_tables_and_never_the_page(browser, page):
    for width in (390, 1280):
        browser.open(page, width=width)
        found(browser, "open()")
        assert found(browser, "tooWide()") == []
        assert found(browser, "headlinesOutOfSight()") == []
    assert found(browser, "withoutCaption()") == []


def test_all_text_stands_out_in_light_and_dark(browser, page):
    for scheme, least, most in (("light", 200, 255), ("dark", 0, 60)):
        browser.open(page, width=1280, scheme=scheme)
        back = browser.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert all(least <= channel <= most for channel in back)
        found(browser, "open()")
        assert found(browser, f"faintText({AA})") == []


def test_the_keyboard_reaches_and_moves_everything(browser, page):
    browser.open(page, width=390)
    assert walked(browser) == []


def test_paper_holds_every_column_and_what_is_folded(browser, page):
    browser.open(page, width=PAPER, media="print", scheme="dark")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert found(browser, "tooWide()") == []
    assert found(browser, "cutInPrint()") == []
    assert len(re.findall(rb"/Type\s*/Page\b", browser.pdf())) > 2


def test_level_budget_and_what_now_stand_on_a_phones_first_screen(browser, page):
    browser.open(page, width=390, height=844)
    assert {"Level", "Budget", "What now"} <= set(found(browser, "firstScreen()"))


def test_each_fault_is_found_where_it_is(browser, tmp_path):
    wide = "<td>wide</td>" * 40
    file = tmp_path / "page.html"
    file.write_text(
        "<style>.faint { color: #999 } :focus { outline: none } .scroll { overflow-x: auto }</style><main>"
        f'<p class="faint">grey</p><table><tr><th>name</th>{wide}</tr></table><div class="scroll" tabindex="0">'
        f"<table><tr><th>first</th>{wide * 3}</tr></table></div><details><summary>more</summary><p>folded</p>"
        '</details><button tabindex="-1">never</button></main>'
    )
    browser.open(file, width=390)
    assert any("the page is" in fault for fault in found(browser, "tooWide()"))
    assert "first is away when scrolled" in found(browser, "headlinesOutOfSight()")
    assert len(found(browser, "withoutCaption()")) == 2
    assert found(browser, f"faintText({AA})") == ["2.85: grey"]
    browser.open(file, width=390)
    wrong = walked(browser)
    assert "more is not outlined" in wrong
    assert any("wide is not named" in fault for fault in wrong)
    assert any("of 3" in fault for fault in wrong)
    browser.open(file, width=PAPER, media="print")
    kinds = {fault.partition(":")[0] for fault in found(browser, "cutInPrint()")}
    assert kinds == {"cut", "not printed", "torn"}
