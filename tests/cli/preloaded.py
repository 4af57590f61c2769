"""A process that has imported everything once and forks one child for each command.

Importing torch and transformers takes seconds; a test that kills six audits would spend its time on that. A forked
child is a process of its own: it is killed, waited for and leaves what it leaves as any other.

Reads one JSON object a line: {"arguments", "environment", "folder"} starts a command in the folder, with its output in
stdout.txt and stderr.txt there, or in one file that "output" names, and is answered with its process id; with "script"
it is that file that is run, not ours. {"wait": pid} is answered with its exit status, negative for a signal.
"""

from __future__ import annotations

import json
import os
import runpy
import sys


def run_child(request: dict) -> None:
    """Run the command line in this forked process, and never return."""
    status = 1
    try:
        os.environ.update(request["environment"])
        for number, name, mode in ((0, os.devnull, os.O_RDONLY), (1, "stdout.txt", None), (2, "stderr.txt", None)):
            path = name if mode is not None else request.get("output") or os.path.join(request["folder"], name)
            flags = mode if mode is not None else os.O_WRONLY | os.O_CREAT | os.O_APPEND
            os.dup2(os.open(path, flags, 0o644), number)
        os.chdir(request["folder"])
        if "script" in request:
            runpy.run_path(request["script"], run_name="__main__")
            status = 0
        else:
            from hf_privacy.cli import main

            status = main(request["arguments"])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Import, say so, and serve until the input closes."""
    import torch

    import hf_privacy.auditing
    import hf_privacy.cli.train
    import hf_privacy.reports  # noqa: F401

    torch.set_num_threads(1)
    os.sched_getaffinity = lambda pid: {0}  # one thread a process, whatever the machine, and workers when asked for
    print("ready", flush=True)
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            run_child(request)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
