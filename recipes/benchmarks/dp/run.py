"""DP-SGD: what does a differentially private step cost beside an undefended one, and beside Opacus's own loop?

In one run, in turn, several rounds, on four models from scratch: the MLP of location30, a small BERT, timm's resnet10t
with GroupNorm on 32 × 32 pixels, and LoRA on a small Llama. A step is batch, forward pass, loss, gradients (for DP:
each row's own, clipped, summed and noised) and AdamW, by

- `bare`: a loop of five lines; `trainer`: transformers' own Trainer, undefended;
- `auto`, `functional`, `hooks`: `DPTrainer` with these `per_sample_gradients`;
- `opacus`, `opacus_ghost`: the loop of five lines through `PrivacyEngine.make_private`, with `grad_sample_mode`
  "hooks" and "ghost". Where a model cannot be trained so, the error is what is written down.

DP's batches are Poisson draws of the same expected size, so that seconds are means over steps. On the CPU one thread
works, and its processor time counts, whoever else is at work.

Run: python recipes/benchmarks/dp/run.py                 # --gpu on a GPU
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from opacus import PrivacyEngine
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging

from hf_privacy.auditing import versions
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import DPConfig, DPTrainer
from hf_privacy.errors import one_line
from hf_privacy.models import load_model
from hf_privacy.tasks import task_of

HERE = Path(__file__).parent
BATCHES = 8  # of an epoch
LIMITS = {"mlp": 1.5, "bert": 1.5, "resnet10t": 3.0, "lora": 1.3}  # auto over trainer
WAYS = ("auto", "functional", "hooks")
ENGINES = {"opacus": "hooks", "opacus_ghost": "ghost"}
SLOW = ("functional", "hooks", "opacus", "opacus_ghost")  # a quarter of the steps


def mlp() -> tuple[torch.nn.Module, TensorDataset]:
    """The MLP and the shape of location30; batches of 64."""
    sizes = {"input_size": 446, "hidden_sizes": [512, 128]}
    model = load_model(
        "hf_privacy_tabular_mlp", task="tabular-classification", num_labels=30, from_scratch=True, model_kwargs=sizes
    )
    n = 64 * BATCHES
    return model, TensorDataset({"features": torch.randn(n, 446), "labels": torch.randint(30, (n,))})


def bert() -> tuple[torch.nn.Module, TensorDataset]:
    """BERT-tiny's layers with a vocabulary of 2,000; batches of 32 texts of 32 to 64 tokens."""
    sizes = {"vocab_size": 2000, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 512, "max_position_embeddings": 128, "pad_token_id": 0}
    model = load_model("bert", task="text-classification", num_labels=2, from_scratch=True, model_kwargs=sizes)
    rows = token_rows(32 * BATCHES, 64, 2000, 0)
    rows["labels"] = torch.randint(2, (len(rows["labels"]),))
    return model, TensorDataset(rows, padding_side="right", sequence_columns=["input_ids", "attention_mask"])


def resnet10t() -> tuple[torch.nn.Module, TensorDataset]:
    """GroupNorm in place of BatchNorm; batches of 64 images of 32 × 32 pixels."""
    kwargs = {"norm_layer": "groupnorm1"}
    model = load_model(
        "timm:resnet10t", task="image-classification", num_labels=10, from_scratch=True, model_kwargs=kwargs
    )
    n = 64 * BATCHES
    return model, TensorDataset({"pixel_values": torch.randn(n, 3, 32, 32), "labels": torch.randint(10, (n,))})


