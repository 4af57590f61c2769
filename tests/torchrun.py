"""Two real processes under torchrun: `on_two_processes` starts a script in them; run as a script, this file is each.

Usage: torchrun --nproc_per_node 2 torchrun.py SCRIPT [ARGUMENT ...]
"""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
from pathlib import Path

from hf_privacy.launch import leave_process_group

ROOT = Path(__file__).resolve().parents[1]

# Seconds: processes that wait for each other say where, and end, well before their launcher is given up.
PROCESS_LIMIT, LAUNCHER_LIMIT = 180, 240


def on_two_processes(script: Path, *arguments: object, **variables: str) -> None:
    """Run a script in two processes, with these environment variables set; it may import what lies beside it."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(script.parent)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1", "PYTHONPATH": path, **variables}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", __file__]
    command = [*launcher, str(script), *map(str, arguments)]
    launched = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, said = launched.communicate(timeout=LAUNCHER_LIMIT)
    except subprocess.TimeoutExpired:
        launched.send_signal(signal.SIGABRT)  # faulthandler says where it was
        _, said = launched.communicate()
    assert launched.returncode == 0, said[-10000:]


if __name__ == "__main__":
    # The first to reach the limit ends; the launcher then sends the other this signal. Both say where they were.
    faulthandler.dump_traceback_later(PROCESS_LIMIT, exit=True)
    faulthandler.register(signal.SIGTERM, chain=True)
    sys.argv = sys.argv[1:]
    script = Path(sys.argv[0])
    sys.path[0] = str(script.parent)
    names = {"__name__": "__main__", "__file__": str(script)}
    exec(compile(script.read_text(), script, "exec"), names)
    names.clear()  # a trainer among them holds the process group
    leave_process_group()
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in threads if "gloo" in name], threads
