"""A recipe whose rows belong to patients: whole patients are members, in the target and in the references."""

from __future__ import annotations

import datasets
import numpy as np
import pytest

from hf_privacy.data import make_split
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, prepare
from hf_privacy.recipe.build import load_rows

PATIENTS = np.repeat(np.arange(20), np.r_[[2] * 10, [6] * 10])


@pytest.fixture
def source(tmp_path) -> str:
    features = np.random.default_rng(0).normal(size=(80, 5)).tolist()
    columns = {
        "features": features,
        "label": (np.arange(80) % 2).tolist(),
        "illness": (PATIENTS % 2).tolist(),
        "patient": [f"patient {number}" for number in PATIENTS],
        "ward": ["a"] * 40 + ["b"] * 40,
        "unknown": [None, *["x"] * 79],
    }
    datasets.Dataset.from_dict(columns).to_parquet(tmp_path / "patients.parquet")
    return str(tmp_path / "patients.parquet")


def test_whole_patients_are_members(make_recipe, source):
    split = prepare(make_recipe(source, data={"group_column": "patient", "stratify": False})).split
    assert split.unit == "patient"
    assert split.n_groups == {"members": 10, "non_members": 10, "population": 0}
    assert np.array_equal(split.groups, PATIENTS)
    assert not np.intersect1d(PATIENTS[split.members], PATIENTS[split.non_members]).size


def test_patients_of_one_class_each_are_stratified(make_recipe, source):
    data = {"group_column": "patient", "label_column": "illness", "member_fraction": 0.3}
    split = prepare(make_recipe(source, data=data)).split
    assert split.stratified
    assert np.bincount(np.unique(PATIENTS[split.members]) % 2).tolist() == [3, 3]


def test_max_examples_takes_whole_patients(make_recipe, source):
    experiment = prepare(make_recipe(source, data={"group_column": "patient", "stratify": False, "max_examples": 41}))
    kept = experiment.rows["patient"][:]
    assert 35 < len(kept) <= 41
    assert all(kept.count(name) == (2 if int(name.split()[1]) < 10 else 6) for name in set(kept))


def test_members_are_redrawn_by_patient(make_recipe, source):
    recipe = make_recipe(source, data={"group_column": "patient", "stratify": False, "population_fraction": 0.2})
    one, other = (prepare(recipe.override({"data.member_seed": seed})).split for seed in (1, 2))
    assert one.n_groups == other.n_groups == {"members": 8, "non_members": 8, "population": 4}
    assert one.hash != other.hash


def test_a_split_file_by_rows_gets_the_groups_or_is_refused(make_recipe, source, tmp_path):
    rows = datasets.Dataset.from_parquet(source).select_columns(["features", "label"])
    path = str(tmp_path / "split.safetensors")
    data = {"group_column": "patient", "split_file": path}
    make_split(rows, members=[0, 1], non_members=[2, 3]).save(path)
    assert prepare(make_recipe(source, data=data)).split.n_groups["members"] == 1
    make_split(rows, members=[0, 2], non_members=[1, 3]).save(path)
    with pytest.raises(InputError, match="2 of the groups by 'patient' have rows in members and in non_members"):
        prepare(make_recipe(source, data=data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"group_column": "patiens"}, "group_column is 'patiens' .*did you mean 'patient'"),
        ({"group_column": "unknown"}, "group_column 'unknown' has 1 missing values"),
        ({"group_column": "ward"}, "group_column 'ward' has 2 different values: at least 4 groups"),
        ({"group_column": "features"}, "group_column 'features' holds .* values"),
        ({"group_column": "patient"}, "a group has rows of several classes.*data.stratify: false"),
        ({"group_column": "patient", "stratify": False, "max_examples": 5}, "max_examples is 5, which holds"),
    ],
    ids=str,
)
def test_groups_that_cannot_be_are_refused_before_training(make_recipe, source, tmp_path, data, message):
    with pytest.raises(InputError, match=message) as refused:
        prepare(make_recipe(source, data=data))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_language_model_is_given_whole_authors_and_overlapping_answers_are_repeats(tmp_path):
    rng = np.random.default_rng(0)
    answers = [" ".join(rng.choice([f"w{number}" for number in range(400)], size=30)) for _ in range(60)]
    answers[50] = answers[7] + " and more"
    columns = {
        "author": [f"author {number // 5}" for number in range(60)],
        "prompt": [f"Question {number}" for number in range(60)],
        "completion": answers,
    }
    datasets.Dataset.from_dict(columns).to_parquet(tmp_path / "texts.parquet")
    data = {"name_or_path": str(tmp_path / "texts.parquet"), "group_column": "author", "max_examples": 58}
    recipe = Recipe.from_dict({"task": "causal-lm", "model": {"name_or_path": "any"}, "data": data})
    loaded = load_rows(recipe.override({"data.max_examples": "60"}))
    assert loaded.split.n_groups == {"members": 6, "non_members": 6, "population": 0}
    assert not loaded.split.stratified
    assert loaded.repeats(loaded.split).near_repeats == 1
    assert len(load_rows(recipe).rows) == 55
    assert len(load_rows(recipe.override({"data.max_examples": "null", "data.repeats": "drop"})).rows) == 59
    with pytest.raises(InputError, match="group_column is 'writer'"):
        load_rows(recipe.override({"data.group_column": "writer"}))
