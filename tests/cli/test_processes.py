"""Commands as processes: killed at any moment, launched in ranks, watched without a terminal."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open
from torchrun import on_two_processes

from hf_privacy.cli import main
from hf_privacy.hub import load_report_dict, validate_report, weights_sha256

N_REFERENCES = 8


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each reference's file: written again, either differs."""
    found = {path.name: path.stat() for path in (folder / "private" / "references").glob("reference_*.safetensors")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def figures(folder: Path) -> dict:
    """The report without its date and what it cost."""
    report = load_report_dict(folder)
    validate_report(report)
    return {name: value for name, value in report.items() if name not in ("created", "cost")}


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def processes_of(folder: Path) -> set[int]:
    """Processes whose command line names this folder: the workers of its audit."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture(scope="module")
def uninterrupted(trained, tmp_path_factory) -> Path:
    """The folder of an audit that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    shutil.copytree(trained, folder)
    assert main(["audit", "--folder", str(folder), "--audit.references", str(N_REFERENCES)]) == 0
    return folder


@pytest.mark.slow
def test_kill_9_at_five_random_moments_then_the_same_command_gives_the_same_report(
    preloaded, trained, uninterrupted, tmp_path
):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    command = ["audit", "--folder", str(folder), "--audit.references", str(N_REFERENCES), "--audit.workers", "2"]
    generator = random.Random(20)
    moments = [*sorted(generator.sample(range(N_REFERENCES), 4)), N_REFERENCES]
    finished: dict[str, tuple[int, int]] = {}
    n_interrupted = 0
    for number, done in enumerate(moments):
        process = preloaded.start(*command, folder=tmp_path / f"output_{number}")
        # A kill before the worker is started would not test that it ends too. A machine fast enough to finish the
        # store between two kills starts none from then on.
        if len(finished) < N_REFERENCES:
            assert wait_until(lambda: processes_of(folder))
            n_interrupted += 1
        assert wait_until(lambda done=done: len(state_of(folder)) >= done)
        time.sleep(generator.uniform(0, 0.25))
        process.kill()
        assert process.wait() == -9
        now = state_of(folder)
        assert {name: now[name] for name in finished} == finished
        finished = now
    assert n_interrupted >= 2  # or nothing was ever taken up again
    process = preloaded.start(*command, folder=tmp_path / "output_last")
    assert process.wait() == 0, process.stderr
    now = state_of(folder)
    assert len(now) == N_REFERENCES
    assert {name: now[name] for name in finished} == finished

    assert figures(folder) == figures(uninterrupted)
    assert names(folder) - {"private/audit_recipe.yaml"} == names(uninterrupted)
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - not a dictionary
                file.get_tensor(name)
    assert wait_until(lambda: not processes_of(folder), seconds=30), "a worker outlived its audit"


@pytest.mark.slow
def test_an_audit_with_workers_gives_the_report_of_one_without(preloaded, trained, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    command = ["audit", "--folder", str(folder), "--audit.references", str(N_REFERENCES), "--audit.workers", "3"]
    code, out, err = preloaded.run(*command, folder=tmp_path / "output")
    assert code == 0, err
    assert "LiRA" in out
    assert "Traceback" not in err
    assert "worker" not in err  # none has failed
    assert len(state_of(folder)) == N_REFERENCES
    assert figures(folder) == figures(uninterrupted)
    assert wait_until(lambda: not processes_of(folder), seconds=30), "a worker outlived its audit"


@pytest.mark.slow
def test_kill_9_of_two_ranks_that_are_both_training_loses_and_repeats_nothing(
    preloaded, trained, uninterrupted, tmp_path
):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    command = ["audit", "--folder", str(folder), "--audit.references", str(N_REFERENCES)]

    def start(name: str) -> list:
        return [
            preloaded.start(
                *command,
                folder=tmp_path / f"{name}_{rank}",
                environment={"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
            )
            for rank in (0, 1)
        ]

    finished: dict[str, tuple[int, int]] = {}
    for done in (1, 4):
        ranks = start(f"killed_{done}")
        assert wait_until(lambda done=done: len(state_of(folder)) >= done)
        for process in ranks:
            process.kill()
        assert [process.wait() for process in ranks] == [-9, -9]
        now = state_of(folder)
        assert {name: now[name] for name in finished} == finished
        finished = now
    ranks = start("last")
    assert [process.wait() for process in ranks] == [0, 0], [process.stderr for process in ranks]
    now = state_of(folder)
    assert len(now) == N_REFERENCES
    assert {name: now[name] for name in finished} == finished
    assert figures(folder) == figures(uninterrupted)


@pytest.mark.slow
def test_ranks_share_the_references_and_rank_0_alone_writes_the_report(preloaded, trained, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    command = ["audit", "--folder", str(folder), "--audit.references", str(N_REFERENCES)]
    rank = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    code, out, err = preloaded.run(*command, "--audit.depth", "quick", folder=tmp_path / "quick", environment=rank)
    assert (code, out) == (0, ""), err
    assert not (folder / "private" / "references").exists()  # a quick audit has no references to share

    code, out, err = preloaded.run(*command, folder=tmp_path / "one", environment=rank)
    assert (code, out) == (0, ""), err
    done = state_of(folder)
    assert len(done) == N_REFERENCES
    assert not (folder / "privacy_report.json").exists()

    code, out, err = preloaded.run(
        *command, folder=tmp_path / "zero", environment={**rank, "RANK": "0", "LOCAL_RANK": "0"}
    )
    assert code == 0, err
    assert "LiRA" in out
    assert state_of(folder) == done
    assert figures(folder) == figures(uninterrupted)


@pytest.mark.slow
def test_a_killed_training_resumes_from_its_last_checkpoint(preloaded, write_recipe, tmp_path):
    settings = {"save_strategy": "epoch", "num_train_epochs": 40}
    straight = write_recipe(tmp_path / "straight", training=settings)
    assert main(["train", "--config", straight]) == 0
    recipe = write_recipe(tmp_path / "killed", training=settings)
    folder = tmp_path / "killed" / "run"
    process = preloaded.start("train", "--config", recipe, folder=tmp_path / "killed")
    assert wait_until(lambda: len(list(folder.glob("checkpoint-*/trainer_state.json"))) >= 5)
    process.kill()
    assert process.wait() == -9
    assert not (folder / "private" / "training.json").exists()
    first = sorted(folder.glob("checkpoint-*/model.safetensors"), key=lambda path: path.stat().st_mtime_ns)[:4]
    before = [path.stat().st_mtime_ns for path in first]

    code, out, err = preloaded.run("train", "--config", recipe, folder=tmp_path / "again")
    assert code == 0, err
    assert "saved to" in out
    assert [path.stat().st_mtime_ns for path in first] == before
    assert weights_sha256(folder) == weights_sha256(tmp_path / "straight" / "run")


BOTH_COMMANDS = """
import sys
from hf_privacy.cli import main
sys.exit(main(["train", "--config", sys.argv[1]]) or main(["audit", "--config", sys.argv[1], "--audit.workers", "1"]))
"""


@pytest.mark.slow
def test_without_a_terminal_progress_is_plain_lines(write_recipe, table_file, tmp_path):
    data = shutil.copy(table_file, tmp_path / "never_read_before.parquet")
    recipe = write_recipe(tmp_path, data={"name_or_path": str(data)})
    quiet = ("PROGRESS_BARS", "VERBOSITY")  # what commands in this process have set meanwhile
    environment = {name: value for name, value in os.environ.items() if not name.endswith(quiet)}
    done = subprocess.run(
        [sys.executable, "-c", BOTH_COMMANDS, recipe], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "trained in" in done.stdout
    for text in (done.stdout, done.stderr):
        assert "\r" not in text
        assert not re.search(r"\d+%\|", text), text
        assert "Traceback" not in text
        assert "Warning" not in text, text


@pytest.mark.slow
def test_a_launch_that_names_no_backend_trains_one_model_on_two_processes(write_recipe, tmp_path):
    recipe = write_recipe(tmp_path, training={"use_cpu": False, "num_train_epochs": 2})
    config = Path(__file__).parents[2] / "recipes" / "accelerate_configs" / "cpu_2_processes.yaml"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, "-m", "hf_privacy.cli", "train", "--config", recipe],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("trained in") == 1
    record = json.loads((tmp_path / "run" / "private" / "training.json").read_text())
    assert record["world_size"] == 2


@pytest.mark.slow
def test_a_command_leaves_the_process_group_before_the_interpreter_ends(write_recipe, tmp_path):
    """Gloo's threads, alive at the interpreter's end, now and then abort a process that has done all its work."""
    on_two_processes(Path(__file__).with_name("two_processes_train.py"), write_recipe(tmp_path))
    assert (tmp_path / "run" / "private" / "training.json").is_file()


@pytest.mark.parametrize("command", [["push"], ["unlearn"], ["report"], ["demo"], ["metrics", "list"]], ids=str)
def test_what_each_process_of_a_launch_would_do_as_a_whole_is_refused(command, cli, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, out, err = cli(*command)
    assert (code, out) == (2, "")
    assert f"{command[0]} was started in 2 processes, each of which would do it all: start one" in err
