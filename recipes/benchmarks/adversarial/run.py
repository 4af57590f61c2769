"""What adversarial training costs: steps of our trainers in steps of the stock Trainer, and beside a foolbox loop.

One small ResNet, the same batch at every step, all trainings in turn in one run, several rounds:

- stock: `transformers.Trainer`, a forward and a backward pass and an optimizer step;
- ours: PGD-AT, TRADES and MART with k steps of attack, PGD-AT with AWP, and DeMem on PGD-AT;
- foolbox: a bare PyTorch loop that trains on the points of `foolbox.attacks.LinfPGD`.

The unit of the limits is a pass, forth and back; a forward pass alone counts as a third. An attack of k steps makes k
of them (for the input alone, which spares the gradient of the weights), training on its points one more.

Run: python recipes/benchmarks/adversarial/run.py
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import foolbox
import torch
from torch.nn import functional as F
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging

from hf_privacy.auditing import versions
from hf_privacy.data import TensorDataset, collate_batch, image_processor_for
from hf_privacy.defenses import AdversarialConfig, AdversarialTrainer, DeMemConfig, DeMemTrainer
from hf_privacy.models import load_model

HERE = Path(__file__).parent
EPSILON = 8 / 255
# Small: a model sure of its one batch has gradients of subnormal numbers, which a CPU is several times slower with.
TRAINING = {"learning_rate": 1e-4, "optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 0.0}


class StepTimes(TrainerCallback):
    """Seconds from the end of each step to the end of the next: batch, forward, backward, optimizer, bookkeeping."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: list[float] = []
        self._last: float | None = None

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.seconds, self._last = [], None

    def on_step_end(self, args, state, control, **kwargs) -> None:
        now = clock(self.device)
        if self._last is not None:  # the first step warms up
            self.seconds.append(now - self._last)
        self._last = now


def clock(device: torch.device) -> float:
    """Seconds: of the wall on a GPU, once it has done what it was given; on a CPU of the processor, for this process.

    One thread computes, so on an idle machine both are the same; on a shared one the processor's leaves others out.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def passes(objective: str, n_steps: int) -> float:
    """Passes of one training step: the attack's, then those of the loss."""
    return {
        "pgd_at": n_steps + 1,
        "trades": 1 / 3 + n_steps + 2,  # clean logits to attack; then clean and adversarial examples are trained on
        "mart": n_steps + 2,
    }[objective]


