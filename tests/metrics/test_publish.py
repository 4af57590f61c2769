"""`hf-privacy metrics`: what it lists, what it sends, and that what it sent loads again."""

from __future__ import annotations

import json
import shutil

import pytest
from local_hub import READ_TOKEN, WRITE_TOKEN

from hf_privacy.cli import main
from hf_privacy.metrics import metric_folder, metric_names
from hf_privacy.metrics.cards import space_files

FILES = ["README.md", "app.py", "requirements.txt"]


@pytest.fixture
def cli(capsys):
    def run(*arguments):
        capsys.readouterr()
        code = main(["metrics", *arguments])
        return code, *capsys.readouterr()

    return run


# ---- list ----


def test_list_gives_a_line_for_each_module(cli):
    code, out, _ = cli("list")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == metric_names()
    assert all(len(line) <= 160 and line.endswith(".") for line in lines)


@pytest.mark.parametrize("extra", [["lira"], ["--all"], ["--namespace", "me"], ["--public"], ["--dry-run"]], ids=str)
def test_list_refuses_what_belongs_to_push(cli, extra):
    code, out, err = cli("list", *extra)
    assert (code, out) == (2, "")
    assert "takes no names and no flags" in err


# ---- what push refuses before it asks the Hub ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lira"], "no namespace: pass --namespace"),
        (["--namespace", "me"], "pass the names of the metrics to push, or --all: attack_p, "),
        (["lira", "--all", "--namespace", "me"], "pass the names of the metrics to push, or --all"),
        (["accuracy", "--namespace", "me"], "there is no metric 'accuracy': pass one of "),
        (["lira", "--namespace", "me", "--training.seed", "1"], "unknown key '--training.seed'"),
        (["lira", "--namespace", "me"], "HF_HUB_OFFLINE is set"),  # by tests/conftest.py
    ],
    ids=str,
)
def test_push_says_what_is_missing(cli, arguments, message):
    code, _, err = cli("push", *arguments)
    assert code == (4 if "OFFLINE" in message else 2)
    assert message in err
    assert err.count("\n") == 1


def test_private_and_public_exclude_each_other(cli):
    code, _, err = cli("push", "lira", "--namespace", "me", "--private", "--public")
    assert code == 2
    assert "not allowed with argument" in err


