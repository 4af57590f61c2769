"""Curvature: what do its three estimators cost, in gradient passes and in memory?

In one run, in turn, several rounds, on a ResNet-18 and a small ViT, untrained, 32 images of 32×32, ten vectors:

- finite differences against eleven input-gradient passes, which they consist of;
- exact Hessian-vector products by double backward, as the package has them, against ten input-gradient passes, and
  the other way to take them, forward over reverse (`torch.func.jvp` of `torch.func.grad`);
- zero order, forty forward passes, against as many.

An input-gradient pass is a bare `torch.autograd.grad` of the summed cross-entropy with frozen parameters, the leanest
there is. On the CPU one thread works, and its processor time counts. Memory is what PyTorch allocates at most, weights
and batch aside, against one training step on that batch (training mode, backward to all parameters, plain SGD without
state: the leanest there is, too).

Run: python recipes/benchmarks/curvature/run.py                 # --device cuda on a GPU
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

from hf_privacy.auditing import versions
from hf_privacy.models import load_model
from hf_privacy.signals import input_curvature

HERE = Path(__file__).parent
N_VECTORS, BATCH, SIDE, CLASSES = 10, 32, 32, 10
MODELS = {
    "resnet18": ("timm:resnet18", {}),
    "vit": ("timm:vit_tiny_patch16_224", {"img_size": SIDE, "patch_size": 4, "depth": 6}),
}


class Case:
    """A model, a batch, and everything that is timed on them."""

    def __init__(self, name: str, device: torch.device) -> None:
        architecture, arguments = MODELS[name]
        self.model = load_model(
            architecture,
            task="image-classification",
            num_labels=CLASSES,
            from_scratch=True,
            model_kwargs=arguments,
            seed=0,
        ).to(device)
        self.model.eval()
        self.images = torch.randn(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)
        self.labels = (torch.arange(BATCH) % CLASSES).to(device)

    def loss(self, images: torch.Tensor) -> torch.Tensor:
        return cross_entropy(self.model(pixel_values=images).logits, self.labels, reduction="sum")

    def forward_passes(self) -> None:
        with torch.no_grad():
            for _ in range(4 * N_VECTORS):
                self.loss(self.images)

    def gradient_passes(self, n: int) -> None:
        self.model.requires_grad_(False)
        for _ in range(n):
            images = self.images.clone().requires_grad_(True)
            torch.autograd.grad(self.loss(images), images)
        self.model.requires_grad_(True)

    def curvature(self, method: str) -> torch.Tensor:
        step = 1e-2 if method == "zero_order" else 1e-3
        generator = torch.Generator().manual_seed(0)
        found = input_curvature(
            self.model, self.images, self.labels, n_vectors=N_VECTORS, h=step, method=method, generator=generator
        )
        return found["squared_norm"]

    def forward_over_reverse(self) -> None:
        """The alternative to double backward, all examples at once."""
        self.model.requires_grad_(False)
        generator = torch.Generator().manual_seed(0)
        with sdpa_kernel(SDPBackend.MATH):
            for _ in range(N_VECTORS):
                signs = torch.randint(0, 2, self.images.shape[1:], generator=generator).float() * 2 - 1
                vector = signs.to(self.images.device).expand_as(self.images).contiguous()
                product = torch.func.jvp(torch.func.grad(self.loss), (self.images,), (vector,))[1]
                product.flatten(1).norm(dim=1)
        self.model.requires_grad_(True)

    def training_step(self) -> None:
        optimizer = torch.optim.SGD(self.model.parameters(), lr=0.0, foreach=False)
        self.model.train()
        (self.loss(self.images) / BATCH).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self.model.eval()

    def items(self) -> dict[str, Callable[[], object]]:
        return {
            "11_gradient_passes": lambda: self.gradient_passes(N_VECTORS + 1),
            "finite_difference": lambda: self.curvature("finite_difference"),
            "10_gradient_passes": lambda: self.gradient_passes(N_VECTORS),
            "hvp": lambda: self.curvature("hvp"),
            "forward_over_reverse": self.forward_over_reverse,
            "40_forward_passes": self.forward_passes,
            "zero_order": lambda: self.curvature("zero_order"),
        }


def seconds_of(function: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call: on a GPU by the clock, on the CPU of its processor time, whoever else is at work."""
    now = time.perf_counter if device.type == "cuda" else time.process_time
    synchronize(device)
    started = now()
    function()
    synchronize(device)
    return now() - started


def synchronize(device: torch.device) -> None:
    """Wait for the GPU, if there is one."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_of(function: Callable[[], object], device: torch.device) -> float:
    """Megabytes that one call has allocated at most, beyond what was there before."""
    if device.type == "cuda":
        synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        function()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak / 1e6


def agreement(case: Case) -> dict[str, float]:
    """Median ratio of the squared norms by the two methods: at the paper's step, and far below it in float64."""
    ratios = {}
    for step, dtype in ((1e-3, torch.float32), (1e-6, torch.float64)):
        case.model.to(dtype)
        exact, differences = (
            input_curvature(
                case.model,
                case.images.to(dtype),
                case.labels,
                n_vectors=N_VECTORS,
                h=step,
                method=method,
                generator=torch.Generator().manual_seed(0),
            )["squared_norm"]
            for method in ("hvp", "finite_difference")
        )
        ratios[f"h={step:g}, {str(dtype).removeprefix('torch.')}"] = float(f"{(differences / exact).median():.3g}")
    case.model.float()
    return ratios


RATIOS = {
    "finite_difference": "11_gradient_passes",
    "hvp": "10_gradient_passes",
    "zero_order": "40_forward_passes",
    "forward_over_reverse": "10_gradient_passes",
}


def measure(name: str, device: torch.device, rounds: int) -> dict:
    """Seconds, ratios and peaks of one model."""
    case = Case(name, device)
    items = case.items()
    for item in items.values():
        item()  # what is made once is made before the clock starts
    seconds: dict[str, list[float]] = {item: [] for item in items}
    for number in range(rounds):
        for item, function in items.items():
            seconds[item].append(seconds_of(function, device))
        print(f"{name}, round {number + 1}:", {item: round(v[-1], 3) for item, v in seconds.items()}, flush=True)
    step = peak_of(case.training_step, device)
    peaks = {item: peak_of(items[item], device) for item in RATIOS}
    return {
        "parameters": sum(parameter.numel() for parameter in case.model.parameters()),
        "finite_differences_over_hvp": agreement(case),
        "seconds": {item: [round(value, 4) for value in values] for item, values in seconds.items()},
        "median_seconds": {item: round(statistics.median(values), 4) for item, values in seconds.items()},
        "median_ratio": {
            item: round(statistics.median(a / b for a, b in zip(seconds[item], seconds[base], strict=True)), 3)
            for item, base in RATIOS.items()
        },
        "peak_megabytes": {"training_step": round(step, 1)} | {item: round(peak, 1) for item, peak in peaks.items()},
        "peak_ratio_to_training_step": {item: round(peak / step, 3) for item, peak in peaks.items()},
    }


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    result: dict = {name: measure(name, device, options.rounds) for name in MODELS}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result |= {
        "n_vectors": N_VECTORS,
        "batch": BATCH,
        "rounds": options.rounds,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    for name in MODELS:
        print(name, json.dumps({key: result[name][key] for key in ("median_ratio", "peak_ratio_to_training_step")}))


if __name__ == "__main__":
    main()
