"""The stages at the papers' scale, and their rehearsal, are recipes that can be read; what was found is kept."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

import pytest

from hf_privacy.comparison.plan import Comparison
from hf_privacy.recipe import Recipe

FOLDER = Path(__file__).parents[2] / "recipes" / "paper_scale"
if not FOLDER.is_dir():
    pytest.skip("the recipes are not installed with the package", allow_module_level=True)


@pytest.fixture(scope="module")
def modules():
    """The folder's modules, which are imported from beside its command and by no other name."""
    names = ("plan", "run", "estimate", "trial", "stage")
    before = {name: sys.modules.pop(name, None) for name in names}
    sys.path.insert(0, str(FOLDER))
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(FOLDER))
    for name in names:
        sys.modules.pop(name, None)
        if before[name] is not None:
            sys.modules[name] = before[name]


@pytest.mark.parametrize("rehearse", [False, True], ids=["whole", "rehearsed"])
def test_each_stage_is_a_recipe(modules, rehearse, tmp_path):
    for name in modules["plan"].STAGES:
        stage = modules["plan"].stage_of(name, rehearse=rehearse, data=str(tmp_path))
        config = stage.resolved(tmp_path)["config"]
        if stage.kind == "comparison":
            comparison = Comparison.from_dict(config)
            assert list(comparison.defenses) == stage.rows, name
            recipes = [comparison.cells(row)[0].recipe for row in stage.rows]
        elif stage.kind == "unlearning":
            assert list(config["methods"]) == stage.rows
            recipes = [Recipe.load(config["recipe"]).override({**config["overrides"], "training.bf16": False})]
        elif stage.kind == "audit":
            recipes = [Recipe.from_dict(config)]
        else:
            assert stage.commands
            continue
        for recipe in recipes:
            assert Path(recipe.data.name_or_path).is_relative_to(tmp_path), name
            whole, small = (4000, 200) if recipe.task == "causal-lm" else (30_000, 400)
            assert (recipe.data.max_examples or 10**6) >= (small if rehearse else whole), name
            assert rehearse == (recipe.training["num_train_epochs"] == 1), name


def test_a_stage_that_is_cut_off_keeps_what_it_found(modules, tmp_path, monkeypatch):
    run, plan = modules["run"], modules["plan"]
    slow = plan.Stage("slow", "commands", "a claim", {}, [], None, [["-c", "import time; time.sleep(60)"]], [])
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "found.json").write_text(json.dumps({"table": "half of it"}))
    found = run.run_stage(slow, folder, time.time() + 2)
    assert found["state"].startswith("cut off")
    assert found["table"] == "half of it"
    run.write_results(tmp_path / "out", {"slow": {**found, "claim": slow.claim}}, rehearsed=True)
    page = (tmp_path / "out" / "result.md").read_text()
    assert "half of it" in page
    assert "a rehearsal" in page
    assert str(tmp_path) not in page + (tmp_path / "out" / "result.json").read_text()


def test_a_stage_that_is_done_is_not_made_again_and_says_what_it_took(modules, tmp_path):
    stage = modules["plan"].Stage("done", "commands", "", {}, [], None, [["-c", "raise SystemExit(1)"]], [])
    folder = tmp_path / "done"
    folder.mkdir()
    (folder / "found.json").write_text(json.dumps({"state": "done", "table": "all of it"}))
    found = modules["run"].run_stage(stage, folder, time.time() + 60, spent=12.0)
    assert found == {"state": "done", "table": "all of it", "seconds": 12.0}


def test_no_stage_is_begun_when_the_time_is_up(modules, tmp_path):
    stage = modules["plan"].Stage("late", "commands", "", {}, [], None, [["-c", "raise SystemExit(1)"]], [])
    assert modules["run"].run_stage(stage, tmp_path / "late", time.time() - 1)["state"].startswith("not begun")


def test_the_readme_gives_the_estimates_that_the_command_prints(modules):
    page = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    assert [modules["estimate"].line_of(name) for name in modules["plan"].STAGES] == [
        line for line in page if line.split("|")[1:2] and line.split("|")[1].strip() in modules["plan"].STAGES
    ]


@pytest.mark.parametrize("rehearse", [False, True], ids=["whole", "rehearsed"])
def test_each_row_of_a_comparison_can_be_made_alone(modules, rehearse, tmp_path):
    for name in modules["plan"].STAGES:
        stage = modules["plan"].stage_of(name, rehearse=rehearse, data=str(tmp_path))
        if stage.kind == "comparison":
            for row in stage.rows:
                assert list(modules["stage"].restricted(stage.resolved(tmp_path)["config"], [row]).defenses) == [row]
