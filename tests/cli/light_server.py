"""`hf_privacy.cli.worker_server` with little to import, whose workers run the Python code they are given."""

from __future__ import annotations

import os
import sys
import time

from hf_privacy.cli import worker_server
from hf_privacy.cli.parent import stop_with_parent


def import_little() -> None:
    """NumPy and torch, if the environment has WITH_TORCH; it fails, if it has FAILS_TO_IMPORT."""
    if "FAILS_TO_IMPORT" in os.environ:
        sys.exit(5)
    if "IMPORTS_FOR_EVER" in os.environ:
        time.sleep(120)
    if "WITH_TORCH" in os.environ:
        import numpy as np  # noqa: F401
        import torch  # noqa: F401
    else:
        worker_server.set_libraries_up = lambda: True


def run_code(arguments: list[str]) -> int:
    """In place of `hf_privacy.cli.main`."""
    stop_with_parent()
    try:
        exec(arguments[0], {"folder": arguments[1]})
    except KeyboardInterrupt:
        return 130
    return 0


worker_server.import_what_workers_need = import_little
worker_server.command_line = run_code

if __name__ == "__main__":
    sys.exit(worker_server.main())
