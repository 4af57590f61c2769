"""Worker processes that train references beside this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence

from hf_privacy.launch import single_process_environment


@contextlib.contextmanager
def worker_processes(
    command: Sequence[str], *, count: int, threads: int, stdout: int | None = None
) -> Iterator[list[subprocess.Popen]]:
    """Run ``command`` in ``count`` processes while the block runs, and wait for them at its end.

    Each gets ``threads`` threads, this process's environment without that of a distributed launch, and a pipe on its
    standard input whose closing tells it that this process is gone (`hf_privacy.cli.parent`). When the block raises,
    they are stopped. ``stdout`` is as `subprocess.Popen` takes it.
    """
    processes = []
    for _ in range(count):
        environment = single_process_environment(os.environ)
        environment["OMP_NUM_THREADS"] = environment["MKL_NUM_THREADS"] = str(threads)
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, env=environment))
    try:
        yield processes
        for process in processes:
            process.wait()
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
