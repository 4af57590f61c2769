"""How a command shares the cores."""

from __future__ import annotations

import os

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
