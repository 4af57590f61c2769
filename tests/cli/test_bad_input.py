"""Bad input: exit code 2, one sentence on standard error, no traceback, and nothing trained or written."""

from __future__ import annotations

import json
import shutil

import datasets
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hf_privacy.data import MembershipSplit, dataset_fingerprint, make_split


@pytest.fixture
def refused(cli):
    """Run a command that must be refused; its one sentence."""

    def run(*arguments: str, status: int = 2) -> str:
        code, _, err = cli(*arguments)
        assert code == status, err
        assert err.startswith("hf-privacy: ")
        assert len(err.strip().splitlines()) == 1, err
        assert "Traceback" not in err
        return err

    return run


@pytest.fixture
def rows(table_file) -> datasets.Dataset:
    """The table as a recipe sees it."""
    return datasets.Dataset.from_parquet(table_file).select_columns(["features", "label"])


def nothing_in(folder) -> bool:
    return not folder.exists() or not any(folder.rglob("*"))


# ---- before training ----


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data.input_column", "featurs"], "input_column is 'featurs' and the dataset has the columns"),
        (["--data.label_column", "target"], "label_column is 'target'"),
        (["--audit.references", "1"], "references is 1: a full audit needs at least 2"),
        (["--audit.references", "0"], "references is 0"),
        (["--data.member_fraction", "0.001"], "the split has no members"),
        (["--data.member_fraction", "0.999"], "the split has no non-members"),
        (["--data.population_fraction", "1.0"], "--data.population_fraction is 1.0"),
        (["--trainig.seed", "1"], "unknown key --trainig.seed: did you mean --training.seed?"),
        (
            ["--training.learning_rat", "1"],
            "unknown key --training.learning_rat: did you mean --training.learning_rate?",
        ),
        (["--training.learning_rate", "high"], "--training.learning_rate is 'high': pass float"),
        (["--training.hub_token", "hf_secret"], "a recipe is no place for tokens"),
        (["--data.split_file", "no/such/file"], "there is no split file at no/such/file"),
        (["--data.name_or_path", "no/such/table.parquet"], "there is no such file or folder"),
        (["--defense", "magic"], "--defense is 'magic': known are"),
        (["--name", "a: b: c"], "name is 'a: b: c', which is no valid YAML"),
        (["extra"], "unexpected argument 'extra'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_train_refuses_before_it_writes_anything(refused, write_recipe, tmp_path, words, sentence):
    recipe = write_recipe(tmp_path)
    assert sentence in refused("train", "--config", recipe, *words)
    assert nothing_in(tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--data.name_or_path", "someone/dataset"],
            "dataset 'someone/dataset' is not in the local cache and HF_",
        ),
        (
            ["--model.name_or_path", "someone/model", "--model.from_scratch", "false", "--model.kwargs", "{}"],
            "the Hub model 'someone/model' is neither reachable nor cached and HF_HUB_OFFLINE is set: unset it, or",
        ),
    ],
    ids=["data", "model"],
)
def test_what_only_the_hub_has_is_refused_as_a_network_that_is_not_there(
    refused, write_recipe, tmp_path, words, sentence
):
    assert sentence in refused("train", "--config", write_recipe(tmp_path), *words, status=4)
    assert nothing_in(tmp_path / "run")


def test_a_missing_recipe_is_refused(refused):
    assert "'nope.yaml' is no file" in refused("train", "--config", "nope.yaml")


@pytest.mark.parametrize("labels", [[0, None], [0, 1.5], [[0], [1]]], ids=str)
def test_labels_no_model_can_have_are_refused(refused, write_recipe, tmp_path, labels):
    path = tmp_path / "labels.parquet"
    datasets.Dataset.from_dict({"features": [[0.0], [1.0]] * 10, "label": labels * 10}).to_parquet(path)
    err = refused("train", "--config", write_recipe(tmp_path), "--data.name_or_path", str(path))
    assert "label_column 'label'" in err
    assert nothing_in(tmp_path / "run")


def test_labels_outside_the_range_that_their_column_declares_are_refused(refused, write_recipe, tmp_path):
    path = tmp_path / "labels.parquet"
    rows = datasets.Dataset.from_dict({"features": [[0.0], [1.0]] * 10, "label": [0, 4] * 10})
    table = rows.cast_column("label", datasets.ClassLabel(names=[str(number) for number in range(5)]))
    table = table.cast_column("label", datasets.Value("int64"))
    features = table.features.copy()
    features["label"] = datasets.ClassLabel(names=["no", "yes"])
    wrong = datasets.Dataset(table.data, info=datasets.DatasetInfo(features=features))
    wrong.save_to_disk(str(path))
    err = refused("train", "--config", write_recipe(tmp_path), "--data.name_or_path", str(path))
    assert "label_column 'label' goes up to 4 and the model has 2 classes" in err
    assert nothing_in(tmp_path / "run")


