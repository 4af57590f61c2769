"""What workers are forked from: a process that has imported everything a worker needs.

``python -m hf_privacy.cli.worker_server ANSWERS <a worker's command>`` imports, then reads from its standard input how
many workers to fork, a line each time, and writes their exit statuses to the file descriptor ANSWERS as a JSON list
when all have ended. The pipe on standard input is the workers' too: its closing tells them, and this process, that
whoever started them is gone (`hf_privacy.cli.parent`). `hf_privacy.cli.workers` is the other end.

A fork takes over one thread, and neither a thread pool nor a CUDA context: nothing is computed here.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator

from hf_privacy.cli import main as command_line
from hf_privacy.cli import quiet_without_terminal
from hf_privacy.cli.processes import keep_freed_memory

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Import, then fork as many workers as each line asks for, until the input closes."""
    # Ctrl-C reaches the whole group: workers end by it, and this process when they have.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers, arguments = int(sys.argv[1]), sys.argv[2:]
    quiet_without_terminal()
    with _ending_with_parent():
        import_what_workers_need()
    gc.collect()
    gc.freeze()  # a collection in a worker would copy every page of it
    while line := _line():
        workers: set[int] = set()
        signal.signal(signal.SIGTERM, lambda *_, workers=workers: _terminate(workers))
        for _ in range(int(line)):
            # A signal between the fork and the worker's own answer to it would be lost.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            worker = os.fork()
            if worker == 0:
                os.close(answers)
                return _work(arguments)
            workers.add(worker)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        statuses = _statuses(workers)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            os.write(answers, (json.dumps(statuses) + "\n").encode())
        except BrokenPipeError:
            break
    return 0


def import_what_workers_need() -> None:
    """What a worker imports whatever its recipe, and what takes long of the rest: what is left it imports itself."""
    import sklearn.datasets  # noqa: F401
    from transformers import TimmWrapperForImageClassification, TimmWrapperImageProcessor  # noqa: F401

    import hf_privacy.auditing.target
    import hf_privacy.cli.audit
    import hf_privacy.cli.compare
    import hf_privacy.comparison.run
    import hf_privacy.recipe.build
    import hf_privacy.references.audited  # noqa: F401


@contextlib.contextmanager
def _ending_with_parent() -> Iterator[None]:
    """End at once if standard input closes while the block runs; no thread is left behind it, or none could fork."""
    over, ended = os.pipe()
    closings = select.poll()
    closings.register(0, 0)  # the closing alone is waited for, not the lines
    closings.register(over, 0)

    def watch() -> None:
        if any(file == 0 for file, _ in closings.poll()):
            os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    os.close(ended)
    thread.join()
    os.close(over)


def _line() -> bytes:
    """A line of standard input; nothing when it closed. Byte by byte: what follows is for the workers to see."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def _work(arguments: list[str]) -> int:
    """A worker's command, in the process that was just forked."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if not set_libraries_up():
        os.execv(sys.executable, [sys.executable, "-m", "hf_privacy.cli", *arguments])
    return command_line(arguments)


def set_libraries_up() -> bool:
    """Make of what was imported before the fork what a process of its own would have; False if that cannot be."""
    import numpy as np
    import torch

    np.random.seed()  # or each worker would draw the same; Python's own generator does so by itself
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    keep_freed_memory()
    # Where something imported has asked for the GPU, no child of that process can use it.
    return not torch.cuda._is_in_bad_fork()


def _statuses(workers: set[int]) -> list[int]:
    """Wait for all; negative where a signal ended one."""
    statuses = []
    while workers:
        worker, status = os.waitpid(-1, 0)
        if worker in workers:
            workers.discard(worker)
            statuses.append(os.waitstatus_to_exitcode(status))
    return statuses


def _terminate(workers: set[int]) -> None:
    for worker in list(workers):
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
