"""How a command shares the machine: with processes beside it, or with the ranks of a launch; and its memory."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from hf_privacy.launch import (
    DISTRIBUTED_VARIABLES,
    available_cores,
    launched_local_rank,
    launched_processes,
    launched_rank,
)


def share_of_cores(workers: int | None, *, most: int) -> tuple[int, int]:
    """Number of processes in all, this one included, and the threads of each, which are set for this one.

    On CPU a process a core and on a GPU one, unless ``workers`` says otherwise; never more than ``most``. Threads are
    what is left of the cores, but no more than ``OMP_NUM_THREADS`` where that is set: other work may have the rest.
    """
    import torch

    keep_freed_memory()
    count, threads = _share(workers, most=most, has_gpu=torch.cuda.is_available())
    torch.set_num_threads(threads)
    return count, threads


def expected_share(workers: int | None, *, most: int) -> tuple[int, int]:
    """What `share_of_cores` will say, before torch is imported and without setting any; one process where in doubt."""
    devices = ("nvidia[0-9]*", "kfd", "dxg", "accel*")  # of CUDA, ROCm, CUDA under Windows, other accelerators
    return _share(workers, most=most, has_gpu=any(next(Path("/dev").glob(device), None) for device in devices))


def _share(workers: int | None, *, most: int, has_gpu: bool) -> tuple[int, int]:
    cores = available_cores()
    count = min(workers or (1 if has_gpu else cores), most)
    threads = max(1, cores // count)
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        threads = min(threads, int(wanted))
    return count, threads


# Of glibc's malloc.h. Larger blocks than 32 MiB stay apart: it accepts no higher threshold.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let malloc keep what is freed: a training step frees its activations and asks for as much at the next.

    Given back to the system after each step they are page faults at the next, an eighth of a small ResNet's step. The
    memory at the peak is the same. Nothing where the C library is not glibc.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, 32 << 20)
            mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def leave_distributed() -> tuple[bool, int]:
    """Under a launcher each process trains models alone, on its own device: whether there is one, and the rank."""
    launched, rank, local_rank = launched_processes() > 1, launched_rank(), max(launched_local_rank(), 0)
    if not launched:
        return False, 0
    for name in DISTRIBUTED_VARIABLES:
        os.environ.pop(name, None)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else None
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[local_rank % len(devices)] if devices else str(local_rank)
    return True, rank
