"""Calibration: do intervals cover what they say, and does an audit of a model that leaks nothing say nothing?

One part a file, each with ``measure()``, which gives plain values, and ``tables_in_markdown(result)``:

- `tpr.py`: the interval of the TPR at an FPR, and the TPR of an attack that knows nothing;
- `auc.py`: the interval of the AUC, up to 0.9999;
- `no_leakage.py`: every attack without leakage, with a population and without, RMIA at several γ;
- `headline.py`: how often the headline claims leakage where there is none, for the best of all attacks.

Run: python recipes/benchmarks/calibration/run.py
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

from hf_privacy.auditing import versions

HERE = Path(__file__).parent
PARTS = ("tpr", "auc", "no_leakage", "headline")


def main() -> None:
    """Measure the parts, write the result and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="the others keep their result")
    options = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    file = HERE / "result.json"
    result = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for name in options.parts:
        part, started = importlib.import_module(name), time.perf_counter()
        found = part.measure()
        result[name] = {
            "command": f"python recipes/benchmarks/calibration/run.py --parts {name}",
            "commit": commit.stdout.strip(),
            "machine": platform.machine(),
            "versions": versions(),
            "seconds": round(time.perf_counter() - started),
            "result": found,
        }
        ordered = {part: result[part] for part in PARTS if part in result}
        file.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
        print(part.tables_in_markdown(found), "\n", sep="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
