"""The GPU part: references of ResNet-18 on 32 × 32 pixels, beside a bare eager loop and a bare CUDA graph loop.

All three keep the rows on the device, train in bfloat16 by autocast and with SGD, one model after the other.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import timm
import torch
from torch.nn import functional as F

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.defenses.base import lean_loop
from hf_privacy.models import load_model
from hf_privacy.references import reference_trainer

N_ROWS, N_CLASSES, BATCH, EPOCHS, MODELS = 12_800, 10, 256, 4, 4
RATE, MOMENTUM, DECAY = 0.05, 0.9, 5e-4
WARM_UP = 3  # steps before one is recorded
STEPS = MODELS * EPOCHS * N_ROWS // BATCH


def made_up_rows() -> TensorDataset:
    """Noise: what is measured does not depend on what it shows."""
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        {
            "pixel_values": torch.randn(N_ROWS, 3, 32, 32, generator=generator),
            "labels": torch.randint(N_CLASSES, (N_ROWS,), generator=generator),
        }
    )


def bare(rows: TensorDataset, *, as_graph: bool) -> None:
    """A plain loop over all models, each step eager or the replay of one graph a model."""
    pixels, labels = rows.column("pixel_values").cuda(), rows.column("labels").cuda()
    for seed in range(MODELS):
        bare_model(seed, pixels, labels, as_graph=as_graph)


def bare_model(seed: int, pixels: torch.Tensor, labels: torch.Tensor, *, as_graph: bool) -> None:
    """One model's training."""
    torch.manual_seed(seed)
    model = timm.create_model("resnet18", num_classes=N_CLASSES).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, fused=True)
    given, wanted = pixels[:BATCH].clone(), labels[:BATCH].clone()

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(given), wanted)
        loss.backward()
        optimizer.step()

    graph, n_steps, stream = None, 0, torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(EPOCHS):
            for batch in torch.randperm(N_ROWS, device="cuda").split(BATCH):
                given.copy_(pixels[batch])
                wanted.copy_(labels[batch])
                n_steps += 1
                if graph is None and as_graph and n_steps > WARM_UP:
                    graph = torch.cuda.CUDAGraph()
                    with torch.cuda.graph(graph, stream=stream):
                        step()
                if graph is None:
                    step()
                else:
                    graph.replay()
    torch.cuda.current_stream().wait_stream(stream)


def ours(rows: TensorDataset, *, as_graph: bool) -> None:
    """References as an audit trains them, in this process; without graphs, steps are taken one by one."""

    def resnet18() -> Any:
        return load_model("timm:resnet18", task="image-classification", num_labels=N_CLASSES, from_scratch=True)

    with tempfile.TemporaryDirectory() as folder:
        args = PrivacyConfig(
            folder,
            optim="sgd",
            learning_rate=RATE,
            momentum=MOMENTUM,
            weight_decay=DECAY,
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            bf16=True,
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=BATCH,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        target = PrivacyTrainer(args=args, model_init=resnet18, train_dataset=rows)
        eager = mock.patch.object(lean_loop, "why_not_recordable", return_value="the benchmark asks for it")
        for seed in range(MODELS):
            clone = reference_trainer(target, rows, seed=seed, output_dir=folder)
            if as_graph:
                clone.train_lean()
            else:
                with eager:
                    clone.train_lean()


def measured(*, rounds: int) -> dict[str, Any]:
    """Seconds a step by round, and the medians of the ratios in one round."""
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here: run this part where torch.cuda.is_available()")
    rows = made_up_rows()
    ways: dict[str, Callable[[], None]] = {
        "eager_loop": lambda: bare(rows, as_graph=False),
        "graph_loop": lambda: bare(rows, as_graph=True),
        "ours_step_by_step": lambda: ours(rows, as_graph=False),
        "ours": lambda: ours(rows, as_graph=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):  # the first one warms the device up
        for name, run in ways.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            run()
            torch.cuda.synchronize()
            if number:
                seconds[name].append((time.perf_counter() - started) / STEPS)
    pairs = {"ours": "graph_loop", "ours_step_by_step": "eager_loop", "graph_loop": "eager_loop"}
    ratios = {
        f"{name} / {base}": statistics.median(a / b for a, b in zip(seconds[name], seconds[base], strict=True))
        for name, base in pairs.items()
    }
    return {
        "device": torch.cuda.get_device_name(),
        "models": MODELS,
        "steps": STEPS,
        "milliseconds_a_step": {name: [round(1e3 * value, 3) for value in values] for name, values in seconds.items()},
        "median_ratios": {name: round(value, 3) for name, value in ratios.items()},
    }
