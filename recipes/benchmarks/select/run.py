"""The top share of 100 million weights: what does `hf_privacy.weights.select` cost beside the usual ways?

In one run, in turn, several rounds: `select` on the tensors of a network, and what one would write on one flat vector
of the same scores (which is handed over made): `torch.kthvalue` and a comparison, `torch.topk`, `numpy.argpartition`,
`numpy.partition` and a comparison. Per layer, each of them tensor by tensor. All give the same masks, which is
checked. Seconds are the processor's, of one thread (on a GPU the clock's); memory is what a call holds at most beside
the scores, by the system's own count (on a GPU the allocator's).

Run: python recipes/benchmarks/select/run.py                 # --gpu on a GPU
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from hf_privacy.auditing import versions
from hf_privacy.weights import select

HERE = Path(__file__).parent
FRACTIONS, SCOPES = (0.01, 0.1), ("global", "layer")


def scores_of(n_weights: int, device: torch.device) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Scores in one flat vector, and as the tensors of 24 layers: matrices of a million weights, and norms."""
    generator = torch.Generator(device).manual_seed(0)
    flat = torch.randn(n_weights, generator=generator, device=device).abs_()
    matrix, norm = n_weights // 24 // 4, n_weights // 24 // 2000
    sizes = [size for _ in range(24) for size in (norm, matrix - norm, matrix, 2 * matrix)]
    sizes[-1] += n_weights - sum(sizes)
    return flat, {f"weight_{i}": part for i, part in enumerate(flat.split(sizes))}


def by_kthvalue(flat: torch.Tensor, number: int) -> torch.Tensor:
    """The cut by quickselect, and a comparison."""
    return flat >= torch.kthvalue(flat, len(flat) - number + 1).values


def by_topk(flat: torch.Tensor, number: int) -> torch.Tensor:
    """The places of the highest."""
    mask = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    mask[torch.topk(flat, number, sorted=False).indices] = True
    return mask


def by_argpartition(flat: torch.Tensor, number: int) -> torch.Tensor:
    """The places of the highest, by NumPy."""
    mask = torch.zeros(len(flat), dtype=torch.bool)
    mask[torch.from_numpy(np.argpartition(flat.numpy(), len(flat) - number)[len(flat) - number :])] = True
    return mask


def by_partition(flat: torch.Tensor, number: int) -> torch.Tensor:
    """The cut, by NumPy, and a comparison."""
    return flat >= float(np.partition(flat.numpy(), len(flat) - number)[len(flat) - number])


OTHERS = {
    "torch_kthvalue": by_kthvalue,
    "torch_topk": by_topk,
    "numpy_argpartition": by_argpartition,
    "numpy_partition": by_partition,
}


def measured(function: Callable[[], object], device: torch.device) -> tuple[float, float | None]:
    """Seconds of one call, and the megabytes it held at most; None where the system does not say."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, started = torch.cuda.memory_allocated(), time.perf_counter()
        result = function()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        peak = torch.cuda.max_memory_allocated() - before
        del result
        return seconds, peak / 1e6
    before = _resident("VmRSS") if _forget_peak() else None
    started = time.process_time()
    result = function()
    seconds = time.process_time() - started
    peak = None if before is None else (_resident("VmHWM") - before) / 1e3
    del result
    return seconds, peak


def _forget_peak() -> bool:
    """Give back what is free, and let Linux count the peak from here on."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return False
    return True


def _resident(name: str) -> int:
    """Kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", type=int, default=100_000_000)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.gpu and not torch.cuda.is_available():
        raise SystemExit("--gpu: there is no GPU that PyTorch sees")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    device = torch.device("cuda" if options.gpu else "cpu")
    torch.set_num_threads(1)
    flat, scores = scores_of(options.weights, device)
    others = {name: way for name, way in OTHERS.items() if not (options.gpu and name.startswith("numpy"))}
    result: dict = {"weights": options.weights, "tensors": len(scores), "rounds": options.rounds}
    for scope in SCOPES:
        for fraction in FRACTIONS:
            ways: dict[str, Callable[[], list[torch.Tensor]]] = {
                "select": lambda f=fraction, s=scope: list(select(scores, fraction=f, scope=s).values())
            }
            parts = [flat] if scope == "global" else list(scores.values())
            for name, way in others.items():
                ways[name] = lambda w=way, p=parts, f=fraction: [w(part, round(f * len(part))) for part in p]
            expected = torch.cat([mask.flatten() for mask in ways["select"]()])
            found: dict[str, list[tuple[float, float | None]]] = {name: [] for name in ways}
            for number in range(options.rounds):
                for name in sorted(ways, reverse=number % 2 == 1):
                    found[name].append(measured(ways[name], device))
            for name in others:
                # Equal scores at the cut may be taken in another order, or all.
                differ = int((torch.cat(ways[name]()) != expected).sum())
                assert differ <= 1e-4 * options.weights, (name, differ)
            seconds = {name: [each for each, _ in values] for name, values in found.items()}
            peaks = {name: [each for _, each in values if each is not None] for name, values in found.items()}
            ratios = {
                name: statistics.median(a / b for a, b in zip(seconds["select"], seconds[name], strict=True))
                for name in others
            }
            entry = {
                "median_seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
                "select_over": {name: round(ratio, 3) for name, ratio in ratios.items()},
                "peak_megabytes": {name: round(max(values), 1) for name, values in peaks.items() if values},
            }
            result[f"{scope}_{fraction}"] = entry
            print(scope, fraction, json.dumps(entry), flush=True)
    result |= {
        "device": torch.cuda.get_device_name() if options.gpu else "cpu, one thread",
        "machine": platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    output = options.output or HERE / ("result_gpu.json" if options.gpu else "result.json")
    output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
