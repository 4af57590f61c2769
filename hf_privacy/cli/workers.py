"""Workers beside a command: forked from a process that has imported everything, or started anew without fork."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence

from hf_privacy.cli.output import workers_stdout
from hf_privacy.launch import single_process_environment
from hf_privacy.progress import is_silent
from hf_privacy.references import worker_processes

# Elsewhere system libraries start threads at import, which no fork survives; Windows has no fork.
FORKS = sys.platform == "linux"
SERVER = "hf_privacy.cli.worker_server"


@contextlib.contextmanager
def workers_beside(arguments: Sequence[str], *, count: int, threads: int) -> Iterator[None]:
    """Run ``hf-privacy <arguments>`` in ``count`` processes while the block runs, and wait for them at its end.

    Each has ``threads`` threads, this process's environment without that of a distributed launch, and ends when this
    process does. When the block raises, they are stopped. One that fails is warned of: what it was at is left to
    the others, or to the next run.

    Parameters
    ----------
    arguments : sequence of str
        Such as ``["audit", "--config", "recipe.yaml", "--worker"]``; the command calls
        `hf_privacy.cli.parent.stop_with_parent`.
    count, threads : int
    """
    if not FORKS:
        command = [sys.executable, "-m", "hf_privacy.cli", *_as_loud(arguments)]
        with worker_processes(command, count=count, threads=threads, stdout=workers_stdout()) as processes:
            yield
        statuses = [process.returncode for process in processes]
    else:
        start_ahead(arguments, threads=threads)
        server = _server
        assert server is not None
        server.ask(count)
        try:
            yield
            statuses = server.answer()
        except BaseException:
            stop()
            raise
    if statuses is None:
        warnings.warn("the process that starts the workers ended before they did: this one did the work", stacklevel=3)
    elif any(statuses):
        failed = ", ".join(str(status) for status in statuses if status)
        warnings.warn(
            f"of {count} worker processes some failed (exit status {failed}): the others did their part", stacklevel=3
        )


def start_ahead(arguments: Sequence[str], *, threads: int) -> None:
    """Let the process that workers are forked from import while this one does other things; nothing without fork.

    `workers_beside` with the same arguments and threads finds it. One such process is kept at a time.
    """
    global _server
    if not FORKS:
        return
    environment = single_process_environment(os.environ)
    environment["OMP_NUM_THREADS"] = environment["MKL_NUM_THREADS"] = str(threads)
    wanted = (_as_loud(arguments), environment, os.getcwd())
    if _server is not None and _server.wanted == wanted and _server.process.poll() is None:
        return
    stop()
    _server = _Server(wanted)


def _as_loud(arguments: Sequence[str]) -> list[str]:
    """A worker's command, quiet where this process is."""
    return [*arguments, "--quiet"] if is_silent() else list(arguments)


def stop() -> None:
    """End the process that workers are forked from, and its workers; nothing where there is none."""
    global _server
    if _server is not None:
        server, _server = _server, None
        server.stop()


class _Server:
    """The starting process's end of `hf_privacy.cli.worker_server`."""

    def __init__(self, wanted: tuple[list[str], dict[str, str], str]) -> None:
        self.wanted = wanted
        arguments, environment, folder = wanted
        answers, written = os.pipe()
        command = [sys.executable, "-m", SERVER, str(written), *arguments]
        # Blocked until it ignores it: Ctrl-C while Python starts would print a traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=workers_stdout(),
                env=environment,
                cwd=folder,
                pass_fds=(written,),
                bufsize=0,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(written)
        self.answers = os.fdopen(answers)

    def ask(self, count: int) -> None:
        """Have ``count`` workers forked, as soon as everything is imported; this does not wait for it."""
        with contextlib.suppress(BrokenPipeError):  # the answer says so
            self.process.stdin.write(f"{count}\n".encode())

    def answer(self) -> list[int] | None:
        """Wait for the workers: their exit statuses, or None if the process they are forked from is gone."""
        line = self.answers.readline()
        return json.loads(line) if line else None

    def stop(self) -> None:
        """End it, its workers first."""
        self.process.terminate()
        self.process.stdin.close()  # where it was killed, its workers end by this
        self.process.wait()
        self.answers.close()


_server: _Server | None = None
atexit.register(stop)
