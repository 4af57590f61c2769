"""What a launcher (torchrun, accelerate, mpirun) tells each process that it starts. Light to import."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence

_COUNT = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
_RANK = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK")
_LOCAL_RANK = ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK")

# What launchers set for distributed training: a process that trains models alone must not see these.
DISTRIBUTED_VARIABLES = (
    *_COUNT,
    *_RANK,
    *_LOCAL_RANK,
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_USE_AGENT_STORE",
    "ACCELERATE_USE_FSDP",
    "ACCELERATE_USE_DEEPSPEED",
)


def single_process_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` without the variables of a launch: what is started in it works alone."""
    return {name: value for name, value in environment.items() if name not in DISTRIBUTED_VARIABLES}


def available_cores() -> int:
    """How many cores this process may use, where the system says so; else how many there are.

    Examples
    --------
    >>> available_cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def launched_processes() -> int:
    """How many processes the launcher started; 1 without a launcher.

    Examples
    --------
    >>> launched_processes()
    1
    """
    return max(1, _number(_COUNT, default=1))


def launched_rank() -> int:
    """Number of this process among them, from 0."""
    return _number(_RANK, default=0)


def launched_local_rank() -> int:
    """Number of this process among those on its machine, from 0; -1 where no launcher says it."""
    return _number(_LOCAL_RANK, default=-1)


def leave_process_group() -> None:
    """End the communication between launched processes before the interpreter does; nothing where there is none.

    Gloo's threads hold the tensors of the last exchange for a moment after it; a thread that gives one back while the
    interpreter goes down takes the process with it ("terminate called without an active exception", exit -6), though
    all its work is done. They end with the group, and that lives as long as a model that DDP wrapped: call this when
    nothing holds one any more.

    Such a thread needs Python's lock to give a tensor back, and torch before 2.8 keeps that lock while a group that
    goes waits for its threads: each waits for the other, for ever. What is held here goes last, and without the lock.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return
    gc.collect()  # a trainer and its model hold each other
    group = distributed.group.WORLD
    held = [group._get_backend(device) for device in group._device_types]
    del group
    distributed.destroy_process_group()
    held.clear()


def _number(names: Sequence[str], *, default: int) -> int:
    for name in names:
        value = os.environ.get(name, "")
        if value.isdecimal():
            return int(value)
    return default
