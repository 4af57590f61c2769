"""How a command shares the cores, and keeps its memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from hf_privacy.cli.processes import share_of_cores


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("workers", "most", "expected"), [(None, 16, (8, 1)), (None, 2, (2, 4)), (1, 16, (1, 8)), (3, 16, (3, 2))]
)
def test_the_cores_are_shared_out_among_the_processes(eight_cores, workers, most, expected):
    assert share_of_cores(workers, most=most) == expected
    assert torch.get_num_threads() == expected[1]


@pytest.mark.parametrize(("asked", "threads"), [("1", 1), ("4", 4), ("64", 8), ("", 8), ("0", 8), ("all", 8)])
def test_no_more_threads_than_the_environment_asks_for(eight_cores, monkeypatch, asked, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert share_of_cores(1, most=16) == (1, threads)


# Three blocks of 16 MiB taken and given back, again and again: how many pages are asked of the system for them.
_FAULTS = """
import resource, sys
import numpy as np
from hf_privacy.cli.processes import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [np.ones(1 << 21) for _ in range(3)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="malloc's settings are glibc's")
def test_memory_that_is_freed_is_not_asked_for_again():
    counted = {
        way: int(
            subprocess.run([sys.executable, "-c", _FAULTS, way], capture_output=True, text=True, check=True).stdout
        )
        for way in ("kept", "given back")
    }
    assert counted["kept"] < counted["given back"] / 10
