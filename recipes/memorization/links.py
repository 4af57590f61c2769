"""Memorization, curvature and differential privacy, tied together: one command, one YAML.

    python recipes/memorization/links.py --config recipes/memorization/location30.yaml --data path/to/train.parquet

Two parts. With wrong labels planted at each share of ``label_noise``: reference models with their curvature, Feldman
and Zhang's memorization scores from them, one training run that is watched, and what its proxies know of the scores.
With DP-SGD at each ε of ``privacy``: the curvature of the members over the seeds, memorization from fewer references,
and the bound 1 − e^−ε.

Models and references are kept in ``output_dir``: run the command again after a kill, and it goes on where it was.
Into the folder of the config's name beside it go result.json, tables.md and the plots: aggregates only.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from noise import measure_noise
from page import write_page
from plan import Plan
from privacy import measure_privacy

from hf_privacy.atomic_file import write_atomically
from hf_privacy.auditing import versions
from hf_privacy.reports import refuse_leaks


def main() -> None:
    """Measure, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, type=Path, help="the YAML")
    parser.add_argument("--data", help="a local parquet file in place of the dataset")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="changes a value of the YAML")
    parser.add_argument("--output", type=Path, help="folder of the result, by default beside the config")
    parser.add_argument("--page-only", action="store_true", help="make tables and plots of the result that is there")
    arguments = parser.parse_args()
    output = arguments.output or arguments.config.with_suffix("")
    file = output / "result.json"
    if not arguments.page_only:
        plan = Plan.load(arguments.config, data=arguments.data, changes=arguments.set)
        output.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        result: dict[str, Any] = {"name": plan.name, "label_noise": [measure_noise(plan, s) for s in plan.label_noise]}
        result |= {"privacy": measure_privacy(plan), "versions": versions(), "seconds": time.perf_counter() - started}
        refuse_leaks(result, name="result")
        write_atomically(file, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    print(write_page(json.loads(file.read_text(encoding="utf-8")), output))


if __name__ == "__main__":
    main()
