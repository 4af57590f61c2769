"""`hf-privacy report` for a program and for an impact assessment: alone on standard output, and nothing written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hf_privacy.cli import main

CARDS = Path(__file__).parents[2] / "model_cards"
pytestmark = pytest.mark.skipif(not CARDS.is_dir(), reason="the model cards are not installed with the package")


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(CARDS / "location30-mlp", tmp_path / "model")
    return tmp_path / "model"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_json_holds_the_report_and_the_verdict(folder, capsys):
    before = contents(folder)
    assert main(["report", "--folder", str(folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    saved = json.loads(before["privacy_report.json"])
    assert printed["attacks"] == saved["attacks"]
    assert printed["verdict"]["level"] == "very high"
    assert printed["verdict"]["budget"] == "not set"
    assert contents(folder) == before


def test_a_paragraph_for_an_impact_assessment_holds_the_figures_and_says_what_it_is_not(folder, capsys):
    before = contents(folder)
    assert main(["report", "--folder", str(folder), "--format", "dpia-md"]) == 0
    text = capsys.readouterr().out
    saved = json.loads(before["privacy_report.json"])
    assert f"{saved['split']['n_members']:,} records" in text
    assert "Of 100 training records about" in text
    assert "no legal advice, no proof that the model is anonymous" in text
    assert "without a privacy defence" in text
    assert str(folder) not in text
    assert contents(folder) == before


def test_the_verdict_comes_first_in_the_terminal_on_the_page_and_on_the_card(folder, capsys):
    assert main(["report", "--folder", str(folder)]) == 0
    sentence = "Of 100 training records about"
    assert capsys.readouterr().out.startswith(f"VERDICT: {sentence}")
    page = (folder / "privacy_report.html").read_text(encoding="utf-8")
    assert page.index(sentence) < page.index("<table")
    card = (folder / "README.md").read_text(encoding="utf-8")
    section = card[card.index("## Privacy report") :]
    assert section.index(sentence) < section.index("|")


def test_page_and_card_show_three_attacks_and_fold_the_rest(folder, capsys):
    assert main(["report", "--folder", str(folder)]) == 0
    n_attacks = len(json.loads((folder / "privacy_report.json").read_text())["attacks"])
    for name in ("privacy_report.html", "README.md"):
        text = (folder / name).read_text(encoding="utf-8")
        assert f"<summary>{n_attacks - 3} more attacks" in text
    folded = text[text.index("<details>") : text.index("</details>")]
    assert folded.count("\n| ") - 1 == n_attacks - 3
