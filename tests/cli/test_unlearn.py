"""`hf-privacy unlearn`: one request, a queue, a kill, and what is refused before anything is changed."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest

from hf_privacy.auditing.examinations.unlearning import queue as queue_module
from hf_privacy.auditing.examinations.unlearning import serve as unlearn_module
from hf_privacy.auditing.examinations.unlearning.folder import UnlearnedFolder
from hf_privacy.cli import main
from hf_privacy.data import MembershipSplit
from hf_privacy.hub import validate_report, weights_sha256
from hf_privacy.unlearning import LOG_NAME, RequestLog

METHOD = ("--unlearning.method", "gradient_ascent", "--unlearning.training", "{num_train_epochs: 1}")


@pytest.fixture(scope="session")
def people(write_recipe, tmp_path_factory) -> Path:
    """A trained model on 40 people of three rows each: copy its folder before writing to it."""
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    rows = {"features": rng.normal(size=(120, 6)).round(4).tolist(), "label": rng.integers(3, size=120).tolist()}
    table = datasets.Dataset.from_dict({**rows, "person": [f"p{row // 3}" for row in range(120)]})
    table.to_parquet(str(folder / "people.parquet"))
    recipe = write_recipe(folder, data={"name_or_path": str(folder / "people.parquet")})
    assert main(["train", "--config", recipe]) == 0
    return folder / "run"


@pytest.fixture
def run(people, tmp_path) -> Path:
    return Path(shutil.copytree(people, tmp_path / "run"))


@pytest.fixture
def members(people) -> np.ndarray:
    return MembershipSplit.load(people / "private" / "split.safetensors").members


@pytest.fixture
def queue(tmp_path):
    def write(*requests: dict) -> str:
        path = tmp_path / "requests.jsonl"
        path.write_text("".join(f"{json.dumps(request)}\n" for request in requests))
        return str(path)

    return write


@pytest.fixture
def served(monkeypatch) -> list[int]:
    """How many examples each unlearning that was started had to forget."""
    sizes = []
    original = unlearn_module._trainer

    def counted(experiment, rows, *arguments, **others):
        sizes.append(len(rows.split.forget))
        return original(experiment, rows, *arguments, **others)

    monkeypatch.setattr(unlearn_module, "_trainer", counted)
    return sizes


def person_of(row: int) -> str:
    return f"p{row // 3}"


# ---- one request ----


def test_a_person_is_forgotten_into_a_folder_of_its_own(cli, run, members, served):
    before = weights_sha256(run)
    arguments = ["unlearn", "--folder", str(run), *METHOD, "--unlearning.retrains", "2"]
    arguments += ["--unlearning.request", f"{{where: {{person: {person_of(members[0])}}}}}"]
    code, out, err = cli(*arguments)
    assert code == 0, err
    folder = run / "unlearned" / "gradient_ascent"
    assert weights_sha256(run) == before
    assert weights_sha256(folder) != before
    report = json.loads((folder / "privacy_report.json").read_text())
    validate_report(report)
    section = report["unlearning"]
    assert section["request"]["kind"] == "where"
    assert section["request"]["n_forget"] == sum(person_of(row) == person_of(members[0]) for row in members)
    assert section["n_retrained"] == 2
    assert "Forget set: wrong (UA)" in out
    assert person_of(members[0]) not in (folder / "README.md").read_text()
    assert not list((run / "unlearned").glob(".*.partial"))
    # Asked again it is there already; another request is not put over it.
    assert cli(*arguments)[0] == 0
    assert len(served) == 1
    code, _, err = cli("unlearn", "--folder", str(run), *METHOD, "--unlearning.request", "{label: 1}")
    assert code == 2
    assert "holds the result of another request" in err
    # With its report it passes the gate.
    assert cli("push", "--folder", str(folder), "--repo-id", "ann/x", "--dry-run")[0] == 0


def test_retraining_is_a_method_too(cli, run):
    arguments = ["--unlearning.method", "retrain", "--unlearning.request.label", "1", "--unlearning.audit", "none"]
    code, out, err = cli("unlearn", "--folder", str(run), *arguments, "--unlearning.relearning_steps", "0")
    assert code == 0, err
    assert "retrain forgot" in out
    assert not (run / "unlearned" / "retrain" / "privacy_report.json").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "unlearning.method is not set"),
        (["--unlearning.method", "salunn"], "did you mean 'salun'?"),
        ([*METHOD], "the forget request names nothing"),
        ([*METHOD, "--unlearning.request", "{label: 1, fraction: 0.1}"], "names label and fraction"),
        ([*METHOD, "--unlearning.request.rows", "[]"], "rows is empty"),
        ([*METHOD, "--unlearning.request.ids", "[nobody]"], "1 of 1 ids name no row of the dataset"),
        ([*METHOD, "--unlearning.request.label", "7"], "no training example has that value"),
        ([*METHOD, "--unlearning.request.where", "{persn: p1}"], "where is 'persn'"),
        ([*METHOD, "--unlearning.request.label", "1", "--unlearning.heldout", "ROW"], "holds 1 members"),
        (
            [*METHOD, "--unlearning.reqest", "{}"],
            "unknown key --unlearning.reqest: did you mean --unlearning.request?",
        ),
        ([*METHOD, "--queue", "none.jsonl"], "'none.jsonl' is no file"),
    ],
)
def test_a_request_that_cannot_be_served_changes_nothing(words, sentence, cli, run, members):
    words = [f"[{members[0]}]" if word == "ROW" else word for word in words]
    code, _, err = cli("unlearn", "--folder", str(run), *words)
    assert code == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert not (run / "unlearned" / "gradient_ascent").exists()


def test_a_run_that_was_not_trained_is_refused(cli, write_recipe, tmp_path):
    recipe = write_recipe(tmp_path)
    code, _, err = cli("unlearn", "--config", recipe, *METHOD, "--unlearning.request.label", "1")
    assert code == 2
    assert "there is no trained model" in err
    assert not (tmp_path / "run").exists()


# ---- a queue ----

QUICK = ("--unlearning.audit", "none", "--unlearning.relearning_steps", "0")


def test_a_queue_is_served_in_order_on_all_that_was_asked_so_far(cli, run, members, queue, served):
    file = queue(
        {"request_id": "ann", "rows": [int(members[0]), int(members[1])]},
        {"request_id": "bob", "rows": [int(members[2])]},
        {"request_id": "cyd", "rows": [int(members[1])]},  # forgotten already
    )
    code, out, err = cli("unlearn", "--folder", str(run), *METHOD, *QUICK, "--queue", file)
    assert code == 0, err
    assert served == [2, 3]
    base = run / "unlearned" / "gradient_ascent-queue"
    assert [path.name for path in base.glob("model-*")] == ["model-0002"]
    entries = RequestLog(base).entries()
    assert [(entry["n_new"], entry["n_forgotten"]) for entry in entries] == [(2, 2), (1, 3), (0, 3)]
    assert entries[0]["weights_before"] == weights_sha256(run)
    assert entries[1]["weights_before"] == entries[0]["weights_after"]
    assert entries[2]["weights_after"] == entries[1]["weights_after"] == weights_sha256(base / "model-0002")
    assert not any(name in (base / LOG_NAME).read_text() for name in ("ann", "bob", "cyd"))
    assert "2 requests of a queue" in out


def test_the_cost_of_a_queue_is_that_of_all_its_requests_and_of_the_shadow_models_once(
    cli, run, members, queue, monkeypatch
):
    spent = iter([1.0, 2.0, 4.0])

    def took(trainer, checkpoint):
        seconds = next(spent)
        return {"scoring": seconds, "shadows": 10.0 + seconds, "training": 2 * seconds, "total": 3 * seconds}

    monkeypatch.setattr(unlearn_module, "_trained", took)
    file = queue(*({"request_id": f"r{n}", "rows": [int(members[n])]} for n in range(3)))
    assert cli("unlearn", "--folder", str(run), *METHOD, *QUICK, "--queue", file)[0] == 0
    (model,) = (run / "unlearned" / "gradient_ascent-queue").glob("model-*")
    timing = UnlearnedFolder(model).record()["timing"]
    assert timing == {"scoring": 7.0, "shadows": 14.0, "training": 14.0, "total": 21.0}


@pytest.mark.parametrize("moment", ["while it unlearns", "before its line in the log"])
def test_a_killed_queue_resumes_without_serving_twice(moment, cli, run, members, queue, served, monkeypatch):
    requests = [{"request_id": f"r{n}", "rows": [int(members[n])]} for n in range(3)]
    arguments = ["unlearn", "--folder", str(run), *METHOD, *QUICK, "--queue", queue(*requests)]
    module, place = (unlearn_module, "_trained") if moment == "while it unlearns" else (queue_module, "_log")
    original, calls = getattr(module, place), []

    def killed_at_the_second(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, place, killed_at_the_second)
        assert cli(*arguments)[0] == 130
    base = run / "unlearned" / "gradient_ascent-queue"
    assert len(RequestLog(base).entries()) == 1
    assert cli(*arguments)[0] == 0
    assert served == ([1, 2, 2, 3] if moment == "while it unlearns" else [1, 2, 3])
    entries = RequestLog(base).entries()
    assert [entry["n_forgotten"] for entry in entries] == [1, 2, 3]
    for earlier, later in itertools.pairwise(entries):
        assert later["weights_before"] == earlier["weights_after"]
    # Once more, with one request more: that one alone is served.
    more = queue(*requests, {"request_id": "r3", "rows": [int(members[3])]})
    served.clear()
    assert cli(*arguments[:-1], more)[0] == 0
    assert served == [4]


def test_a_line_that_cannot_be_served_stops_the_queue_before_the_first(cli, run, members, queue, served):
    stranger = next(row for row in range(120) if row not in members)
    for last, sentence in (
        ({"request_id": "b", "rows": [stranger]}, "line 2 of the queue: 1 of the 1 examples in rows are not in the"),
        ({"request_id": "b"}, "line 2 of requests.jsonl: the forget request names nothing"),
        ({"request_id": "b", "rows": members.tolist()}, "nothing would be retained"),
    ):
        file = queue({"request_id": "a", "rows": [int(members[0])]}, last)
        code, _, err = cli("unlearn", "--folder", str(run), *METHOD, *QUICK, "--queue", file)
        assert code == 2
        assert sentence in err
    assert served == []
    assert not list(run.glob("unlearned/*/model-*"))


def test_a_model_that_is_not_the_logs_is_refused(cli, run, members, queue):
    arguments = ["unlearn", "--folder", str(run), *METHOD, *QUICK, "--queue"]
    assert cli(*arguments, queue({"request_id": "a", "rows": [int(members[0])]}))[0] == 0
    model = run / "unlearned" / "gradient_ascent-queue" / "model-0001"
    shutil.copy(run / "model.safetensors", model / "model.safetensors")
    code, _, err = cli(*arguments, queue({"request_id": "b", "rows": [int(members[1])]}))
    assert code == 2
    assert "is not the one that unlearning_log.jsonl ends with" in err
