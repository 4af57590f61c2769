"""Scoring: what do LiRA and RMIA cost, against the loops and tables they are usually written as?

In one run, in turn, several rounds, on one synthetic table of 64 reference models and 50,000 examples:

- LiRA against a loop over examples with `scipy.stats.norm.logpdf` (part of the examples, scaled to all);
- RMIA with a population of 10,000 against the dense N × Z comparison, in blocks of rows so that it fits memory.

Both give the same scores, which is checked. With ``--scale`` also 10 million examples × 64 reference models, from a
signal store on disk (5.8 GB, in a temporary folder), with the peak memory of the process that scores them.

Run: python recipes/benchmarks/scoring/run.py --scale
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import norm

from hf_privacy.attacks import lira, rmia, tune_rmia_a
from hf_privacy.signals import SignalStore

HERE = Path(__file__).parent
N_REFERENCES = 64
N_EXAMPLES, N_POPULATION = 50_000, 10_000
DENSE_ROWS = 500
MEMORY_LIMIT = 4 * 2**30


def paired_membership(generator: np.random.Generator, n_examples: int) -> np.ndarray:
    """Random halves in complementary pairs: bool [K, N]."""
    half = generator.random((N_REFERENCES // 2, n_examples), dtype=np.float32) < 0.5
    return np.concatenate([half, ~half])


def probability(phi: np.ndarray) -> np.ndarray:
    """Probability of the true class that belongs to φ."""
    return 1 / (1 + np.exp(-phi))


def lira_by_loop(signal: np.ndarray, references: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """Example by example."""
    scores = np.empty(len(signal))
    for n in range(len(signal)):
        inside, outside = references[membership[:, n], n], references[~membership[:, n], n]
        scores[n] = norm.logpdf(signal[n], inside.mean(), inside.std(ddof=1)) - norm.logpdf(
            signal[n], outside.mean(), outside.std(ddof=1)
        )
    return scores


def rmia_dense(
    prob: np.ndarray,
    references: np.ndarray,
    membership: np.ndarray,
    population: np.ndarray,
    population_references: np.ndarray,
) -> np.ndarray:
    """Every example against every population example."""
    in_mean = np.where(membership, references, 0).sum(axis=0) / membership.sum(axis=0)
    out_mean = np.where(membership, 0, references).sum(axis=0) / (~membership).sum(axis=0)
    ratio = prob / (0.5 * (in_mean + out_mean))
    population_ratio = population / population_references.mean(axis=0)
    shares = [
        np.mean(ratio[start : start + DENSE_ROWS, np.newaxis] / population_ratio >= 1.0, axis=1)
        for start in range(0, len(ratio), DENSE_ROWS)
    ]
    return np.concatenate(shares)


def seconds_of(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def peak_of(function: Callable[[], object]) -> float:
    """Megabytes that one call allocates at most, its inputs aside."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 1e6, 1)


def compare(*, rounds: int, loop_examples: int) -> dict:
    """Seconds, ratios and peaks at 50,000 examples."""
    generator = np.random.default_rng(0)
    membership = paired_membership(generator, N_EXAMPLES)
    hardness = generator.normal(0, 3, N_EXAMPLES)
    references = hardness + membership + generator.normal(size=membership.shape)
    signal = hardness + generator.normal(size=N_EXAMPLES)
    population_hardness = generator.normal(0, 3, N_POPULATION)
    population = probability(population_hardness + generator.normal(size=(N_REFERENCES + 1, N_POPULATION)))
    table = (probability(signal), probability(references), membership, population[0], population[1:])
    some = slice(loop_examples)

    items: dict[str, Callable[[], np.ndarray]] = {
        "lira": lambda: lira(signal, references, membership, variance="per_example"),
        "lira_pooled": lambda: lira(signal, references, membership),
        "lira_scipy_loop": lambda: lira_by_loop(signal[some], references[:, some], membership[:, some]),
        "rmia": lambda: rmia(*table),
        "rmia_dense": lambda: rmia_dense(*table),
        "tune_rmia_a": lambda: tune_rmia_a(table[1], membership),
    }
    np.testing.assert_allclose(items["lira"]()[some], items["lira_scipy_loop"](), rtol=1e-9, atol=1e-9)
    # A ratio within rounding of a population example's may fall on either side of it.
    np.testing.assert_allclose(items["rmia"](), items["rmia_dense"](), atol=1.5 / N_POPULATION)
    scale = {"lira_scipy_loop": N_EXAMPLES / loop_examples}
    seconds: dict[str, list[float]] = {name: [] for name in items}
    for number in range(rounds):
        for name, item in items.items():
            seconds[name].append(seconds_of(item) * scale.get(name, 1))
        print(f"round {number + 1}:", {name: round(values[-1], 4) for name, values in seconds.items()}, flush=True)
    pairs = {"lira": "lira_scipy_loop", "rmia": "rmia_dense"}
    return {
        "references": N_REFERENCES,
        "examples": N_EXAMPLES,
        "population": N_POPULATION,
        "rounds": rounds,
        "scipy_loop_examples": loop_examples,
        "seconds": {name: [round(value, 4) for value in values] for name, values in seconds.items()},
        "median_seconds": {name: round(statistics.median(values), 4) for name, values in seconds.items()},
        "median_speed_up": {
            ours: round(statistics.median(b / a for a, b in zip(seconds[ours], seconds[theirs], strict=True)))
            for ours, theirs in pairs.items()
        },
        "peak_megabytes": {name: peak_of(item) for name, item in items.items()},
    }


