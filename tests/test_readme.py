"""The README is true: its recipe is the demo's, its commands can be typed, its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
FILE_LINE = re.compile(r"^#[^\n]*\n")
# Stands for data and files of the reader's own.
READERS = {"my.csv", "plan.json", "digits.yaml"}


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def commands() -> list[str]:
    lines = [line for text in blocks("bash") for line in text.splitlines()]
    return [line for line in lines if line.startswith("hf-privacy ")]


def test_the_recipe_it_shows_first_is_the_demos():
    demo = (ROOT / "hf_privacy" / "cli" / "demo.yaml").read_text(encoding="utf-8")
    shown = blocks("yaml")[0]
    assert shown.startswith("# digits.yaml\n")
    assert FILE_LINE.sub("", shown) == FILE_LINE.sub("", demo)
    assert "max_tpr_at_fpr" in shown


def test_the_verdict_it_shows_is_of_that_recipes_budget():
    (verdict,) = blocks("text")
    assert [line.partition(":")[0] for line in verdict.splitlines() if not line.startswith("  ")][:3] == [
        "VERDICT",
        "Level",
        "Budget",
    ]
    assert "Budget: passed. The report keeps at most 15 % of the training records at 1 % FPR" in verdict
    assert yaml.safe_load(blocks("yaml")[0])["push"]["max_tpr_at_fpr"] == {0.01: 0.15}


@pytest.mark.parametrize("line", commands())
def test_a_command_is_one_that_can_be_typed(line, monkeypatch):
    import shlex

    from hf_privacy.cli.arguments import parse
    from hf_privacy.comparison.plan import Comparison
    from hf_privacy.recipe import Recipe

    monkeypatch.chdir(ROOT)
    words = shlex.split(line, comments=True)[1:]
    _, options = parse(words)
    if options.config is not None and options.config not in READERS:
        load = Comparison.load if words[0] == "compare" else Recipe.load
        load(options.config)
    if words[0] == "unlearn":
        assert Recipe.load(options.config).data.name_or_path == "digits"  # what needs no file


def test_the_language_models_recipe_is_one():
    from hf_privacy.recipe import Recipe

    recipes = [yaml.safe_load(text) for text in blocks("yaml")]
    assert {recipe["task"] for recipe in recipes} == {"image-classification", "causal-lm"}
    for values in recipes:
        Recipe.from_dict(values)


def test_the_code_runs_on_less(tmp_path, monkeypatch, capsys):
    (code,) = blocks("python")
    for full, less in (("num_train_epochs=20", "num_train_epochs=1"), ("references=8", "references=2")):
        assert full in code
        code = code.replace(full, less)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert "VERDICT" in capsys.readouterr().out
    assert (tmp_path / "runs" / "digits" / "privacy_report.json").is_file()
