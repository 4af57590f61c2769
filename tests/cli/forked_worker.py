"""Runs a worker's command as `hf_privacy.cli.worker_server` forks it, and says what the fork took over and lacked.

Prints JSON: the threads there were before it, whether the GPU was asked for, and what the worker imported itself.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from hf_privacy.cli import worker_server
from hf_privacy.cli.audit import _work
from hf_privacy.recipe.config import Recipe


def main() -> None:
    """Import, look, work, look again."""
    import torch

    asked = []
    for name in ("is_available", "device_count", "init", "_lazy_init"):
        ask = getattr(torch.cuda, name)
        setattr(torch.cuda, name, lambda *args, ask=ask, name=name: (asked.append(name), ask(*args))[1])
    worker_server.import_what_workers_need()
    tasks = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    facts = {"threads": threading.active_count(), "tasks": tasks, "asked": list(asked)}
    before = set(sys.modules)
    _work(Recipe.load(sys.argv[1]))
    print(json.dumps({**facts, "imported": sorted(set(sys.modules) - before)}))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "2"
    main()