def lora() -> tuple[torch.nn.Module, TensorDataset]:
    """Rank 8 on all linear layers of a Llama of width 256 with six; batches of 16 texts of 64 to 128 tokens."""
    config = LlamaConfig(
        vocab_size=2000, hidden_size=256, intermediate_size=688, num_hidden_layers=6, num_attention_heads=8,
        max_position_embeddings=512, pad_token_id=2, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    adapter = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear")
    rows = token_rows(16 * BATCHES, 128, 2000, 2)
    return get_peft_model(LlamaForCausalLM(config), adapter), TensorDataset(
        rows, padding_side="right", sequence_columns=list(rows)
    )


def token_rows(n: int, length: int, vocabulary: int, pad: int) -> dict[str, torch.Tensor]:
    """Random tokens, all scored but the first, in rows of half to the whole length."""
    ids = torch.randint(3, vocabulary, (n, length))
    mask = torch.arange(length) < torch.randint(length // 2, length + 1, (n, 1))
    labels = ids.where(mask, torch.tensor(-100))
    labels[:, 0] = -100
    return {"input_ids": ids.where(mask, torch.tensor(pad)), "attention_mask": mask.long(), "labels": labels}


# What is trained, rows of a batch, steps of a round.
CASES: dict[str, tuple[Callable[[], tuple[torch.nn.Module, TensorDataset]], int, int]] = {
    "mlp": (mlp, 64, 80),
    "bert": (bert, 32, 16),
    "resnet10t": (resnet10t, 64, 12),
    "lora": (lora, 16, 4),
}


def now(device: torch.device) -> float:
    """Seconds: on a GPU by the clock, once it is done; on the CPU of this process' one thread."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


class Clock(TrainerCallback):
    """Marks the seconds at the end of the first optimizer step and of the last."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.ends = device, []

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """Where it is one of the two."""
        if state.global_step in (1, args.max_steps):
            self.ends.append(now(self.device))


def by_trainer(case: str, way: str, steps: int, device: torch.device) -> float:
    """Mean seconds of a step after the first, by transformers' Trainer or by ours."""
    make, batch_size, _ = CASES[case]
    torch.manual_seed(0)
    model, rows = make()
    clock = Clock(device)
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            "output_dir": folder, "max_steps": steps + 1, "per_device_train_batch_size": batch_size,
            "learning_rate": 1e-4, "optim": "adamw_torch", "save_strategy": "no", "logging_strategy": "no",
            "report_to": "none", "disable_tqdm": True, "use_cpu": device.type == "cpu",
        }  # fmt: skip
        if way == "trainer":
            args = TrainingArguments(**settings, remove_unused_columns=False, max_grad_norm=0.0)
            # The rows come as a batch already.
            trainer: Trainer = Trainer(model, args, lambda batch: batch, train_dataset=rows)
        else:
            private = {"noise_multiplier": 1.0, "accountant": "rdp", "target_delta": 1e-5}
            args = DPConfig(**settings, **private, per_sample_gradients=way)
            trainer = DPTrainer(model, args, train_dataset=rows)
        trainer.add_callback(clock)
        trainer.train()
    return (clock.ends[1] - clock.ends[0]) / steps


def by_loop(case: str, engine: str | None, steps: int, device: torch.device) -> float:
    """Mean seconds of a step after the first, by a loop of five lines; through Opacus where an engine is named."""
    make, batch_size, _ = CASES[case]
    torch.manual_seed(0)
    model, rows = make()
    model.to(device).train()
    names = rows.column_names
    optimizer: Any = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    whole = torch.utils.data.TensorDataset(*(rows.column(name) for name in names))
    loader: Any = torch.utils.data.DataLoader(whole, batch_size=batch_size, shuffle=True)
    separate = task_of(model).separate_losses
    criterion: Any = None
    if engine is not None:
        made = PrivacyEngine(accountant="rdp").make_private(
            module=model, optimizer=optimizer, data_loader=loader, criterion=torch.nn.CrossEntropyLoss(),
            noise_multiplier=1.0, max_grad_norm=1.0, grad_sample_mode=engine,
        )  # fmt: skip
        model, optimizer, *criteria, loader = made
        criterion = criteria[0] if criteria else None

    def batches() -> Iterator[dict[str, torch.Tensor]]:
        while True:
            for columns in loader:
                yield {name: values.to(device) for name, values in zip(names, columns, strict=True)}

    started = 0.0
    for step, batch in enumerate(batches()):
        if step == 1:
            started = now(device)
        if step > steps:
            break
        optimizer.zero_grad()
        if criterion is not None:
            labels = batch.pop("labels")
            loss = criterion(model(**batch).logits, labels)
        elif engine is not None:
            loss = separate(model, batch).mean()  # the Trainer's mean over tokens would couple the rows
        else:
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
    return (now(device) - started) / steps


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.gpu and not torch.cuda.is_available():
        raise SystemExit("--gpu: there is no GPU that PyTorch sees")
    device = torch.device("cuda" if options.gpu else "cpu")
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    # Of what was imported: the checkout may move on while this runs.
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result: dict[str, Any] = {"rounds": options.rounds}
    for case in options.cases:
        seconds: dict[str, list[float]] = {}
        errors: dict[str, str] = {}
        ways = ["bare", "trainer", *WAYS, *ENGINES]
        for number in range(options.rounds):
            for way in reversed(ways) if number % 2 else ways:
                if way in errors:
                    continue
                steps = max(2, CASES[case][2] // 4) if way in SLOW else CASES[case][2]
                try:
                    if way == "bare" or way in ENGINES:
                        found = by_loop(case, ENGINES.get(way), steps, device)
                    else:
                        found = by_trainer(case, way, steps, device)
                except Exception as error:  # of any kind: what a peer raises is the finding
                    if way in ("bare", "trainer", "auto"):
                        raise
                    errors[way] = f"{type(error).__name__}: {one_line(error, longest=200)}"
                    continue
                seconds.setdefault(way, []).append(found)
        medians = {way: statistics.median(found) for way, found in seconds.items()}
        entry = {
            "milliseconds_a_step": {way: round(1e3 * value, 2) for way, value in medians.items()},
            "auto_over": {
                way: round(statistics.median(a / b for a, b in zip(seconds["auto"], found, strict=True)), 3)
                for way, found in seconds.items()
                if way != "auto"
            },
            "limit_over_trainer": LIMITS[case],
            "errors": errors,
        }
        result[case] = entry
        print(case, json.dumps(entry), flush=True)
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