def test_members_that_are_also_non_members_are_refused(refused, write_recipe, tmp_path, rows):
    path = tmp_path / "split.safetensors"
    MembershipSplit([0, 1], [2], [], n_examples=len(rows), dataset_fingerprint=dataset_fingerprint(rows)).save(path)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    save_file({**load_file(path), "non_members": np.array([1, 2])}, path, metadata=metadata)
    err = refused("train", "--config", write_recipe(tmp_path), "--data.split_file", str(path))
    assert "1 of the members are also in non_members" in err
    assert nothing_in(tmp_path / "run")


def test_a_split_of_another_dataset_is_refused(refused, write_recipe, tmp_path, rows):
    path = tmp_path / "split.safetensors"
    make_split(rows.select(range(50))).save(path)
    err = refused("train", "--config", write_recipe(tmp_path), "--data.split_file", str(path))
    assert "the split is of another dataset" in err
    assert nothing_in(tmp_path / "run")


# ---- before an audit ----


def files_and_times(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--audit.references", "1"], "references is 1: a full audit needs at least 2"),
        (["--audit.refrences", "4"], "did you mean --audit.references?"),
        (["--audit.depth", "deep"], "depth is 'deep'"),
        (["--data.split_seed", "9"], "holds a run of another recipe (different: data)"),
        (["--audit.queries", "[flip]"], "flip"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_audit_refuses_before_it_trains_a_reference(refused, trained, own_copy, words, sentence):
    folder = own_copy(trained)
    before = files_and_times(folder)
    assert sentence in refused("audit", "--folder", str(folder), *words)
    after = files_and_times(folder)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.endswith((".safetensors", ".html")) and name not in before]


def test_audit_without_a_trained_model_is_refused(refused, write_recipe, tmp_path):
    err = refused("audit", "--config", write_recipe(tmp_path))
    assert "there is no trained model in" in err
    assert nothing_in(tmp_path / "run")


def test_audit_of_other_weights_than_were_trained_there_is_refused(refused, trained, own_copy):
    folder = own_copy(trained)
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] = weights["classifier.bias"] + 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "are not those that were trained there" in refused("audit", "--folder", str(folder))
    assert not (folder / "private" / "references").exists()


def test_audit_after_the_data_changed_is_refused(refused, write_recipe, table_file, tmp_path, cli):
    data = tmp_path / "table.parquet"
    shutil.copy(table_file, data)
    recipe = write_recipe(tmp_path, data={"name_or_path": str(data)}, training={"num_train_epochs": 1})
    assert cli("train", "--config", recipe)[0] == 0
    datasets.Dataset.from_parquet(table_file).select(range(119)).to_parquet(data)
    assert "the split is of another dataset" in refused("audit", "--config", recipe)
    assert not (tmp_path / "run" / "private" / "references").exists()


def test_references_of_another_plan_are_refused(refused, audited, own_copy):
    folder = own_copy(audited)
    before = files_and_times(folder)
    err = refused("audit", "--folder", str(folder), "--audit.reference_seed", "6")
    assert "was made with another" in err
    assert files_and_times(folder) == before


# ---- before a push ----


def test_a_report_for_other_weights_is_refused(refused, audited, own_copy):
    folder = own_copy(audited)
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] = weights["classifier.bias"] + 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    err = refused("push", "--folder", str(folder), "--repo-id", "me/tiny", "--dry-run", status=3)
    assert "weights" in err
    assert "report" in err


def test_a_report_that_was_edited_out_of_shape_is_refused(refused, audited, own_copy):
    folder = own_copy(audited)
    report = json.loads((folder / "privacy_report.json").read_text())
    report["attacks"][0]["auc"] = "low"
    (folder / "privacy_report.json").write_text(json.dumps(report))
    refused("push", "--folder", str(folder), "--repo-id", "me/tiny", "--dry-run", status=3)
    refused("report", "--folder", str(folder))


@pytest.mark.parametrize("name", ["no spaces allowed", "a/b/c", "../up"])
def test_a_repository_name_the_hub_cannot_have_is_refused(refused, audited, name):
    refused("push", "--folder", str(audited), "--repo-id", name, "--dry-run")


def test_a_push_while_the_hub_is_switched_off_is_refused(refused, audited):
    assert "HF_HUB_OFFLINE is set" in refused("push", "--folder", str(audited), "--repo-id", "me/tiny", status=4)
