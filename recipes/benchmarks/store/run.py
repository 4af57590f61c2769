"""The encoded store: what does it cost to fill, what does a second run save, and how much memory do many images take?

Images are generated: JPEG files of 256 × 256 pixels in one Parquet file, made SIZE × SIZE by ViT's processor.
In one run, in turn, several rounds:

- bare: a loop in one thread that decodes each image once and keeps what the processor makes of it, as float32;
- first: `encode_images` into an empty store, then the fingerprint and the search for repeats, without another pass;
- second: the same once more, as the next run or a worker has it.

Every pixel of the three is compared, bit for bit. With ``--memory N`` also `hf-privacy train` and `audit` on N images,
in a process whose own memory (anonymous pages; mapped files aside) is watched.

Run: python recipes/benchmarks/store/run.py --memory 50000
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
MEMORY_LIMIT_GIB = 4
SIDE = 256  # pixels of a file's image
N_CLASSES = 10


def write_images(path: Path, n_images: int) -> None:
    """Smooth coloured noise, no image like another, as JPEG."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import ClassLabel, Features, Image
    from PIL import Image as PillowImage

    features = Features({"image": Image(), "label": ClassLabel(names=[str(number) for number in range(N_CLASSES)])})
    generator = np.random.default_rng(0)
    with pq.ParquetWriter(path, features.arrow_schema) as writer:
        for start in range(0, n_images, 1000):
            rows = []
            for _ in range(start, min(start + 1000, n_images)):
                small = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                buffer = io.BytesIO()
                PillowImage.fromarray(small).resize((SIDE, SIDE), PillowImage.Resampling.BICUBIC).save(buffer, "JPEG")
                rows.append({"bytes": buffer.getvalue(), "path": None})
            labels = generator.integers(0, N_CLASSES, len(rows)).tolist()
            writer.write_table(pa.table({"image": rows, "label": labels}, schema=features.arrow_schema))


def own_memory() -> float:
    """Anonymous memory of this process in GiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 2**20
    raise SystemExit("own memory is read from /proc/self/status, which this system has not")


def bare(rows, processor) -> np.ndarray:
    """Each image decoded once and processed, 32 at a time, in one thread."""
    pixels = None
    for start in range(0, len(rows), 32):
        images = [image.convert("RGB") for image in rows[start : start + 32]["image"]]
        values = processor(images, return_tensors="pt")["pixel_values"].numpy()
        if pixels is None:
            pixels = np.empty((len(rows), *values.shape[1:]), np.float32)
        pixels[start : start + len(values)] = values
    return pixels


def compare(data: Path, size: int, rounds: int, work: Path) -> dict:
    """Seconds and ratios of the three ways."""
    from datasets import Dataset
    from transformers import ViTImageProcessor

    from hf_privacy.data import canonical, dataset_fingerprint, encode_images, find_repeats

    processor = ViTImageProcessor(size={"height": size, "width": size})
    seconds: dict[str, list[float]] = {"bare": [], "first": [], "second": []}
    for number in range(rounds):
        cache = work / f"cache-{number}"
        os.environ["HF_PRIVACY_CACHE"] = str(cache)
        found = {}
        for name in seconds:
            rows = Dataset.from_parquet(str(data), cache_dir=str(work / "datasets"))
            canonical._STORED.clear()  # another process would not know them either
            started = time.perf_counter()
            if name == "bare":
                found[name] = bare(rows, processor)
            else:
                found[name] = encode_images(rows, processor)
                dataset_fingerprint(rows)
                find_repeats(rows, column="image")
            seconds[name].append(time.perf_counter() - started)
        for name in ("first", "second"):
            for start in range(0, len(rows), 256):
                some = np.arange(start, min(start + 256, len(rows)))
                values = found[name].__getitems__(some)["pixel_values"].numpy()
                np.testing.assert_array_equal(values.view(np.int32), found["bare"][some].view(np.int32))
        size_bytes = sum(file.stat().st_size for file in cache.rglob("*.npy"))
        del found
        shutil.rmtree(cache)
        print(f"round {number + 1}:", {name: round(values[-1], 2) for name, values in seconds.items()}, flush=True)
    ratios = {}
    for ours in ("first", "second"):
        each = [a / b for a, b in zip(seconds[ours], seconds["bare"], strict=True)]
        ratios[f"{ours} / bare"] = round(statistics.median(each), 3)
    return {
        "images": len(rows),
        "size": size,
        "rounds": rounds,
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "median_ratio": ratios,
        "store_megabytes": round(size_bytes / 1e6, 1),
        "float32_megabytes": round(4 * 3 * size * size * len(rows) / 1e6, 1),
    }


def train_and_audit(data: Path, size: int, steps: int, work: Path, results: multiprocessing.Queue) -> None:
    """The commands of a user, with this process's own memory watched."""
    import yaml

    recipe = {
        "task": "image-classification",
        "output_dir": str(work / "run"),
        "model": {"name_or_path": "timm/test_resnet", "from_scratch": True},
        "data": {"name_or_path": str(data), "image_size": size},
        "training": {"max_steps": steps, "per_device_train_batch_size": 64, "report_to": "none", "use_cpu": True},
        "audit": {"depth": "quick"},
    }
    (work / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    peak, stage, done = {"train": 0.0, "audit": 0.0}, ["train"], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[stage[0]] = max(peak[stage[0]], own_memory())

    threading.Thread(target=watch, daemon=True).start()
    from hf_privacy.cli import main

    seconds = {}
    for name in peak:
        stage[0] = name
        started = time.perf_counter()
        if main([name, "--config", str(work / "recipe.yaml")]):
            raise SystemExit(f"hf-privacy {name} failed")
        seconds[name] = round(time.perf_counter() - started, 1)
    done.set()
    results.put({"seconds": seconds, "peak_own_memory_gib": {name: round(value, 2) for name, value in peak.items()}})


def memory(n_images: int, size: int, steps: int, work: Path) -> dict:
    """Peak memory of training and auditing on so many images."""
    data = work / "many.parquet"
    write_images(data, n_images)
    os.environ["HF_PRIVACY_CACHE"] = str(work / "cache")
    os.environ["HF_DATASETS_CACHE"] = str(work / "datasets")
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=train_and_audit, args=(data, size, steps, work, results))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"training on {n_images:,} images ended with exit code {process.exitcode}")
    gigabytes = 3 * size * size * n_images / 1e9
    return {"images": n_images, "size": size, "steps": steps, "levels_gigabytes": round(gigabytes, 2), **results.get()}


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--memory", type=int, default=0, help="images to train and audit on (50000: 7.5 GB as bytes)")
    parser.add_argument("--steps", type=int, default=100, help="of that training")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    if options.gpu:
        print("there is no part for a GPU: images are decoded and encoded by the CPU")
    result = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_images(work / "images.parquet", options.images)
        result["encoding"] = compare(work / "images.parquet", options.size, options.rounds, work)
        if options.memory:
            result["memory"] = memory(options.memory, options.size, options.steps, work)
            result["memory"]["limit_gib"] = MEMORY_LIMIT_GIB

    from hf_privacy.auditing import versions

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result |= {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({"encoding": result["encoding"]["median_ratio"], "memory": result.get("memory")}))


if __name__ == "__main__":
    main()
