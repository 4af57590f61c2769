"""Workers forked from a process that has imported everything: as their own processes as if started anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hf_privacy.atomic_file import claimed
from hf_privacy.cli import workers
from hf_privacy.launch import DISTRIBUTED_VARIABLES

pytestmark = pytest.mark.skipif(not workers.FORKS, reason="workers are forked on Linux alone")

HERE = Path(__file__).parent
# Each worker writes a file of its own name when it is there: whole, or not at all.
TELL = """
import json, os
def tell(**facts):
    path = os.path.join(folder, f"{os.getpid()}.json")
    with open(path + ".part", "w") as file:
        json.dump(facts, file)
    os.replace(path + ".part", path)
"""
WHAT_IT_SEES = f"""{TELL}
import random, sys
import numpy as np, torch
product = torch.ones(600, 600) @ torch.ones(600, 600)  # large enough for more than one thread
tell(environment=dict(os.environ), threads=torch.get_num_threads(), product=float(product[0, 0]),
     numpy=int(np.random.randint(2**31)), python=random.random(), server=os.getppid(), path=sys.path)
"""
SLEEP = f"""{TELL}
import time
tell(server=os.getppid())
time.sleep(120)
"""
CLAIM_AND_SLEEP = f"""{TELL}
import time
from pathlib import Path
from hf_privacy.atomic_file import claimed
with claimed(Path(folder, "claim.lock")) as mine:
    tell(mine=mine)
    while mine or not os.path.exists(os.path.join(folder, "end")):
        time.sleep(0.02)
"""


def told(folder: Path, *, count: int, seconds: float = 60) -> dict[int, dict]:
    """What the workers have told, by process, once ``count`` have."""
    end = time.monotonic() + seconds
    while len(files := list(folder.glob("*.json"))) < count:
        assert time.monotonic() < end, "the workers did not come"
        time.sleep(0.02)
    return {int(path.stem): json.loads(path.read_text()) for path in files}


def ends_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def beside(monkeypatch, tmp_path) -> Iterator[Callable[..., AbstractContextManager]]:
    """``beside(code, count=2)``: workers that run Python code, in which ``folder`` is the test's."""
    monkeypatch.setattr(workers, "SERVER", "light_server")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parents[1])]))
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # which changes between a test and its set-up

    def start(code: str, *, count: int = 2, threads: int = 1) -> AbstractContextManager:
        return workers.workers_beside([code, str(tmp_path)], count=count, threads=threads)

    yield start
    workers.stop()


def test_each_sees_no_launch_its_threads_and_random_numbers_of_its_own(beside, tmp_path, monkeypatch):
    for name in DISTRIBUTED_VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("WITH_TORCH", "1")
    with beside(WHAT_IT_SEES, count=3, threads=2):
        pass
    seen = list(told(tmp_path, count=3).values())
    for one in seen:
        assert not set(DISTRIBUTED_VARIABLES) & set(one["environment"])
        assert one["environment"]["CUDA_VISIBLE_DEVICES"] == "3"
        assert one["environment"]["OMP_NUM_THREADS"] == one["environment"]["MKL_NUM_THREADS"] == "2"
        assert (one["threads"], one["product"]) == (2, 600)
    for name in ("numpy", "python"):
        assert len({one[name] for one in seen}) == 3
    assert len({one["server"] for one in seen}) == 1


def test_the_process_they_are_forked_from_serves_again_and_only_what_it_was_started_for(beside, tmp_path, monkeypatch):
    code = f"{TELL}\ntell(server=os.getppid(), variable=os.environ.get('MINE'))"
    monkeypatch.setenv("MINE", "1")
    workers.start_ahead([code, str(tmp_path)], threads=1)
    ahead = workers._server.process.pid
    for count in (1, 3):
        with beside(code, count=1):
            pass
        assert {one["server"] for one in told(tmp_path, count=min(count, 2)).values()} == {ahead}
    monkeypatch.setenv("MINE", "2")
    with beside(code, count=1):
        pass
    assert ends_within(ahead, 30)
    others = [one for one in told(tmp_path, count=3).values() if one["server"] != ahead]
    assert [one["variable"] for one in others] == ["2"]


