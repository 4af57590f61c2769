"""`hf-privacy audit --model --config`: a model trained elsewhere, its references by the recipe it is of."""

from __future__ import annotations

import json
import shutil

import datasets
import numpy as np
import pytest
import yaml

from hf_privacy.auditing.saved_folder import _check_classes
from hf_privacy.errors import InputError


@pytest.fixture(scope="module")
def theirs(trained, tmp_path_factory):
    """The folder of a trained model as another program would leave it: weights and configuration alone."""
    folder = tmp_path_factory.mktemp("theirs")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(trained / name, folder / name)
    return folder


def recipe_that_tells(write_recipe, folder, table_file, **data):
    """The recipe with a column that says who is a member, in place of a draw."""
    rows = datasets.Dataset.from_parquet(table_file)
    rows = rows.add_column("seen", np.arange(len(rows)) % 2 == 0)
    folder.mkdir(exist_ok=True)
    rows.to_parquet(str(folder / "rows.parquet"))
    section = {"name_or_path": str(folder / "rows.parquet"), "member_column": "seen", "population_fraction": 0.0}
    return write_recipe(folder, data={**section, **data}, audit={"references": 2}, training={"num_train_epochs": 2})


def test_references_are_trained_by_the_recipe(cli, theirs, write_recipe, table_file, tmp_path):
    config = recipe_that_tells(write_recipe, tmp_path / "own", table_file)
    code, out, err = cli("audit", "--model", str(theirs), "--config", config)
    assert code == 0, err
    assert "LiRA" in out
    output = yaml.safe_load(open(config))["output_dir"]  # noqa: SIM115
    with open(f"{output}/privacy_report.json") as file:
        report = json.load(file)
    assert (report["depth"], report["references"]["n_models"], report["split"]["n_members"]) == ("full", 2, 60)
    assert any("was trained elsewhere" in caveat for caveat in report["caveats"])
    assert not (theirs / "privacy_report.json").exists()


def test_a_draw_of_ours_is_not_what_another_training_drew(cli, theirs, write_recipe, table_file, tmp_path):
    code, _, err = cli("audit", "--model", str(theirs), "--config", write_recipe(tmp_path))
    assert code == 2
    assert "the recipe draws them, and this model was trained elsewhere" in err


def test_classes_in_another_order_are_refused():
    _check_classes(["no", "yes"], ["no", "yes"])
    _check_classes(["LABEL_0", "LABEL_1"], ["no", "yes"])
    for theirs in (["yes", "no"], ["a", "b", "c"]):
        with pytest.raises(InputError, match=r"give data\.label_names in the model's order"):
            _check_classes(theirs, ["no", "yes"])
