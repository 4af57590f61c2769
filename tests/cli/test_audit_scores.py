"""`hf-privacy audit --scores`: a table of probabilities becomes a page with a verdict, without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from hf_privacy.cli import main

HEADS = "log_probability_no,log_probability_yes,kind,seen\n"


def table(path, *, side=None, n=120):
    """A CSV file of two classes whose members' true class is likelier; of one side alone without the last column."""
    rng = np.random.default_rng(0)
    kinds, seen = rng.integers(2, size=n), np.arange(n) % 2 == 0
    odds = np.where(kinds == 1, 1.0, -1.0) * rng.normal(np.where(seen, 3.0, 1.0), 1.0)
    rows = [
        [-np.logaddexp(0.0, odds[at]), -np.logaddexp(0.0, -odds[at]), ("no", "yes")[kinds[at]], str(seen[at]).lower()]
        for at in range(n)
        if side is None or seen[at] == side
    ]
    last = None if side is None else -1
    lines = [",".join(map(str, row[:last])) for row in [HEADS.strip().split(","), *rows]]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_table_becomes_a_page_with_a_verdict_and_needs_no_torch(tmp_path):
    words = ["audit", "--scores", table(tmp_path / "scores.csv"), "--label", "kind", "--member-column", "seen"]
    words += ["--output_dir", str(tmp_path / "out"), "--audit.fprs", "[0.1]"]
    code = (
        "import sys\nfrom hf_privacy.cli import main\n"
        f"code = main({words!r})\n"
        "print('heavy:', sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))\nsys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("VERDICT: Of 100 training records about")
    assert "heavy: []" in done.stdout
    report = json.loads((tmp_path / "out" / "privacy_report.json").read_text())
    assert report["model"]["name"] == "scores"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "It was not opened: the report below is of a table of its scores." in card


def test_two_tables_and_report_and_push_of_what_they_gave(tmp_path, capsys):
    sides = [table(tmp_path / f"{side}.csv", side=side) for side in (True, False)]
    words = ["--scores", "--members", sides[0], "--nonmembers", sides[1], "--label", "kind"]
    assert main(["audit", *words, "--output_dir", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    before = (tmp_path / "out" / "privacy_report.json").read_bytes()
    assert main(["report", "--folder", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "privacy_report.json").read_bytes() == before
    capsys.readouterr()
    assert main(["report", "--folder", str(tmp_path / "out"), "--format", "dpia-md"]) == 0
    assert "They hold for the model as it was when the table of its scores was made alone." in capsys.readouterr().out
    assert main(["push", "--folder", str(tmp_path / "out"), "--repo-id", "owner/name", "--dry-run"]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "was made from a table of scores" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scores", "{file}", "--label", "knd"], "--label is 'knd' and the table has"),
        (["--scores", "{file}", "--label", "kind"], "nothing says which records the model was trained on"),
        (["--scores", "{file}", "--label", "kind", "--member-column", "sen"], "--member-column is 'sen'"),
        (["--scores", "{file}", "--score-kind", "odds"], "--score-kind is 'odds'"),
        (["--scores", "{file}", "--model", "x"], "--model and --scores are given"),
        (["--scores", "{file}", "--config", "r.yaml"], "--scores goes without --config"),
        (["--scores", "{file}", "--canaries", "64"], "--canaries is set"),
        (["--score-kind", "loss", "--config", "r.yaml"], "--score-kind goes with --scores"),
        (["--scores"], "no table of scores"),
    ],
    ids=range(9),
)
def test_what_is_missing_is_said_in_one_sentence(words, message, tmp_path, capsys):
    given = [word.format(file=tmp_path / "scores.csv") for word in words]
    table(tmp_path / "scores.csv")
    assert main(["audit", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
