"""DP-SGD: what does noise cost that nobody can draw again?

In one run, in turn, several rounds: the same training by `DPTrainer`, once with noise and batches from its cipher
(AES-256 in counter mode), once with both from PyTorch's seeded generators, as they were before. The training differs
in nothing else. On the CPU one thread works and its processor time counts.

Run: python recipes/benchmarks/dp_noise/run.py                 # --device cuda on a GPU
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
from transformers.utils import logging

from hf_privacy.auditing import versions
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import DPConfig, DPTrainer, dp_trainer
from hf_privacy.models import load_model

HERE = Path(__file__).parent
N_EXAMPLES = 2_000


class SeededGenerators:
    """Stands in for the cipher: PyTorch's generators, 32 bits of seed on a CPU."""

    def __init__(self, key: bytes) -> None:
        self._seed = int.from_bytes(key[:4], "big")
        self._generators: dict[torch.device, torch.Generator] = {}

    def _generator(self, device: torch.device | str) -> torch.Generator:
        device = torch.device(device)
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]

    def uniform(self, size: int) -> torch.Tensor:
        return torch.rand(size, generator=self._generator("cpu"), dtype=torch.float64)

    def normal(
        self, shape: tuple[int, ...], *, scale: float = 1.0, device: torch.device | str = "cpu"
    ) -> torch.Tensor:
        return torch.randn(shape, generator=self._generator(device), device=device).mul_(scale)


def mlp() -> tuple[torch.nn.Module, TensorDataset]:
    """The MLP and the shape of location30."""
    sizes = {"input_size": 446, "hidden_sizes": [512, 128]}
    model = load_model(
        "hf_privacy_tabular_mlp", task="tabular-classification", num_labels=30, from_scratch=True, model_kwargs=sizes
    )
    return model, TensorDataset({"features": torch.randn(N_EXAMPLES, 446), "labels": torch.randint(30, (N_EXAMPLES,))})


def vit() -> tuple[torch.nn.Module, TensorDataset]:
    """A small vision transformer on 32 × 32 pixels."""
    sizes = {"image_size": 32, "patch_size": 4, "hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3}
    sizes["intermediate_size"] = 768
    model = load_model("vit", task="image-classification", num_labels=10, from_scratch=True, model_kwargs=sizes)
    images = torch.randn(N_EXAMPLES, 3, 32, 32)
    return model, TensorDataset({"pixel_values": images, "labels": torch.randint(10, (N_EXAMPLES,))})


CASES: dict[str, tuple[Callable[[], tuple[torch.nn.Module, TensorDataset]], int, int]] = {
    # What is trained, examples a step, steps a round.
    "mlp": (mlp, 64, 40),
    "vit": (vit, 32, 4),
}


def seconds_of(case: str, noise: type, device: str) -> float:
    """Of one training, by the clock on a GPU and by the processor's time on a CPU."""
    make, batch, steps = CASES[case]
    model, data = make()
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(dp_trainer, "SecretStream", noise):
        args = DPConfig(
            folder, per_device_train_batch_size=batch, max_steps=steps, noise_multiplier=1.0, accountant="rdp",
            optim="sgd", save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
            use_cpu=device == "cpu",
        )  # fmt: skip
        trainer = DPTrainer(model, args, train_dataset=data)
        now = time.process_time if device == "cpu" else time.perf_counter
        started = now()
        trainer.train()
        if device != "cpu":
            torch.cuda.synchronize()
        return now() - started


def main() -> None:
    """Measure, print and write ``result.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where to train")
    parser.add_argument("--rounds", type=int, default=12, help="rounds of both, in turn")
    parser.add_argument("--output", type=Path, default=HERE / "result.json", help="where the figures go")
    options = parser.parse_args()
    logging.set_verbosity_error()
    if options.device == "cpu":
        torch.set_num_threads(1)
    result: dict[str, object] = {}
    for case in CASES:
        make, batch, steps = CASES[case]
        seconds: dict[str, list[float]] = {"cipher": [], "generators": []}
        kinds = {"cipher": dp_trainer.SecretStream, "generators": SeededGenerators}
        seconds_of(case, SeededGenerators, options.device)  # warms up
        for number in range(options.rounds):
            # Each goes first in every other round: a machine that slows down favours neither.
            for name in sorted(kinds, reverse=number % 2 == 1):
                seconds[name].append(seconds_of(case, kinds[name], options.device))
        ratios = [ours / theirs for ours, theirs in zip(seconds["cipher"], seconds["generators"], strict=True)]
        result[case] = {
            "parameters": sum(parameter.numel() for parameter in make()[0].parameters()),
            "batch": batch,
            "seconds_a_step": {name: round(statistics.median(found) / steps, 5) for name, found in seconds.items()},
            "ratios": [round(ratio, 3) for ratio in ratios],
            "median_ratio": round(statistics.median(ratios), 3),
        }
        print(case, json.dumps(result[case]), flush=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    result |= {"device": options.device, "machine": platform.machine(), "commit": commit, "versions": versions()}
    options.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
