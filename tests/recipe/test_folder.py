"""One folder, one recipe: what it holds is never another run's."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_privacy.data import MembershipSplit
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def test_starting_writes_the_resolved_recipe(folder, make_recipe):
    recipe = make_recipe()
    folder.start(recipe)
    assert Recipe.load(folder.recipe_file) == recipe
    assert not folder.is_trained


def test_the_same_recipe_may_start_again(folder, make_recipe):
    folder.start(make_recipe())
    before = folder.recipe_file.stat().st_mtime_ns
    folder.start(make_recipe())
    assert folder.recipe_file.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"training": {"learning_rate": 0.5}}, "training"),
        ({"data": {"split_seed": 9}}, "data"),
        ({"model": {"kwargs": {"hidden_sizes": [9]}}}, "model"),
        ({"training": {"seed": 1}, "data": {"max_examples": 9}}, "data, training"),
    ],
    ids=str,
)
def test_another_recipes_folder_is_refused_and_left_alone(folder, make_recipe, change, named):
    folder.start(make_recipe())
    before = folder.recipe_file.read_bytes()
    with pytest.raises(InputError, match=rf"holds a run of another recipe \(different: {named}\)"):
        folder.start(make_recipe(**change))
    assert folder.recipe_file.read_bytes() == before


# Of each kind: where it runs, what it prints, evaluates and keeps.
FREE = {
    "use_cpu": [True, False],
    "ddp_backend": ["gloo", "nccl"],
    "report_to": ["none", "tensorboard"],
    "logging_steps": [1, 50],
    "dataloader_num_workers": [0, 4],
    "save_strategy": ["no", "epoch"],
    "save_total_limit": [1, 2],
    "per_device_eval_batch_size": [8, 64],
    "disable_tqdm": [True, False],
}
SHAPING = {"learning_rate": 0.5, "seed": 7, "data_seed": 7, "weight_decay": 0.3, "bf16": True, "max_grad_norm": 2.0}


@given(
    ours=st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in FREE.items()}),
    theirs=st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in FREE.items()}),
    shaping=st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in SHAPING.items()}),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_run_is_another_when_what_shapes_its_weights_differs_and_only_then(
    tmp_path_factory, make_recipe, ours, theirs, shaping
):
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    folder.start(make_recipe(training=theirs))
    if shaping:
        with pytest.raises(InputError, match=r"another recipe \(different: training\)"):
            folder.start(make_recipe(training={**ours, **shaping}))
    else:
        folder.start(make_recipe(training=ours))


def test_audit_push_name_and_place_may_change_after_training(folder, make_recipe, tmp_path):
    folder.start(make_recipe())
    folder.start(make_recipe(audit={"references": 8}, push={"max_auc": 0.6}, name="n", output_dir=tmp_path / "moved"))


def test_a_training_is_finished_when_its_record_is_there(folder, make_recipe):
    folder.start(make_recipe())
    with pytest.raises(InputError, match="there is no trained model in"):
        folder.record()
    split = MembershipSplit([0], [1], [], n_examples=2, dataset_fingerprint="d")
    folder.finish(split, {"training_seconds": 1.5})
    assert folder.is_trained
    assert folder.record() == {"training_seconds": 1.5}
    assert MembershipSplit.load(folder.split_file).hash == split.hash


def test_the_record_is_written_last(folder, make_recipe, monkeypatch):
    folder.start(make_recipe())
    monkeypatch.setattr(MembershipSplit, "save", lambda self, path: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        folder.finish(MembershipSplit([0], [1], [], n_examples=2, dataset_fingerprint="d"), {})
    assert not folder.is_trained


def test_files_appear_whole_or_not_at_all(folder, make_recipe, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.start(make_recipe())
    assert not folder.recipe_file.exists()
    monkeypatch.undo()
    folder.start(make_recipe())
    assert folder.recipe_file.exists()


def test_who_was_a_member_lies_in_the_private_folder_alone(folder, make_recipe):
    folder.start(make_recipe())
    folder.finish(MembershipSplit([0], [1], [], n_examples=2, dataset_fingerprint="d"), {})
    assert {path.name for path in folder.path.iterdir()} == {"private"}


def test_a_change_in_a_class_that_an_own_defence_is_made_of_is_seen_too(folder, make_recipe, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    parent = "from hf_privacy import PrivacyTrainer\n\n\nclass Parent(PrivacyTrainer):\n    pass\n"
    (tmp_path / "parent_of_mine.py").write_text(parent)
    (tmp_path / "made_of_it.py").write_text("from parent_of_mine import Parent\n\n\nclass Mine(Parent):\n    pass\n")
    recipe = make_recipe(defense="made_of_it:Mine")
    folder.start(recipe)
    folder.check(recipe)
    (tmp_path / "parent_of_mine.py").write_text(f"{parent}# another loss\n")
    with pytest.raises(InputError, match="holds a run of made_of_it:Mine as it was before its source file changed"):
        folder.check(recipe)