def test_dry_run_lists_every_file_and_needs_no_token(cli, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    code, out, _ = cli("push", "--all", "--namespace", "me", "--dry-run")
    assert code == 0
    for name in metric_names():
        assert f"private Space me/{name}, main:" in out
        assert f"  {name}.py " in out
    assert out.count("README.md") == len(metric_names())
    assert out.endswith("nothing was sent\n")
    _, out, _ = cli("push", "lira", "--namespace", "me", "--dry-run", "--public", "--revision", "next")
    assert out.startswith("public Space me/lira, next:")


# ---- push, against the local Hub ----

# Several commands in one child process: a token of None takes the variable out of the environment.
RUN_ALL = """
import contextlib, io, json, os, sys
from hf_privacy.cli import main

results = []
for token, arguments in json.loads(sys.argv[1]):
    os.environ.pop("HF_TOKEN") if token is None else os.environ.update(HF_TOKEN=token)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["metrics", "push", *arguments])
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


def push_all(local_hub, *commands):
    """Exit code, standard output and standard error of each (token, arguments)."""
    done = local_hub.python(RUN_ALL, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_push_makes_a_private_space_in_one_commit(local_hub):
    first, again, branch = push_all(
        local_hub,
        (WRITE_TOKEN, ["lira", "rmia", "--namespace", "tester"]),
        (WRITE_TOKEN, ["lira", "--namespace", "tester"]),
        (WRITE_TOKEN, ["membership_inference", "--namespace", "tester", "--public", "--revision", "next"]),
    )
    assert [code for code, _, _ in (first, again, branch)] == [0, 0, 0]
    for name in ("lira", "rmia"):
        repo_id = f"tester/{name}"
        [commit] = local_hub.commits(repo_id)  # the second push changed nothing, so it made none
        assert (commit["repo_type"], commit["revision"]) == ("space", "main")
        assert commit["added"] == sorted([*FILES, f"{name}.py"])
        assert local_hub.repository(repo_id, repo_type="space")["private"]
        files = local_hub.files(repo_id, repo_type="space")
        assert {path: files[path] for path in commit["added"]} == space_files(metric_folder(name))
        assert f"pushed: {local_hub.url}/spaces/{repo_id}\n" in first[1]
        # trap 19: whoever loads it runs its code, so the commit is named in full
        assert f'evaluate.load("{repo_id}", module_type="metric", revision="{commit["oid"]}")' in first[1]
    assert local_hub.commits("tester/lira")[0]["oid"] in again[1]

    assert not local_hub.repository("tester/membership_inference", repo_type="space")["private"]
    assert [commit["revision"] for commit in local_hub.commits("tester/membership_inference")] == ["next"]
    assert "membership_inference.py" not in local_hub.files("tester/membership_inference", repo_type="space")


def test_push_refuses_in_one_sentence_and_sends_nothing(local_hub):
    local_hub.create("tester/lira", private=False, repo_type="space")
    cases = {
        "the Space tester/lira exists and is public": (WRITE_TOKEN, ["lira", "--namespace", "tester"]),
        "the Hub refuses this token for the Space tester/rmia": (READ_TOKEN, ["rmia", "--namespace", "tester"]),
        "there is no token for the Hub": (None, ["rmia", "--namespace", "tester"]),
        "--namespace is 'no/good': pass the name of a user": (WRITE_TOKEN, ["rmia", "--namespace", "no/good"]),
    }
    for message, (code, _, err) in zip(cases, push_all(local_hub, *cases.values()), strict=True):
        assert code == 2
        assert err.startswith(f"hf-privacy: {message}")
        assert err.count("\n") == 1
    assert local_hub.commits() == []


PUSH_TWO_VERSIONS_AND_LOAD_BOTH = """
import json, sys
from pathlib import Path
import evaluate
from hf_privacy.hub import check_login
from hf_privacy.metrics.publish import push_metric

pinned, latest = (push_metric(Path(folder), "tester", token=check_login()).revision for folder in sys.argv[1:])
results = {"pinned": pinned, "latest": latest}
for revision in (pinned, "main"):
    module = evaluate.load("tester/membership_inference", module_type="metric", revision=revision, keep_in_memory=True)
    result = module.compute(predictions=[0.9, 0.4, 0.6, 0.1], references=[1, 0, 1, 0], fprs=[0.5])
    results[revision] = {**result, "module": type(module).__module__}
print(json.dumps(results))
"""


def test_trap_19_a_pinned_commit_loads_from_a_private_space_whatever_came_after(local_hub, tmp_path):
    first = metric_folder("membership_inference")
    second = shutil.copytree(first, tmp_path / "later" / "membership_inference")
    source = (second / "membership_inference.py").read_text()
    assert source.count("        return result\n") == 1
    changed = source.replace("        return result\n", '        return {**result, "version": 2}\n')
    (second / "membership_inference.py").write_text(changed)
    done = local_hub.python(PUSH_TWO_VERSIONS_AND_LOAD_BOTH, str(first), str(second))
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["pinned"] != results["latest"]
    old, new = results[results["pinned"]], results["main"]
    assert ("version" in old, new["version"]) == (False, 2)
    assert old["auc"] == new["auc"] == 1.0
    assert old["module"].startswith("evaluate_modules.metrics.tester--membership_inference.")
    asked = [request["path"] for request in local_hub.requests() if "/resolve/" in request["path"]]
    assert f"/spaces/tester/membership_inference/resolve/{results['pinned']}/membership_inference.py" in asked
    assert local_hub.repository("tester/membership_inference", repo_type="space")["private"]
