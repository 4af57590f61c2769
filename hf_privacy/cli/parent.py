"""A worker ends with the process that started it. Light to import: a worker calls it before anything else."""

from __future__ import annotations

import os
import threading


def stop_with_parent() -> None:
    """End at once when the pipe on standard input closes, so that a killed audit leaves no process behind."""

    def watch() -> None:
        # Not sys.stdin: its lock, held by a thread that waits, breaks the interpreter's shutdown.
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
