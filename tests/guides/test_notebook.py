"""The notebook runs from top to bottom."""

from __future__ import annotations

import json

from guides.pages import GUIDES

NOTEBOOK = json.loads((GUIDES / "first_audit.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_every_cell_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    for cell in CELLS:
        if not cell.startswith("%pip install"):
            exec(compile(cell, "first_audit.ipynb", "exec"), names)
    shown = capsys.readouterr().out
    for part in ("members", "mean loss on members", "level:", "budget: not set", "LiRA", "One commit to"):
        assert part in shown
    assert (tmp_path / "runs" / "first_audit" / "privacy_report.html").is_file()


def test_it_can_be_opened_anywhere_and_holds_no_output_of_one_machine():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["metadata"]["kernelspec"]["name"]) == (4, "python3")
    assert CELLS[0].startswith("%pip install --quiet hf-privacy")
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    for cell in NOTEBOOK["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
