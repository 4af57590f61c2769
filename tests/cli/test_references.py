"""Reference models on many machines: a plan written once, ranks, a store of whole files, and the same report."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

from hf_privacy.errors import InputError
from hf_privacy.hub.published import published_files
from hf_privacy.references import SharedStore, WrittenPlan, collect_shared, run_ranks
from hf_privacy.signals import SignalStore

# A training of a tenth of a second.
QUICK = {"training": {"num_train_epochs": 2}, "audit": {"references": 4, "class_slices": False}}


@pytest.fixture(scope="module")
def planned(tmp_path_factory, write_recipe):
    """A recipe, its plan in a shared folder, and that folder; nothing is trained."""
    from hf_privacy.cli import main

    folder = tmp_path_factory.mktemp("planned")
    recipe = write_recipe(folder, **QUICK)
    assert main(["references", "plan", "--config", recipe, "--output", str(folder / "store" / "plan.json")]) == 0
    return recipe, folder / "store"


@pytest.fixture(scope="module")
def local_report(tmp_path_factory, planned):
    """The run of the same recipe whose references were trained by its own audit."""
    from hf_privacy.cli import main

    recipe, _ = planned
    folder = tmp_path_factory.mktemp("local") / "run"
    for command in ("train", "audit"):
        assert main([command, "--config", recipe, f"--output_dir={folder}"]) == 0
    return folder


@pytest.fixture
def store(planned, tmp_path) -> Path:
    """The plan alone, in a folder of this test's own."""
    shutil.copytree(planned[1], tmp_path / "store", ignore=lambda folder, names: set(names) - {"plan.json"})
    return tmp_path / "store"


def facts(folder: Path) -> dict:
    """A report without what depends on the clock."""
    report = json.loads((folder / "privacy_report.json").read_text())
    return {name: part for name, part in report.items() if name not in ("cost", "created")}


# ---- the plan ----


def test_a_plan_holds_hashes_and_no_row(planned, table_file):
    text = (planned[1] / "plan.json").read_text()
    plan = json.loads(text)
    assert plan["format"] == 1
    assert {"recipe_hash", "dataset_fingerprint", "split_hash", "encoded_data_digest"} <= set(plan["store"])
    assert plan["store"]["n_models"] == 4
    assert "output_dir" not in plan["recipe"]
    # Nothing longer than a hidden layer or the list of signals: neither rows nor members.
    assert max(map(len, lists_in(plan))) <= 10
    assert len(text) < 10_000


def lists_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    elif isinstance(value, list):
        yield value
    else:
        return
    for part in value:
        yield from lists_in(part)


