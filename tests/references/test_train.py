"""References are trained once each, whatever happens, and keep their signals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import TrainerCallback

from hf_privacy.defenses.base.checkpoints import last_whole_checkpoint
from hf_privacy.errors import InputError
from hf_privacy.references import reference_run, reference_trainer
from hf_privacy.references.train import train_references
from hf_privacy.signals import compute_signals


class Killed(BaseException):
    """Stands for a kill: no `except Exception` on the way may swallow it."""


class KillAtStep(TrainerCallback):
    """Ends the process, as it were, at one step; disarmed, it lets training pass."""

    armed_at: int | None = None

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        if state.global_step == type(self).armed_at:
            raise Killed


class CountSteps(TrainerCallback):
    """Counts the steps of all trainings together."""

    steps = 0

    def on_step_end(self, args, state, control, **kwargs) -> None:
        type(self).steps += 1


@pytest.fixture(autouse=True)
def _disarmed():
    KillAtStep.armed_at, CountSteps.steps = None, 0


@pytest.fixture
def make_run(make_trainer, dataset, split, tmp_path):
    def make(folder: str = "store", n_models: int = 4, seed: int = 0, fraction: float = 0.5, **arguments):
        plan = {"n_models": n_models, "seed": seed, "fraction": fraction}
        return reference_run(make_trainer(**arguments), dataset, split, tmp_path / folder, **plan)

    return make


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if not path.name.endswith(".lock")}


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path.name: path.stat() for path in folder.glob("reference_*.safetensors")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def test_the_store_holds_each_models_signals_membership_seed_and_times(make_run):
    run = make_run()
    run.train()
    assert run.store.completed() == [0, 1, 2, 3]
    membership = run.store.membership()
    assert (membership[:, :60] == run.plan.membership).all()
    assert not membership[:, 60:].any()  # no reference has seen the population
    for number in range(4):
        info = run.store.info(number)
        assert info["seed"] == run.plan.model_seed(number)
        assert info["training_seconds"] > 0
        assert info["signal_seconds"] > 0


def test_signals_are_those_of_a_model_trained_by_hand_on_that_half(make_run, tmp_path):
    run = make_run()
    run.train()
    indices = run.plan.training_indices(2)
    seed = run.plan.model_seed(2)
    by_hand = reference_trainer(run.trainer, run.train_pool.subset(indices), seed=seed, output_dir=tmp_path / "x")
    by_hand.train()
    expected = compute_signals(by_hand.model, run.audit_dataset)
    for name, values in expected.items():
        # Not to the bit: on some processors the lean loop multiplies in another order.
        np.testing.assert_allclose(run.store.read(name, models=[2]), values, rtol=0, atol=1e-4)


def test_references_memorize_what_they_were_trained_on(make_run):
    run = make_run(num_train_epochs=60)
    run.train()
    phi, membership = run.store.read("phi")[:, :60], run.plan.membership
    assert phi[membership].mean() > phi[~membership].mean() + 1


def test_what_is_done_is_not_trained_again(make_run):
    run = make_run()
    run.train()
    before = state_of(run.store.folder)
    again = make_run(callbacks=None)
    assert train_references(again.trainer, again.train_pool, again.audit_dataset, again.plan, again.store) == 0
    again.train()
    assert state_of(run.store.folder) == before


def test_only_the_missing_models_are_trained(make_run):
    run = make_run()
    run.train()
    (run.store.folder / "reference_0001.safetensors").unlink()
    before = state_of(run.store.folder)
    assert train_references(run.trainer, run.train_pool, run.audit_dataset, run.plan, run.store) == 1
    after = state_of(run.store.folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == 4


def test_more_references_are_trained_beside_those_that_are_there(make_run):
    run = make_run(n_models=2)
    run.train()
    before = state_of(run.store.folder)
    more = make_run(n_models=4)
    more.train()
    after = state_of(run.store.folder)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before
    assert (more.store.membership()[:, :60] == more.plan.membership).all()
    straight = make_run("straight", n_models=4)
    straight.train()
    assert np.array_equal(more.store.read("phi"), straight.store.read("phi"))


@pytest.mark.parametrize("harm", ["a byte flipped", "copied over another", "cut short"])
def test_a_damaged_reference_is_named_and_trained_again(make_run, harm):
    run = make_run()
    run.train()
    whole = {name: run.store.read(name) for name in run.store.signals}
    file, other = (run.store.folder / run.store.file_name(number) for number in (3, 1))
    content = file.read_bytes()
    file.write_bytes(
        {
            "a byte flipped": content[:-7] + bytes([content[-7] ^ 16]) + content[-6:],
            "copied over another": other.read_bytes(),
            "cut short": content[:-9],
        }[harm]
    )
    again = make_run()
    with pytest.warns(UserWarning, match="files of the reference models 3 in store are damaged or were copied"):
        again.train()
    for name, values in whole.items():
        assert np.array_equal(again.store.read(name), values)


def test_models_of_other_halves_or_seeds_than_the_plans_are_refused(make_run):
    run = make_run()
    run.train()
    store, info = run.store, run.store.info(2)
    signals = {name: store.read(name, models=[2], query=None)[0] for name in store.signals}
    membership = store.membership(models=[2])[0]
    store.write(2, signals, membership, info={**info, "seed": info["seed"] + 1})
    with pytest.raises(InputError, match="reference model 2 in store has another seed than its plan: delete store"):
        make_run()
    store.write(2, signals, np.roll(membership, 1), info=info)
    with pytest.raises(InputError, match="reference model 2 in store has another training set than its plan"):
        make_run()
    store.write(2, signals, membership, info=info)
    make_run()


def test_weights_are_dropped_unless_asked_for(make_run):
    run = make_run()
    run.train()
    assert not any(
        name.endswith(".safetensors") and not name.startswith("reference") for name in files(run.store.folder)
    )
    assert not list(run.store.folder.glob("models/*"))


def test_kept_weights_load_again_and_give_the_stored_signals(make_run):
    from hf_privacy.models import load_saved_model

    run = make_run()
    run.train(keep_weights=True)
    for number in range(4):
        model = load_saved_model(run.store.folder / "models" / f"reference_{number:04d}")
        phi = compute_signals(model, run.audit_dataset)["phi"]
        assert np.allclose(phi, run.store.read("phi", models=[number]), atol=1e-5)
        assert run.kept_model(number) is not None
    run.train()  # a later run without the wish does not delete them
    assert len(list(run.store.folder.glob("models/*/model.safetensors"))) == 4


def test_kept_weights_that_are_not_those_that_were_trained_are_refused(make_run):
    run = make_run(n_models=2)
    run.train(keep_weights=True)
    first, second = (run.store.folder / "models" / f"reference_000{number}" for number in (0, 1))
    (second / "model.safetensors").write_bytes((first / "model.safetensors").read_bytes())
    assert run.kept_model(0) is not None
    with pytest.raises(InputError, match=r"kept weights of reference model 1 .* delete reference_0001\.safetensors"):
        run.kept_model(1)


def test_weights_that_a_killed_run_left_are_not_kept_ones(make_run):
    run = make_run(n_models=2)
    run.train()
    left = run.store.folder / "models" / "reference_0001"
    left.mkdir(parents=True)
    (left / "config.json").write_text("{}")
    assert run.kept_model(1) is None


def test_a_killed_reference_resumes_from_its_checkpoint_and_ends_with_the_same_signals(make_run):
    recipe = {"num_train_epochs": 4, "save_strategy": "epoch"}
    straight = make_run("straight", callbacks=[KillAtStep(), CountSteps()], **recipe)
    straight.train()
    steps = CountSteps.steps
    run = make_run("killed", callbacks=[KillAtStep(), CountSteps()], **recipe)
    KillAtStep.armed_at, CountSteps.steps = 7, 0  # in the third epoch of three steps
    with pytest.raises(Killed):
        run.train()
    assert CountSteps.steps == 7
    assert list(run.store.folder.glob("models/reference_0000/checkpoint-*"))
    KillAtStep.armed_at = None
    run.train()
    assert CountSteps.steps == steps + 1  # only the step after the last checkpoint was repeated
    for name in run.store.signals:
        assert np.array_equal(run.store.read(name), straight.store.read(name))
    assert not list(run.store.folder.glob("models/*"))


def test_a_checkpoint_that_a_kill_cut_short_is_passed_over(make_run):
    recipe = {"num_train_epochs": 4, "save_strategy": "epoch", "callbacks": [KillAtStep()]}
    straight = make_run("straight", **recipe)
    straight.train()
    run = make_run("killed", **recipe)
    KillAtStep.armed_at = 7
    with pytest.raises(Killed):
        run.train()
    folder = run.store.folder / "models" / "reference_0000"
    latest = folder / "checkpoint-6"
    assert last_whole_checkpoint(folder) == str(latest)
    (latest / "manifest.json").unlink()  # written last
    (latest / "optimizer.pt").write_bytes(b"")
    assert last_whole_checkpoint(folder) == str(folder / "checkpoint-3")
    KillAtStep.armed_at = None
    run.train()
    assert np.array_equal(run.store.read("phi"), straight.store.read("phi"))


def test_checkpoints_left_by_a_kill_after_the_signals_were_written_are_cleared(make_run):
    run = make_run()
    run.train()
    left = run.store.folder / "models" / "reference_0001" / "checkpoint-6"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"x")
    run.train()
    assert not left.parent.exists()


@pytest.mark.parametrize("change", [{"learning_rate": 0.01}, {"fraction": 0.25}, {"seed": 1}], ids=str)
def test_a_stale_store_is_refused(make_run, change):
    run = make_run()
    before = (run.store.folder / "metadata.json").read_bytes()
    with pytest.raises(InputError, match="was made with another"):
        make_run(**change)
    assert (run.store.folder / "metadata.json").read_bytes() == before


def test_a_store_of_the_same_rows_encoded_otherwise_is_refused(make_trainer, dataset, split, tmp_path):
    from hf_privacy.data import TensorDataset

    trainer = make_trainer()
    reference_run(trainer, dataset, split, tmp_path / "store", n_models=4)
    scaled = TensorDataset({"features": dataset.column("features") * 2, "labels": dataset.column("labels")})
    with pytest.raises(InputError, match="encoded_data_digest"):
        reference_run(trainer, scaled, split, tmp_path / "store", n_models=4)


def test_targets_of_several_splits_of_one_pool_share_their_references(make_trainer, dataset, split, tmp_path):
    from hf_privacy.data import MembershipSplit

    swapped = MembershipSplit(
        split.non_members,
        split.members,
        split.population,
        n_examples=split.n_examples,
        dataset_fingerprint=split.dataset_fingerprint,
    )
    one = reference_run(make_trainer(), dataset, split, tmp_path / "store", n_models=4)
    trainer = make_trainer(train_dataset=dataset.subset(swapped.members))
    other = reference_run(trainer, dataset, swapped, tmp_path / "store", n_models=4)
    assert one.store.metadata == other.store.metadata


def test_a_pool_of_another_length_than_the_plans_is_refused(make_run):
    run = make_run()
    with pytest.raises(InputError, match="train_pool has 80 examples and the plan 60"):
        train_references(run.trainer, run.audit_dataset, run.audit_dataset, run.plan, run.store)


def test_a_model_claimed_by_another_process_is_left_to_it(make_run):
    run = make_run()
    with run.store.claim(2) as claimed:
        assert claimed
        assert train_references(run.trainer, run.train_pool, run.audit_dataset, run.plan, run.store) == 3
        assert run.store.completed() == [0, 1, 3]


def test_progress_counts_models_whoever_trains_them(make_run, capsys, monkeypatch):
    monkeypatch.setattr("hf_privacy.progress.SECONDS_BETWEEN_LINES", 0.0)
    make_run().train(show_progress=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("reference models:")]
    assert "4/4, done" in lines[-1]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What two processes that shared one store say they did."""
    folder = tmp_path_factory.mktemp("shared")
    script = Path(__file__).with_name("two_process_references.py")
    started = [
        subprocess.Popen([sys.executable, str(script), str(folder), name], stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    outputs = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    return folder, [json.loads(output.splitlines()[-1]) for output in outputs]


@pytest.mark.slow
def test_two_processes_share_a_store_and_train_no_model_twice(two_processes):
    folder, (one, other) = two_processes
    assert sorted(one["trained"] + other["trained"]) == list(range(8))
    assert one["trained"]
    assert other["trained"]
    assert len(list((folder / "store").glob("reference_*.safetensors"))) == 8


@pytest.mark.slow
def test_the_recipes_hash_is_equal_in_two_fresh_processes(two_processes):
    _, (one, other) = two_processes
    assert one["hash"] == other["hash"]
