"""What sharing references among machines costs: processes, a folder, an object store, Ray.

Trains the references of the location30 recipe four ways in one run, in turn, several rounds; each time in fresh
processes of one thread, their start, the loading of the data and the way home of the results included:

- one: `hf-privacy references run` in one process, into a folder;
- folder: two processes, each with half of the numbers, into a folder;
- object_store: the same into an object store's emulator on this machine (moto; left out where it is not installed);
- ray: `audit --engine ray`'s engine with two workers, the cluster's start included (left out without Ray).

With two cores an ideal sharing gives 0.5 of "one".

Run: python recipes/benchmarks/cluster/run.py --data path/to/location30.parquet
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from hf_privacy.auditing import versions
from hf_privacy.recipe import Recipe
from hf_privacy.references import RayEngine, SharedStore, WrittenPlan, collect_shared, plan_of_recipe
from hf_privacy.references.written_plan import opened_run

HERE = Path(__file__).parent
RECIPE = HERE.parents[1] / "tabular_classification" / "location30.yaml"


def by_ranks(plan: Path, store: str, home: Path, *, world: int) -> float:
    """Seconds for ``world`` processes that share the numbers, and for bringing home what they made."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "hf_privacy.cli", "references", "run", "--plan", str(plan), "--store", store]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, "--rank", str(rank), "--world", str(world)], env=environment)
        for rank in range(world)
    ]
    if any(process.wait() for process in processes):
        raise SystemExit("a process failed")
    missing = collect_shared(SharedStore(WrittenPlan.load(str(plan)), store), home)
    assert not missing
    return time.perf_counter() - started


def by_ray(recipe: Recipe, home: Path) -> float:
    """Seconds for two workers of a cluster that is started for it."""
    import ray

    os.environ["OMP_NUM_THREADS"] = "1"
    run = opened_run(recipe, home)
    started = time.perf_counter()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        RayEngine(recipe)(run)
    finally:
        ray.shutdown()
    return time.perf_counter() - started


@contextlib.contextmanager
def object_store() -> Iterator[str]:
    """The URL of a bucket in an emulator."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
    os.environ |= {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1"}
    boto3.client("s3").create_bucket(Bucket="runs")
    try:
        yield "s3://runs"
    finally:
        server.stop()


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="location30 as parquet: features, label")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--references", type=int, default=16)
    parser.add_argument("--epochs", type=int, help="fewer than the recipe's, to try it out")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    keys = {"data.name_or_path": options.data, "audit.references": options.references, "audit.targets": 1}
    keys |= {"audit.budgets": [], "training.use_cpu": True}
    if options.epochs is not None:
        keys["training.num_train_epochs"] = options.epochs
    recipe = Recipe.load(RECIPE).override(keys)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plan = folder / "plan.json"
        plan_of_recipe(recipe).save(str(plan))
        ways: dict[str, Callable[[Path], float]] = {
            "one": lambda home: by_ranks(plan, str(home / "store"), home / "local", world=1),
            "folder": lambda home: by_ranks(plan, str(home / "store"), home / "local", world=2),
        }
        if find_spec("moto") and find_spec("s3fs"):
            bucket = stack.enter_context(object_store())
            ways["object_store"] = lambda home: by_ranks(plan, f"{bucket}/{home.name}", home / "local", world=2)
        if find_spec("ray"):
            on_ray = recipe.override({"audit.engine.name": "ray", "audit.engine.gpus": 0})
            ways["ray"] = lambda home: by_ray(on_ray, home)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(options.rounds):
            for name, way in ways.items():
                home = folder / f"{name}_{number}"
                home.mkdir()
                seconds[name].append(way(home))
            print(f"round {number + 1}:", {name: round(values[-1], 1) for name, values in seconds.items()}, flush=True)
    ratios = {
        name: statistics.median(value / one for value, one in zip(values, seconds["one"], strict=True))
        for name, values in seconds.items()
    }
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result = {
        "references": options.references,
        "rounds": options.rounds,
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "median_ratio_to_one": {name: round(value, 3) for name, value in ratios.items()},
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["median_ratio_to_one"]))


if __name__ == "__main__":
    main()