def test_a_plan_is_for_its_owner_and_no_push_takes_it(cli, planned, tmp_path):
    """Its seeds, with the data, tell who is a member."""
    assert (planned[1] / "plan.json").stat().st_mode & 0o777 == 0o600
    assert published_files(planned[1]) == {}
    plan = WrittenPlan.load(str(planned[1] / "plan.json"))
    for name in ("vocab.json", "plan.safetensors"):
        with pytest.raises(InputError, match=rf"the plan's file is '{name}', which a push takes for the model's"):
            plan.save(str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_written_once(cli, planned, store, tmp_path):
    plan = str(store / "plan.json")
    code, out, _ = cli("references", "plan", "--config", planned[0], "--output", plan)
    assert (code, "4 references" in out) == (0, True)
    code, _, said = cli("references", "plan", "--config", planned[0], "--output", plan, "--audit.references", "6")
    assert code == 2
    assert said == "hf-privacy: plan.json in store is another plan already: name another file\n"


# ---- ranks, markers and the report ----


def test_two_machines_share_a_plan_and_the_report_is_that_of_one(cli, planned, store, local_report, tmp_path):
    plan = str(store / "plan.json")
    assert "missing: 0-3" in cli("references", "status", "--plan", plan)[1]
    assert cli("references", "run", "--plan", plan, "--ranks", "2-3")[0] == 0
    # One machine asked for all of them: what the other did is not done again.
    code, out, _ = cli("references", "run", "--plan", plan)
    assert code == 0
    assert "2 of 4 references are done already" in out
    assert "2 of 4 references trained here" in out
    assert str(tmp_path) not in out
    assert cli("references", "status", "--plan", plan)[1] == "4 of 4 references are done\n"
    run = tmp_path / "run"
    shutil.copytree(local_report, run, ignore=shutil.ignore_patterns("references*", "privacy_report*"))
    code, _, said = cli("audit", "--config", planned[0], f"--output_dir={run}", "--plan", plan)
    assert (code, said) == (0, "")
    assert facts(run) == facts(local_report)


def test_a_store_behind_a_url_makes_the_same_report(cli, planned, filled, local_report, object_store, tmp_path):
    """The plan and what two machines made of it, in an object store's emulator; one of them is lost."""
    url = f"{object_store}/{tmp_path.name}"
    there = SharedStore(WrittenPlan.load(str(planned[1] / "plan.json")), url)
    there.folder.write("plan.json", (planned[1] / "plan.json").read_bytes())
    plan = f"{url}/plan.json"
    assert cli("references", "run", "--plan", plan, "--ranks", "0")[0] == 0
    for number in (1, 2, 3):  # made elsewhere
        (row,) = (filled / "rows").glob(f"reference_{number:04d}.*")
        assert there.publish(number, row, None, {})
    there.folder.delete("reference_0001.json")
    assert cli("references", "status", "--plan", plan)[1] == "3 of 4 references are done\nmissing: 1\n"
    assert cli("references", "run", "--plan", plan, "--rank", "0", "--world", "2")[0] == 0
    run = tmp_path / "run"
    shutil.copytree(local_report, run, ignore=shutil.ignore_patterns("references*", "privacy_report*"))
    assert cli("audit", "--config", planned[0], f"--output_dir={run}", "--plan", plan)[0] == 0
    assert facts(run) == facts(local_report)


def test_an_audit_says_what_is_missing_and_trains_nothing(cli, planned, store, local_report, tmp_path):
    plan = str(store / "plan.json")
    assert cli("references", "run", "--plan", plan, "--ranks", "1")[0] == 0
    run = tmp_path / "run"
    shutil.copytree(local_report, run, ignore=shutil.ignore_patterns("references*", "privacy_report*"))
    code, _, said = cli("audit", "--config", planned[0], f"--output_dir={run}", "--plan", plan)
    assert code == 2
    assert said.startswith("hf-privacy: 3 of 4 references are not in the store of the plan (0,2-3): run those numbers")
    assert SignalStore.open(run / "private" / "references").completed() == [1]


@pytest.fixture
def shared(store) -> SharedStore:
    return SharedStore(WrittenPlan.load(str(store / "plan.json")), str(store))


@pytest.fixture(scope="module")
def filled(planned, tmp_path_factory) -> Path:
    """The folder of a store where all four are done."""
    folder = tmp_path_factory.mktemp("filled")
    run(SharedStore(WrittenPlan.load(str(planned[1] / "plan.json")), str(folder)), 3, 1, 0, 2)
    return folder


@pytest.fixture
def whole(shared, filled, store) -> SharedStore:
    """A store of this test's own where all four are done."""
    shutil.copytree(filled, store, dirs_exist_ok=True)
    return shared


def run(shared: SharedStore, *ranks: int, **options) -> int:
    return run_ranks(shared, ranks, shared.plan.worker_recipe({}), say=lambda line: None, **options)


def rows(shared: SharedStore, folder: Path):
    assert collect_shared(shared, folder) == []
    return SignalStore.open(folder).read("phi")


def test_a_machine_lost_at_any_write_loses_nothing_that_is_done(shared, tmp_path, monkeypatch):
    """Every file that a reference brings to the store, in turn, is the one at which its machine is lost."""
    from hf_privacy.references.shared_folder import SharedFolder

    upload, write = SharedFolder.upload, SharedFolder.write

    class LostError(BaseException):
        pass

    def lost(*arguments, **options):
        raise LostError

    run(shared, 0)
    for method in ("upload", "write"):
        with monkeypatch.context() as patch:
            patch.setattr(SharedFolder, method, lost)
            with pytest.raises(LostError):
                run(shared, 3)
        found = shared.status()
        assert (found.done, found.failed, found.missing) == ([0], [], [1, 2, 3])
    assert (SharedFolder.upload, SharedFolder.write) == (upload, write)
    assert run(shared, 0, 3) == 1
    assert shared.status().done == [0, 3]


def test_a_rank_done_twice_does_no_harm(whole, store, tmp_path):
    """Two machines at one number write side by side; the first marker stands, and names files that are whole."""
    other = SharedStore(whole.plan, str(tmp_path / "other"))
    run(other, 3)
    first = rows(whole, tmp_path / "first")
    marker = (store / "reference_0003.json").read_bytes()
    # The slower machine comes with its own files.
    (row,) = (tmp_path / "other" / "rows").iterdir()
    assert not whole.publish(3, row, None, {"device": "another"})
    assert (store / "reference_0003.json").read_bytes() == marker
    assert len(list((store / "rows").glob("reference_0003.*"))) == 2
    assert (rows(whole, tmp_path / "second") == first).all()
    # And the other machine's, trained alone and first, says what the first one's says that was trained among others.
    (store / "reference_0003.json").unlink()
    assert whole.publish(3, row, None, {"device": "another"})
    assert (rows(whole, tmp_path / "third") == first).all()


def test_a_file_that_is_not_its_markers_is_not_taken(whole, store, tmp_path):
    (row,) = (store / "rows").glob("reference_0002.*")
    content = bytearray(row.read_bytes())
    content[-1] ^= 1
    row.write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="the references 2 in store are not those that their markers name"):
        assert collect_shared(whole, tmp_path / "local") == [2]
    # A file that is gone is seen without reading any.
    row.unlink()
    assert whole.status().missing == [2]
    assert run(whole, 2) == 1
    assert collect_shared(whole, tmp_path / "local") == []


