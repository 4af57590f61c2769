"""The page "Write your own" does what it says: its blocks are the files and the commands of this test."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from hf_privacy.cli import main
from hf_privacy.hub import load_report_dict

PAGE = Path(__file__).parents[2] / "recipes" / "write_your_own" / "README.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
COMMANDS = [shlex.split(line)[1:] for language, text in BLOCKS if language == "bash" for line in text.splitlines()]
# Less of everything, in this process alone.
QUICK = {
    "train": ["--training.num_train_epochs", "1"],
    "audit": ["--training.num_train_epochs", "1", "--audit.references", "2", "--audit.workers", "1"],
    "report": [],
    "compare": [
        *("--overrides.training.num_train_epochs", "1", "--overrides.audit.references", "2", "--workers", "1"),
        *("--defenses.squared.training.num_train_epochs", "1"),
    ],
}


@pytest.mark.slow
def test_every_command_of_the_page_runs_on_its_files(tmp_path, monkeypatch, capsys):
    for language, text in BLOCKS:
        if language in ("python", "yaml"):
            with (tmp_path / text.partition("\n")[0].removeprefix("# ")).open("a", encoding="utf-8") as file:
                file.write(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for command in COMMANDS:
        assert main([*command, *QUICK[command[0]]]) == 0
    sys.modules.pop("my_methods", None)
    shown = capsys.readouterr().out
    assert {command[0] for command in COMMANDS} == set(QUICK)

    compared = tmp_path / "runs" / "compared"
    assert [row["name"] for row in json.loads((compared / "comparison.json").read_text())["rows"]] == [
        "none",
        "squared",
    ]
    for folder, weight in ((tmp_path / "runs" / "mine", 0.1), (compared / "squared" / "seed_0", 0.5)):
        report = load_report_dict(folder)
        assert report["defense"] == {"name": "SquaredLossTrainer", "parameters": {"weight": weight}, "paper": None}
        (attack,) = [entry for entry in report["attacks"] if entry["name"] == "my_methods:below_the_references"]
        assert attack["title"] == "Below the references"
        assert attack["n_references"] == 2
        assert report["outside"]["hardest_members"]["n_examples"] >= 20
    card = (tmp_path / "runs" / "mine" / "README.md").read_text()
    for text in (card, shown):
        assert "Below the references" in text
        assert "hardest_members" in text


@pytest.mark.parametrize(("number", "most"), [(0, 12), (1, 10)], ids=["loss", "attack"])
def test_a_loss_takes_no_more_than_twelve_lines_and_an_attack_ten(number, most):
    text = [text for language, text in BLOCKS if language == "python"][number]
    assert len([line for line in text.splitlines() if line.strip() and not line.startswith("#")]) <= most