def write_store(folder: Path, n_examples: int) -> None:
    """A signal store of synthetic probabilities, one reference model at a time."""
    store = SignalStore.create(
        folder,
        {
            **dict.fromkeys(("recipe_hash", "dataset_fingerprint", "split_hash", "example_ids_digest"), "synthetic"),
            "n_models": N_REFERENCES,
            "n_examples": n_examples,
            "queries": ["identity"],
            "signals": ["probability"],
        },
    )
    hardness = np.random.default_rng(0).normal(0, 3, n_examples)
    for model in range(N_REFERENCES):
        # Pairs of complementary halves: the same coins, turned for the second of a pair.
        membership = (np.random.default_rng([1, model // 2]).random(n_examples) < 0.5) ^ bool(model % 2)
        phi = np.random.default_rng([2, model]).normal(hardness, 1.0)
        phi += membership
        store.write(model, {"probability": probability(phi)[np.newaxis]}, membership)


def memory_now() -> dict[str, int]:
    """Memory of this process in kB: VmHWM (peak with mapped pages of files), RssAnon (its own, now)."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[0] in ("VmHWM:", "RssAnon:")}


def score_store(folder: Path, results: multiprocessing.Queue) -> None:
    """Score a whole store by LiRA and RMIA; its own memory (mapped files aside) is held below 4 GiB by the system."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    store = SignalStore.open(folder)
    peak, done = [memory_now()["RssAnon"]], threading.Event()
    before = peak[0]

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], memory_now()["RssAnon"])

    threading.Thread(target=watch, daemon=True).start()
    rows, membership = store.rows("probability")
    target = np.random.default_rng(3).random(store.n_examples)
    population = np.random.default_rng(4).random((N_REFERENCES + 1, N_POPULATION))
    report: dict[str, object] = {}
    for name, attack in {
        "lira": lambda: lira(target, rows, membership, variance="per_example"),
        "rmia": lambda: rmia(target, rows, membership, population[0], population[1:]),
    }.items():
        peak[0] = 0
        started = time.perf_counter()
        scores = attack()
        report[name] = {
            "seconds": round(time.perf_counter() - started, 1),
            "peak_rss_anonymous_gib": round(peak[0] / 2**20, 2),
        }
        few = slice(store.n_examples - 1000, None)
        some = (target[few], [row[few] for row in rows], [row[few] for row in membership])
        expected = (
            lira(*some, variance="per_example") if name == "lira" else rmia(*some, population[0], population[1:])
        )
        np.testing.assert_array_equal(scores[few], expected)
    done.set()
    report["rss_anonymous_before_gib"] = round(before / 2**20, 2)
    report["peak_rss_with_mapped_files_gib"] = round(memory_now()["VmHWM"] / 2**20, 2)
    results.put(report)


def score_from_disk(n_examples: int) -> dict:
    """Peak memory and seconds of a process that scores a store on disk."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "store"
        started = time.perf_counter()
        write_store(folder, n_examples)
        written = time.perf_counter() - started
        size = sum(path.stat().st_size for path in folder.iterdir())
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        process = context.Process(target=score_store, args=(folder, results))
        process.start()
        process.join()
        if process.exitcode != 0:
            raise SystemExit(f"scoring {n_examples:,} examples ended with exit code {process.exitcode}")
        return {
            "examples": n_examples,
            "references": N_REFERENCES,
            "store_gb": round(size / 1e9, 2),
            "seconds_to_write": round(written, 1),
            "limit_gib": MEMORY_LIMIT / 2**30,
            **results.get(),
        }


def main() -> None:
    """Measure, print, and write result.json."""
    from hf_privacy.auditing import versions  # not above: the process that scores imports this file and needs no more

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--loop-examples", type=int, default=2000, help="examples that the SciPy loop scores each round"
    )
    parser.add_argument("--scale", action="store_true", help="also score 10 million examples from disk")
    parser.add_argument("--scale-examples", type=int, default=10_000_000)
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    result = compare(rounds=options.rounds, loop_examples=options.loop_examples)
    if options.scale:
        result["from_disk"] = score_from_disk(options.scale_examples)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result |= {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(
        json.dumps(
            {name: result[name] for name in ("median_speed_up", "peak_megabytes", "from_disk") if name in result}
        )
    )


if __name__ == "__main__":
    main()
