"""`hf-privacy demo`: the whole way, as a newcomer sees it."""

from __future__ import annotations

from importlib.resources import files

import pytest

from hf_privacy.cli import main
from hf_privacy.hub import check_gate, load_report_dict
from hf_privacy.recipe import Recipe, RunFolder


@pytest.mark.slow
def test_the_demo_trains_is_refused_audits_and_plans_one_commit(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)  # no worker beside the test
    folder = tmp_path / "demo"
    assert main(["demo", "--output-dir", str(folder)]) == 0
    shown = capsys.readouterr().out
    positions = [
        shown.index(part)
        for part in (
            "[1/4]",
            "trained in",
            "[2/4]",
            "refused: there is no privacy_report.json",
            "[3/4]",
            "VERDICT: ",
            "Level: ",
            "Budget: passed",
            "LiRA (online",
            "RMIA (online)",
            "[4/4]",
            "One commit to you/digits-resnet",
            f"The privacy report is in {folder / 'privacy_report.html'}",
        )
    ]
    assert positions == sorted(positions)
    report = load_report_dict(folder)
    assert report["references"]["n_models"] == 8
    assert {attack["name"] for attack in report["attacks"]} >= {"loss", "lira", "rmia"}
    assert check_gate(folder) == report
    for name in ("privacy_report.json", "privacy_report.html", "README.md"):
        assert (folder / name).stat().st_size > 0


def test_the_folder_of_an_older_demo_is_refused_with_the_way_out(tmp_path, capsys):
    folder = tmp_path / "demo"
    older = Recipe.load(files("hf_privacy.cli") / "demo.yaml").override({"training.num_train_epochs": "3"})
    RunFolder(folder).start(older.override({"output_dir": str(folder)}))
    assert main(["demo", "--output-dir", str(folder)]) == 2
    shown, error = capsys.readouterr()
    assert shown == ""
    sentence = "holds the demo of another version: delete it, or pass --output-dir with a folder of its own"
    assert error == f"hf-privacy: {str(folder)!r} {sentence}\n"
    # What that version's recipes had and this one's have not is no other sentence.
    kept = RunFolder(folder).recipe_file
    kept.write_text(f"{kept.read_text()}no_longer: 1\n")
    assert main(["demo", "--output-dir", str(folder)]) == 2
    assert "holds the demo of another version" in capsys.readouterr().err
