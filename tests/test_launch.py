"""What the launchers say, read alike for all of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hf_privacy.launch import DISTRIBUTED_VARIABLES, launched_local_rank, launched_processes, launched_rank


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in DISTRIBUTED_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_without_a_launcher_there_is_one_process():
    assert (launched_processes(), launched_rank(), launched_local_rank()) == (1, 0, -1)


@pytest.mark.parametrize(
    ("count", "rank", "local"),
    [
        ("WORLD_SIZE", "RANK", "LOCAL_RANK"),
        ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
        ("PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID"),
        ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK"),
    ],
)
def test_every_launchers_names_are_read(monkeypatch, count, rank, local):
    for name, value in ((count, "4"), (rank, "3"), (local, "1")):
        monkeypatch.setenv(name, value)
    assert (launched_processes(), launched_rank(), launched_local_rank()) == (4, 3, 1)


@pytest.mark.parametrize("value", ["", "two", "-1", "0"])
def test_a_number_that_is_none_is_no_launch(monkeypatch, value):
    monkeypatch.setenv("WORLD_SIZE", value)
    assert launched_processes() == 1


LEAVES_WHILE_TENSORS_ARE_OUT = """
import torch
from hf_privacy.launch import leave_process_group

torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
torch.distributed.group.WORLD.allreduce_coalesced([torch.ones(1) for _ in range(10_000)])
leave_process_group()
"""


def test_a_group_is_left_while_its_threads_still_hold_tensors():
    """They need Python's lock to give them back; torch 2.6 kept it while it waited for them, for ever."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVES_WHILE_TENSORS_ARE_OUT], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-4000:]