@pytest.mark.parametrize("name", ["rows/{outside}", "rows/../outside", "weights/../rows/a"])
def test_a_marker_names_no_file_outside_of_its_folder(shared, store, tmp_path, name):
    outside = tmp_path / "outside"
    name = name.format(outside=outside)
    for kind in ("rows", "weights"):
        (store / kind).mkdir(exist_ok=True)
    there = Path(f"{store}/{name}")
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_bytes(b"content")
    file = {"bytes": 7, "sha256": hashlib.sha256(b"content").hexdigest()}
    marker = {"plan": shared.plan.hash, "reference": 0, "files": {name: file}}
    (store / "reference_0000.json").write_text(json.dumps(marker))
    assert shared.fetch(0, tmp_path / "local") is None
    assert not outside.exists()


def test_kept_weights_come_home(cli, planned, local_report, tmp_path):
    plan = str(tmp_path / "store" / "plan.json")
    keep = ("--audit.keep_weights=true", "--audit.references=2")
    assert cli("references", "plan", "--config", planned[0], "--output", plan, *keep)[0] == 0
    assert cli("references", "run", "--plan", plan)[0] == 0
    folder = tmp_path / "run"
    assert (
        cli("references", "collect", "--plan", plan, "--config", planned[0], f"--output_dir={folder}", *keep)[0] == 0
    )
    from hf_privacy.hub import weights_sha256

    references = folder / "private" / "references"
    store = SignalStore.open(references)
    for number in range(2):
        kept = references / "models" / f"reference_{number:04d}"
        assert weights_sha256(kept) == store.info(number)["weights_sha256"]


def test_a_failed_training_is_told_by_the_kind_of_its_error_alone(cli, shared, store, monkeypatch):
    from hf_privacy.references import collect

    def fail(*arguments, **options):
        raise RuntimeError("row 17 says: a secret")

    with monkeypatch.context() as patch:
        patch.setattr(collect, "train_references", fail)
        with pytest.raises(RuntimeError):
            run(shared, 2)
    out = cli("references", "status", "--plan", str(store / "plan.json"))[1]
    assert out == "0 of 4 references are done\nfailed: 2 (RuntimeError)\nmissing: 0-1,3\n"
    assert b"secret" not in b"".join(path.read_bytes() for path in store.rglob("*.json"))
    run(shared, 2)
    assert shared.status().done == [2]
    assert shared.status().failed == []


# ---- refusals: one sentence each ----


def test_a_marker_of_another_plan_is_an_error_and_no_skip(cli, planned, store):
    other = str(store / "other.json")
    assert cli("references", "plan", "--config", planned[0], "--output", other, "--audit.reference_seed=1")[0] == 0
    assert cli("references", "run", "--plan", other, "--ranks", "0")[0] == 0
    for action in ("run", "status"):
        code, _, said = cli("references", action, "--plan", str(store / "plan.json"))
        assert code == 2
        assert said.startswith("hf-privacy: reference_0000.json in store is of another plan: give each plan")


