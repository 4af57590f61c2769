"""Two real processes under torchrun: `on_two_processes` starts a script in them; run as a script, this file is each.

Usage: torchrun --nproc_per_node 2 torchrun.py SCRIPT [ARGUMENT ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hf_privacy.launch import leave_process_group

ROOT = Path(__file__).resolve().parents[1]


def on_two_processes(script: Path, *arguments: object, **variables: str) -> None:
    """Run a script in two processes, with these environment variables set; it may import what lies beside it."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(script.parent)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **variables}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", __file__]
    command = [*launcher, str(script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    script = Path(sys.argv[0])
    sys.path[0] = str(script.parent)
    names = {"__name__": "__main__", "__file__": str(script)}
    exec(compile(script.read_text(), script, "exec"), names)
    names.clear()  # a trainer among them holds the process group
    leave_process_group()
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in threads if "gloo" in name], threads
