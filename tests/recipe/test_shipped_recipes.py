"""Every YAML under recipes/ can be read, and no setting a search would try is refused."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from hf_privacy.recipe import Recipe
from hf_privacy.recipe.unlearning import unlearning_arguments
from hf_privacy.unlearning import unlearner_class

RECIPES = Path(__file__).parents[2] / "recipes"
if not RECIPES.is_dir():
    pytest.skip("the recipes are not installed with the package", allow_module_level=True)
WHOLE = sorted(path for path in RECIPES.rglob("*.yaml") if "task" in (yaml.safe_load(path.read_text()) or {}))
OTHERS = sorted(path for path in (RECIPES / "unlearning").glob("*.yaml") if path not in WHOLE)
TOFU = [path for path in OTHERS if path.stem.startswith("tofu")]  # with a driver of its own
STUDIES = [path for path in OTHERS if path not in TOFU]


def name(path: Path) -> str:
    return str(path.relative_to(RECIPES))


def test_there_are_recipes():
    assert len(WHOLE) >= 6
    assert len(STUDIES) >= 4


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_a_recipe_is_read(path):
    recipe = Recipe.load(path)
    assert recipe.name
    assert recipe.output_dir.startswith("runs/")


@pytest.mark.parametrize("path", STUDIES, ids=name)
def test_each_setting_of_an_unlearning_study_is_one(path, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location("unlearning_table", path.parent / "table.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    config = yaml.safe_load(path.read_text())
    base = Recipe.load(path.parent / config["recipe"]).override(config.get("overrides", {}))
    base = base.override({"training.bf16": False})  # where there is no GPU, it would be refused
    for method in config["methods"].values():
        for settings in table.choices(method):
            training = {**method.get("training", {}), **settings}
            recipe = Recipe.from_dict(
                {**asdict(base), "unlearning": {"method": method["method"], "training": training}}
            )
            arguments = unlearning_arguments(recipe, tmp_path)
            assert all(getattr(arguments, key) == value for key, value in training.items())


@pytest.mark.parametrize("path", TOFU, ids=name)
def test_each_setting_of_the_study_on_tofu_is_one(path, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location("tofu", path.parent / "tofu.py")
    study = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    config = study.configuration(path)
    assert config["output_dir"].startswith("runs/")
    assert len(config["seeds"]) >= 3  # of originals, and of retrained models to judge by
    for method in config["methods"].values():
        kind = unlearner_class(method["method"])
        assert "causal-lm" in kind.tasks
        for settings in study.choices(method):
            values = {**config["unlearning"], **method.get("training", {}), **settings}
            arguments = kind.config_class(str(tmp_path), **values)
            assert all(getattr(arguments, key) == value for key, value in values.items())
