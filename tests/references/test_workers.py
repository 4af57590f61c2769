"""Workers beside the audit: started clean, waited for, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hf_privacy.launch import DISTRIBUTED_VARIABLES
from hf_privacy.references.workers import single_process_environment, worker_processes

SHOW_ENVIRONMENT = """
import json, os, sys
open(sys.argv[1] + str(os.getpid()), "w").write(json.dumps(dict(os.environ)))
"""
# The number goes out in one write: two workers share the pipe, and print writes its line and the line's end apart.
SLEEP_WITH_PARENT = """
import os, time
from hf_privacy.cli.parent import stop_with_parent
stop_with_parent()
os.write(1, b"%d\\n" % os.getpid())
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not is_running(pid):
            return True
        time.sleep(0.02)
    return False


def test_workers_see_no_distributed_launch_their_share_of_threads_and_the_parents_gpu(tmp_path, monkeypatch):
    for name in DISTRIBUTED_VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    command = [sys.executable, "-c", SHOW_ENVIRONMENT, str(tmp_path) + os.sep]
    with worker_processes(command, count=3, threads=5) as processes:
        pass
    seen = [json.loads((tmp_path / str(process.pid)).read_text()) for process in processes]
    for environment in seen:
        assert environment["CUDA_VISIBLE_DEVICES"] == "3"
        assert environment["OMP_NUM_THREADS"] == "5"
        assert not set(DISTRIBUTED_VARIABLES) & set(environment)


def test_the_rest_of_the_environment_is_kept():
    assert single_process_environment({"RANK": "1", "HF_HOME": "x"}) == {"HF_HOME": "x"}


def test_the_block_waits_for_its_workers():
    with worker_processes([sys.executable, "-c", "import time; time.sleep(0.3)"], count=2, threads=1) as processes:
        pass
    assert [process.poll() for process in processes] == [0, 0]


def test_workers_are_stopped_when_the_block_raises():
    started = time.monotonic()
    with (
        pytest.raises(KeyError),
        worker_processes([sys.executable, "-c", "import time; time.sleep(60)"], count=2, threads=1) as processes,
    ):
        raise KeyError
    assert time.monotonic() - started < 30
    assert all(process.poll() is not None for process in processes)


def test_a_worker_that_dies_does_not_take_the_audit_with_it():
    with worker_processes([sys.executable, "-c", "raise SystemExit(3)"], count=1, threads=1) as processes:
        pass
    assert processes[0].returncode == 3


def test_a_worker_ends_by_itself_when_its_parent_is_killed():
    command = [sys.executable, "-c", SLEEP_WITH_PARENT]
    parent_code = (
        "import subprocess, sys, time\n"
        "for _ in range(2): subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code, *command], stdout=subprocess.PIPE, text=True)
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(is_running(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all(ends_within(pid, 10) for pid in pids)


def test_a_worker_lives_on_while_its_parent_does():
    command = [sys.executable, "-c", SLEEP_WITH_PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        pid = int(worker.stdout.readline())
        time.sleep(0.3)
        assert is_running(pid)
        worker.stdin.close()
        assert ends_within(pid, 10)
