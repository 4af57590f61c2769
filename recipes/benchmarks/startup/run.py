"""Starting up against the bare import: what passes before the first step, before a worker's first, and in the demo.

Several rounds in one run, in turn, each in processes of its own:

- bare: `from transformers import Trainer`, and nothing else;
- first: `hf-privacy train` on 10,000 pictures from its start to its first step, the encoded store empty;
- second: the same command again;
- worker: from the asking for one more worker to the moment it begins a reference, imports and data included: forked
  as an audit does, and started anew as without fork;
- demo: `hf-privacy demo`, whole;
- typo: `hf-privacy audit` with a key that is none.

Run: python recipes/benchmarks/startup/run.py
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from datasets import Dataset, Features, Image, Value
from PIL import Image as PillowImage

from hf_privacy.auditing import versions
from hf_privacy.cli import workers

HERE = Path(__file__).parent
TO_FIRST_STEP = """
import os, sys, time
from hf_privacy.cli import main
from hf_privacy.defenses import PrivacyTrainer

def stop(*arguments, **named):
    print(time.time())
    sys.stdout.flush()
    os._exit(0)

PrivacyTrainer.training_step = stop
sys.exit(main(["train", "--config", sys.argv[1]]))
"""


def pictures(path: Path, *, count: int) -> None:
    """Write ``count`` pictures of 32 × 32 with labels: smooth ones of random colours, no two alike."""
    generator = np.random.default_rng(0)
    rows = []
    for coarse in generator.integers(256, size=(count, 4, 4, 3), dtype=np.uint8):
        buffer = io.BytesIO()
        PillowImage.fromarray(coarse).resize((32, 32), PillowImage.Resampling.BICUBIC).save(buffer, format="PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    table = {"image": rows, "label": generator.integers(10, size=count).tolist()}
    Dataset.from_dict(table, features=Features({"image": Image(), "label": Value("int64")})).to_parquet(str(path))


def write_recipe(folder: Path, data: Path) -> Path:
    """A small ResNet on the pictures, which trains for one step."""
    recipe = {
        "task": "image-classification",
        "output_dir": str(folder / "run"),
        "model": {
            "name_or_path": "resnet",
            "from_scratch": True,
            "kwargs": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"},
        },
        "data": {"name_or_path": str(data), "input_column": "image", "label_column": "label"},
        "training": {"max_steps": 1, "per_device_train_batch_size": 64},
        "audit": {"references": 8, "workers": 2},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def wall(command: list[str], *, status: int = 0) -> float:
    """Seconds of a command that ends with ``status``."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != status:
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    return seconds


def to_first_step(recipe: Path) -> float:
    """Seconds from the start of `hf-privacy train` to its first step."""
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-c", TO_FIRST_STEP, str(recipe)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return float(done.stdout.split()[-1]) - started


def to_first_reference(recipe: Path, *, forked: bool) -> float:
    """Seconds from asking for one more worker to the claim of its first reference."""
    folder = recipe.parent / "run" / "private" / "references"
    for file in folder.glob("**/*"):
        if file.is_file():
            file.unlink()
    arguments = ["audit", "--config", str(recipe), "--worker"]
    forks, workers.FORKS = workers.FORKS, forked
    if forked:
        workers.start_ahead(arguments, threads=1)
        workers._server.ask(0)
        workers._server.answer()  # once it has imported everything
    started = time.perf_counter()
    try:
        with workers.workers_beside(arguments, count=1, threads=1):
            while not any(folder.glob("reference_*.lock")):
                time.sleep(0.001)
                if time.perf_counter() - started > 600:
                    raise SystemExit("the worker began no reference in ten minutes")
            return time.perf_counter() - started
    finally:
        workers.stop()
        workers.FORKS = forks


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    parser.add_argument("--gpu", action="store_true", help="there is no part for a GPU: what is measured comes before")
    options = parser.parse_args()
    if options.gpu:
        raise SystemExit("startup has no part for a GPU: all it measures passes before one is used")
    # No store that is there already, and the files that the first import compiles are there.
    subprocess.run([sys.executable, "-c", "from transformers import Trainer; import hf_privacy.cli.worker_server"])
    demo = Path(sys.modules["hf_privacy"].__file__).parent / "cli" / "demo.yaml"
    typo = ["-m", "hf_privacy.cli", "audit", "--config", str(demo), "--data.label_colum", "x"]
    names = ("bare", "first", "second", "worker", "worker_anew", "demo", "typo")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "pictures.parquet"
        pictures(data, count=options.images)
        for number in range(options.rounds):
            folder = Path(temporary) / f"round_{number}"
            folder.mkdir()
            os.environ["HF_HOME"] = str(folder / "home")
            recipe = write_recipe(folder, data)
            seconds["bare"].append(wall(["-c", "from transformers import Trainer"]))
            seconds["first"].append(to_first_step(recipe))
            seconds["second"].append(to_first_step(recipe))
            wall(["-m", "hf_privacy.cli", "train", "--config", str(recipe)])
            if workers.FORKS:
                seconds["worker"].append(to_first_reference(recipe, forked=True))
            seconds["worker_anew"].append(to_first_reference(recipe, forked=False))
            seconds["demo"].append(wall(["-m", "hf_privacy.cli", "demo", "--output-dir", str(folder / "demo")]))
            seconds["typo"].append(wall(typo, status=2))
            print(f"round {number + 1}:", {name: round(values[-1], 2) for name, values in seconds.items() if values})
    ratios = {
        name: statistics.median(value / bare for value, bare in zip(values, seconds["bare"], strict=True))
        for name, values in seconds.items()
        if values
    }
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result = {
        "images": options.images,
        "rounds": options.rounds,
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "median_ratio_to_bare": {name: round(value, 3) for name, value in ratios.items()},
        "median_seconds": {name: round(statistics.median(values), 2) for name, values in seconds.items() if values},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["median_ratio_to_bare"]))


if __name__ == "__main__":
    main()