class Bench:
    """One model, one batch, and what trains on it.

    Parameters
    ----------
    options : argparse.Namespace
    folder : str
        For the trainers' outputs, of which there are none.
    """

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.folder = folder
        self.processor = image_processor_for(self.model(), size=32)
        mean, std = (
            torch.tensor(values).view(3, 1, 1) for values in (self.processor.image_mean, self.processor.image_std)
        )
        generator = torch.Generator().manual_seed(0)
        self.pixels = torch.rand(options.batch_size, 3, 32, 32, generator=generator)
        self.labels = torch.randint(10, (options.batch_size,), generator=generator)
        self.dataset = TensorDataset({"pixel_values": (self.pixels - mean) / std, "labels": self.labels})

    def model(self) -> torch.nn.Module:
        """Untrained, the same each time."""
        return load_model(self.options.model, task="image-classification", num_labels=10, from_scratch=True, seed=0)

    def arguments(self) -> dict:
        """Of every trainer: each step is an epoch of the one batch."""
        return {
            **TRAINING,
            "output_dir": self.folder,
            "max_steps": self.options.steps + 1,
            "per_device_train_batch_size": self.options.batch_size,
            "use_cpu": self.device.type == "cpu",
            "report_to": "none",
            "save_strategy": "no",
            "logging_strategy": "no",
            "disable_tqdm": True,
        }

    def of_trainer(self, trainer: Trainer) -> Callable[[], list[float]]:
        """A function that trains some steps and gives the seconds of each but the first."""
        times = StepTimes(self.device)
        trainer.add_callback(times)
        trainer.remove_callback(PrinterCallback)

        def run() -> list[float]:
            trainer.train()
            return times.seconds

        return run

    def stock(self) -> Callable[[], list[float]]:
        """The stock Trainer."""
        args = TrainingArguments(**self.arguments(), remove_unused_columns=False)
        return self.of_trainer(Trainer(self.model(), args, collate_batch, self.dataset))

    def ours(self, **settings) -> Callable[[], list[float]]:
        """One of our trainers: DeMem if there is a ``variance_weight``."""
        demem = "variance_weight" in settings
        config_class, trainer_class = (DeMemConfig, DeMemTrainer) if demem else (AdversarialConfig, AdversarialTrainer)
        args = config_class(**self.arguments(), epsilon=EPSILON, **settings)
        trainer = trainer_class(self.model(), args, train_dataset=self.dataset, processing_class=self.processor)
        return self.of_trainer(trainer)

    def foolbox(self, n_steps: int) -> Callable[[], list[float]]:
        """Plain PyTorch, and foolbox for the points."""
        model = self.model().to(self.device)
        optimizer = torch.optim.SGD(model.parameters(), lr=TRAINING["learning_rate"], fused=True)
        pixels, labels = self.pixels.to(self.device), self.labels.to(self.device)
        mean, std = (
            torch.tensor(values, device=self.device).view(3, 1, 1)
            for values in (self.processor.image_mean, self.processor.image_std)
        )

        class Logits(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
                return self.model(pixel_values=pixel_values).logits

        logits = Logits()
        logits.eval()
        attacked = foolbox.PyTorchModel(
            logits,
            bounds=(0, 1),
            device=self.device,
            preprocessing={
                "mean": list(self.processor.image_mean),
                "std": list(self.processor.image_std),
                "axis": -3,
            },
        )
        attack = foolbox.attacks.LinfPGD(steps=n_steps, abs_stepsize=1.25 * EPSILON / n_steps, random_start=True)
        criterion = foolbox.criteria.Misclassification(labels)

        def run() -> list[float]:
            seconds, last = [], None
            for _ in range(self.options.steps + 1):
                logits.eval()
                points = attack.run(attacked, pixels, criterion, epsilon=EPSILON)
                logits.train()
                optimizer.zero_grad()
                F.cross_entropy(logits((points - mean) / std), labels).backward()
                optimizer.step()
                now = clock(self.device)
                if last is not None:
                    seconds.append(now - last)
                last = now
            return seconds

        return run


def rows(n_steps: list[int]) -> list[dict]:
    """The comparisons: which training, over which, and the limit."""
    found = []
    for k in n_steps:
        for objective in ("pgd_at", "trades", "mart"):
            count = passes(objective, k)
            found.append({"name": f"{objective}-{k}", "over": "stock", "passes": count, "limit": 1.1 * count})
        found.append({"name": f"pgd_at-{k}", "over": f"foolbox-{k}", "limit": None})
        found.append({"name": f"pgd_at-{k}+awp", "minus": f"pgd_at-{k}", "over": "stock", "limit": 1.2})
        found.append({"name": f"demem-{k}", "over": f"pgd_at-{k}", "limit": 1.02})
    return found


def trainings(bench: Bench, n_steps: list[int]) -> dict[str, Callable[[], list[float]]]:
    """Every training by its name."""
    found = {"stock": bench.stock()}
    for k in n_steps:
        for objective in ("pgd_at", "trades", "mart"):
            found[f"{objective}-{k}"] = bench.ours(objective=objective, n_steps=k)
        found[f"pgd_at-{k}+awp"] = bench.ours(objective="pgd_at", n_steps=k, awp_gamma=0.01)
        found[f"demem-{k}"] = bench.ours(objective="pgd_at", n_steps=k, variance_weight=0.2)
        found[f"foolbox-{k}"] = bench.foolbox(k)
    return found


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--model", default="timm:resnet10t", help="an untrained timm model, timm:NAME")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--n-steps", type=int, nargs="+", default=[3, 10], help="steps k of the attack")
    parser.add_argument(
        "--steps", type=int, default=2, help="training steps of each kind a round, after one to warm up"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        kinds = trainings(bench, options.n_steps)
        gc.freeze()  # each train() begins with a collection
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        for number in range(options.rounds):
            order = list(kinds) if number % 2 else list(reversed(kinds))
            for name in order:
                seconds[name].append(statistics.median(kinds[name]()))
            shown = {name: round(1000 * values[-1], 1) for name, values in seconds.items()}
            print(f"round {number + 1}, ms a step: {shown}", flush=True)
        gc.unfreeze()
    comparisons = []
    for row in rows(options.n_steps):
        minus = seconds[row["minus"]] if "minus" in row else [0.0] * options.rounds
        ratios = [
            (ours - less) / base
            for ours, less, base in zip(seconds[row["name"]], minus, seconds[row["over"]], strict=True)
        ]
        ratio = statistics.median(ratios)
        limit = row["limit"]
        met = None if limit is None else ratio <= limit
        comparisons.append({**row, "ratio": round(ratio, 3), "ratios": [round(r, 3) for r in ratios], "met": met})
        less = f" - {row['minus']}" if "minus" in row else ""
        goal = "" if limit is None else f" (limit {limit:.2f}: {'met' if met else 'missed'})"
        print(f"({row['name']}{less}) / {row['over']}: {ratio:.3f}{goal}")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    device = torch.cuda.get_device_name() if bench.device.type == "cuda" else platform.machine()
    result = {
        "model": options.model,
        "batch_size": options.batch_size,
        "steps": options.steps,
        "rounds": options.rounds,
        "comparisons": comparisons,
        "seconds": {name: [round(value, 5) for value in values] for name, values in seconds.items()},
        "device": device,
        "cores": len(os.sched_getaffinity(0)),
        "clock": "wall" if bench.device.type == "cuda" else "processor",
        "commit": commit.stdout.strip(),
        "versions": {**versions(), "foolbox": foolbox.__version__},
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