def test_one_that_is_killed_leaves_its_claim_and_the_others_go_on(beside, tmp_path):
    def kill_the_holder() -> None:
        seen = told(tmp_path, count=2)
        holder = next(pid for pid, one in seen.items() if one["mine"])
        with claimed(tmp_path / "claim.lock") as mine:
            assert not mine
        os.kill(holder, signal.SIGKILL)
        other = next(pid for pid in seen if pid != holder)
        assert ends_within(holder, 30)
        assert not ends_within(other, 0.2)
        with claimed(tmp_path / "claim.lock") as mine:
            assert mine
        (tmp_path / "end").touch()

    failed = r"of 2 worker processes some failed \(exit status -9\)"
    with pytest.warns(UserWarning, match=failed), beside(CLAIM_AND_SLEEP):
        kill_the_holder()


def test_they_are_stopped_when_the_block_raises(beside, tmp_path):
    with pytest.raises(KeyError), beside(SLEEP):
        raise KeyError(*(seen := told(tmp_path, count=2)))
    assert all(ends_within(pid, 30) for pid in seen)
    assert workers._server is None


def test_they_end_when_the_process_they_were_forked_from_is_killed(beside, tmp_path):
    def kill_it() -> None:
        os.kill(workers._server.process.pid, signal.SIGKILL)
        raise KeyError(*seen)

    with pytest.raises(KeyError), beside(SLEEP):
        (seen := told(tmp_path, count=2)) and kill_it()
    assert all(ends_within(pid, 30) for pid in seen)


def test_without_a_process_to_fork_from_the_work_is_done_here(beside, monkeypatch):
    monkeypatch.setenv("FAILS_TO_IMPORT", "1")
    with pytest.warns(UserWarning, match="ended before they did"), beside(SLEEP):
        pass


def test_it_ends_with_its_parent_while_it_imports_too(beside, monkeypatch):
    monkeypatch.setenv("IMPORTS_FOR_EVER", "1")
    workers.start_ahead(["", ""], threads=1)
    process = workers._server.process
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.stdin.close()
    assert process.wait(timeout=60) == 1


# A script as a user may write it: nothing of it stands under `if __name__ == "__main__"`.
PARENT = f"""
import sys
open(sys.argv[1] + "/begun", "a").write("x")
from hf_privacy.cli import workers
workers.SERVER = "light_server"
with workers.workers_beside([{SLEEP!r}, sys.argv[1]], count=2, threads=1):
    pass
"""


@pytest.mark.parametrize(("what", "status"), [("kill", -9), ("terminate", -15), ("interrupt", -2)])
def test_a_parent_that_is_ended_leaves_nothing_running(what, status, beside, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], stderr=subprocess.PIPE, text=True, start_new_session=True,
        # Whoever started these tests in the background ignores interrupts, and so would all that is started by them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    seen = told(tmp_path, count=2)
    if what == "interrupt":
        os.killpg(parent.pid, signal.SIGINT)  # as the terminal does
    else:
        getattr(parent, what)()
    assert parent.wait(timeout=60) == status
    for pid in (*seen, *{one["server"] for one in seen.values()}):
        assert ends_within(pid, 30)
    assert parent.stderr.read().count("Traceback") == (1 if what == "interrupt" else 0)
    assert (tmp_path / "begun").read_text() == "x"  # no worker ran the script


def test_where_none_may_fork_each_is_started_anew(monkeypatch):
    monkeypatch.setattr(workers, "FORKS", False)
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))
    workers.start_ahead(["metrics", "list"], threads=1)
    assert workers._server is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with workers.workers_beside(["metrics", "list"], count=1, threads=1):
            pass
    with (
        pytest.warns(UserWarning, match=r"of 1 worker processes some failed \(exit status 2\)"),
        workers.workers_beside(["metrics", "push"], count=1, threads=1),
    ):
        pass


def test_the_server_imports_what_a_worker_does_and_hands_on_no_thread_and_no_gpu(trained):
    done = subprocess.run(
        [sys.executable, str(HERE / "forked_worker.py"), str(trained / "private" / "recipe.yaml")],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parents[1],
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["threads"] == 1  # of Python's; those of OpenBLAS and jemalloc know of forks
    assert facts["asked"] == []
    packages = {name.partition(".")[0] for name in facts["imported"]}
    assert not packages & {"hf_privacy", "torch", "transformers", "datasets", "accelerate", "peft", "scipy", "sklearn"}
