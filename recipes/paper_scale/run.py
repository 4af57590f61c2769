"""The papers' own experiments on one GPU, in stages, for as many minutes as there are; run it again to go on.

    python recipes/paper_scale/run.py --minutes 9 --out results --data path/to/folder

Every stage of stages.yaml is tried for ten seconds first. One of which not even a single training would end in the
time left is skipped, and says so; of one that is begun and not finished, trained models, finished rows and their table
stay. Models lie in --work, and nothing of them is published; into --out go result.md and result.json, which hold
aggregates alone. With --rehearse each stage is a hundredth of itself, on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from plan import STAGES, Stage, stage_of

from hf_privacy.atomic_file import write_atomically
from hf_privacy.auditing import versions
from hf_privacy.reports import refuse_leaks

HERE = Path(__file__).parent
RESERVE = 10.0  # seconds for the files at the end


def main() -> int:
    """Run the stages in turn until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="how long this call may take (default: 9)")
    parser.add_argument("--out", type=Path, default=Path("runs/paper_scale/results"), help="folder of the results")
    parser.add_argument("--work", type=Path, default=Path("runs/paper_scale/work"), help="folder of models and logs")
    parser.add_argument(
        "--data", help="a folder with local copies (cifar10/train.parquet, …), in place of the Hub's rows"
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="only these")
    parser.add_argument("--rehearse", action="store_true", help="each stage at a hundredth of its size")
    options = parser.parse_args()
    ends = time.time() + 60 * options.minutes - RESERVE
    found: dict[str, Any] = read(options.out / "result.json").get("stages", {})
    for name in options.stages:
        stage = stage_of(name, rehearse=options.rehearse, data=options.data)
        spent = found.get(name, {}).get("seconds", 0.0)
        found[name] = run_stage(stage, options.work.resolve() / name, ends, spent=spent) | {"claim": stage.claim}
        print(f"{name}: {found[name]['state']}, {found[name]['seconds']:.0f} s", flush=True)
        write_results(options.out, found, rehearsed=options.rehearse)
    print((options.out / "result.md").read_text(encoding="utf-8"))
    return 1 if any(part["state"] == "failed" for part in found.values()) else 0


def run_stage(stage: Stage, folder: Path, ends: float, *, spent: float = 0.0) -> dict[str, Any]:
    """One stage in a process of its own until it is done or the time is up, and what it has found so far.

    Its seconds are those of earlier calls, ``spent``, and of this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started, before = time.time(), read(folder / "found.json")
    if before.get("state") == "done":
        return {**before, "seconds": spent}
    if started > ends:
        return {**before, "state": "not begun: no time left", "seconds": spent}
    resolved = folder / "stage.yaml"
    resolved.write_text(yaml.safe_dump(stage.resolved(folder), sort_keys=False), encoding="utf-8")
    command = [sys.executable, str(HERE / "stage.py"), "--stage", str(resolved), "--ends", str(ends)]
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            code = process.wait(timeout=max(1.0, ends - started))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            stop(process)
    found = read(folder / "found.json")
    if code is None:
        found["state"] = "cut off: run again to go on"
    elif code:
        found["state"] = "failed"
        print((folder / "log.txt").read_text(encoding="utf-8", errors="replace")[-3000:], file=sys.stderr)
    return {**found, "seconds": spent + time.time() - started}


def stop(process: subprocess.Popen) -> None:
    """End a stage and the processes that it started; what they were at goes on from its last checkpoint."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, signal_number)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                continue


def write_results(out: Path, found: dict[str, Any], *, rehearsed: bool) -> None:
    """What all stages have found, as JSON and as one page; no machine's paths."""
    result = {"rehearsed": rehearsed, "device": device(), "commit": commit(), "versions": versions(), "stages": found}
    refuse_leaks(result, name="result")
    lines = [f"On {result['device']}, commit {result['commit']}{', a rehearsal' if rehearsed else ''}.", ""]
    lines += ["| Stage | State | Seconds | A training, by its trial | The stage, by that |", "|---|---|---|---|---|"]
    for name, part in found.items():
        trial = part.get("trial")
        estimate = ["–", "–"] if trial is None else [f"{trial[key]:.0f} s" for key in ("training", "stage")]
        lines.append(f"| {name} | {part['state']} | {part['seconds']:.0f} | {' | '.join(estimate)} |")
    for name, part in found.items():
        lines += ["", f"## {name}", "", f"Held against: {part['claim'] or '–'}", "", part.get("table", "Nothing yet.")]
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "result.json", (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    write_atomically(out / "result.md", ("\n".join(lines).strip() + "\n").encode())


def device() -> str:
    """What it ran on, in words."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"


def commit() -> str:
    """Of the code that ran; "unknown" outside a repository."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def read(path: Path) -> dict[str, Any]:
    """A JSON file; empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


if __name__ == "__main__":
    raise SystemExit(main())