def test_other_data_are_refused_before_any_training(cli, shared, store, tmp_path):
    import datasets

    from hf_privacy.references import train

    rng_rows = datasets.Dataset.from_dict({"features": [[0.5] * 6] * 120, "label": [0, 1, 2] * 40})
    rng_rows.to_parquet(str(tmp_path / "other.parquet"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "reference_trainer", None)  # which a training would call
        code, _, said = cli(
            "references", "run", "--plan", str(store / "plan.json"), f"--data.name_or_path={tmp_path}/other.parquet"
        )
    assert code == 2
    assert "the references of this machine would not be the plan's (different: dataset_fingerprint" in said
    assert shared.status().failed == []


def test_other_versions_are_refused_by_name(shared, store):
    values = json.loads((store / "plan.json").read_text())
    values["store"]["versions"]["torch"] = "1.0"
    (store / "plan.json").write_text(json.dumps(values))
    plan = WrittenPlan.load(str(store / "plan.json"))
    with pytest.raises(InputError, match=r"written with other versions \(torch 1.0 in the plan, .* here\)"):
        run(SharedStore(plan, str(store)), 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run"], "no --plan"),
        (["plan"], "no --output"),
        (["run", "--plan", "{plan}", "--ranks", "3-9"], "--ranks is '3-9' and the plan has 4 references"),
        (["run", "--plan", "{plan}", "--rank", "1"], "--rank and --world go together"),
        (["run", "--plan", "{plan}", "--config", "r.yaml"], "--config is given and the action is run"),
        (["status", "--plan", "{plan}", "--ranks", "1"], "--ranks is given and the action is status"),
        (["status", "--plan", "{plan}", "--audit.references", "8"], "--audit.references is given"),
        (["status", "--plan", "{folder}/none.json"], "there is no plan 'none.json' in store"),
        (["status", "--plan", "{folder}/bad.json"], "bad.json in store is no plan of format 1"),
        (["status", "--plan", "nonesuch://bucket/plan.json"], "the store nonesuch://…/bucket cannot be reached"),
        (["collect", "--plan", "{plan}", "--config", "{recipe}", "--audit.references=8"], "the plan has 4"),
        (["collect", "--plan", "{plan}", "--config", "{recipe}", "--training.learning_rate=1"], "different: training"),
        (["collect", "--plan", "{plan}"], "no recipe"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_sentence(cli, planned, store, arguments, sentence):
    (store / "bad.json").write_text("[]")
    places = {"plan": store / "plan.json", "folder": store, "recipe": planned[0]}
    code, _, said = cli("references", *(argument.format(**places) for argument in arguments))
    assert code == 2
    assert len(said.splitlines()) == 1
    assert sentence in said


def test_the_plan_of_a_quick_audit_is_refused(cli, planned, tmp_path):
    code, _, said = cli(
        "references", "plan", "--config", planned[0], "--audit.depth=quick", "--output", str(tmp_path / "p.json")
    )
    assert (code, "only an audit of depth 'full' has references" in said) == (2, True)


def test_a_store_in_an_audit_goes_with_a_plan(cli, planned):
    code, _, said = cli("audit", "--config", planned[0], "--store", "s3://bucket/run")
    assert (code, "--store goes with --plan" in said) == (2, True)


def test_status_needs_no_framework(planned):
    import subprocess
    import sys

    code = (
        "import sys; from hf_privacy.cli import main; main(['references', 'status', '--plan', sys.argv[1]]);"
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(planned[1] / "plan.json")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "[]"


def test_a_machine_of_another_kind_is_said_in_the_report(cli, planned, local_report, tmp_path, monkeypatch):
    from hf_privacy.references import train

    made_on = train.made_on
    monkeypatch.setattr(train, "made_on", lambda model: {**made_on(model), "device": "another card"})
    run = tmp_path / "run"
    shutil.copytree(local_report, run)
    next((run / "private" / "references").glob("reference_*.safetensors")).unlink()
    assert cli("audit", "--config", planned[0], f"--output_dir={run}")[0] == 0
    caveats = " ".join(json.loads((run / "privacy_report.json").read_text())["caveats"])
    assert "The reference models were trained on different devices (another card; cpu" in caveats


def test_a_recipe_is_its_plans_wherever_its_data_lie(planned):
    from hf_privacy.recipe import Recipe

    plan = WrittenPlan.load(str(planned[1] / "plan.json"))
    recipe = Recipe.load(planned[0])
    plan.refuse_other_recipe(recipe.override({"data.name_or_path": "elsewhere.parquet", "audit.fprs": [0.5]}))
    assert yaml.safe_load(Path(planned[0]).read_text())["name"] == "tiny"


def test_an_audit_may_stop_early_and_says_so(cli, planned, local_report, tmp_path, monkeypatch):
    from contextlib import contextmanager

    from hf_privacy.cli import audit

    asked = []

    @contextmanager  # which is entered once, as the real ones
    def workers():
        yield

    def reference_workers(recipe, folder):
        asked.append((recipe.audit.references, recipe.audit.stop_when_still))
        return workers()

    monkeypatch.setattr(audit, "reference_workers", reference_workers)
    run = tmp_path / "run"
    shutil.copytree(local_report, run, ignore=shutil.ignore_patterns("privacy_report*"))
    early = ("--audit.stop_when_still=0.999", "--audit.references=16")
    assert cli("audit", "--config", planned[0], f"--output_dir={run}", *early)[0] == 0
    report = json.loads((run / "privacy_report.json").read_text())
    assert report["references"]["n_models"] == 8
    assert {attack["n_references"] for attack in report["attacks"]} == {0, 8}
    (said,) = [caveat for caveat in report["caveats"] if "fixed beforehand" in caveat]
    assert "at most 16" in said
    assert "It stopped at 8" in said
    assert SignalStore.open(run / "private" / "references").completed() == list(range(8))
    assert asked == [(4, None), (8, None)]  # no worker trains what is not asked for yet
