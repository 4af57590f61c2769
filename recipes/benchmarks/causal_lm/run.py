"""Causal language models: what do training, signals and references cost beyond what a bare loop of transformers costs?

In one run, in turn, several rounds, on two Llamas from scratch: a small one, whose steps are short, and one with a
vocabulary of 32,000, whose logits weigh more than all its layers:

- training steps of `PrivacyTrainer` against a bare loop of transformers on the same batches, all weights and LoRA;
- `token_signals` against a plain forward pass over the same batches;
- the memory of forward pass, loss and backward pass against that of the plain forward pass that a step begins with,
  and against transformers' own loss;
- eight references with adapters, trained and scored by `hf_privacy.references`, against a loop of transformers and
  peft that loads the base, trains an adapter and makes one plain pass, eight times.

On the CPU one thread works, and its processor time counts, whoever else is at work. Memory is what PyTorch allocates
at most beyond weights and batch.

Run: python recipes/benchmarks/causal_lm/run.py                 # --device cuda on a GPU
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch.profiler import ProfilerActivity, profile
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PrinterCallback,
    TrainerCallback,
    get_linear_schedule_with_warmup,
    set_seed,
)

from hf_privacy.auditing import versions
from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.models import load_model
from hf_privacy.references import reference_run
from hf_privacy.signals import token_signals
from hf_privacy.tasks import task_named

HERE = Path(__file__).parent
LORA = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}
RATE = 1e-3
# The shape of stories260K with rows as its recipes have them; then a head that is larger than what it stands on.
SHAPES = {
    "small": {
        "config": {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5},
        "heads": (8, 4),
        "rows": 160,
        "batch_size": 16,
        "length": 128,
    },
    "large_vocabulary": {
        "config": {"vocab_size": 32_000, "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4},
        "heads": (8, 8),
        "rows": 24,
        "batch_size": 8,
        "length": 256,
    },
}


def base_model(shape: dict) -> LlamaForCausalLM:
    """The model from scratch, the same each time."""
    torch.manual_seed(0)
    heads, keys = shape["heads"]
    tokens = {"pad_token_id": 2, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 512}
    config = LlamaConfig(num_attention_heads=heads, num_key_value_heads=keys, **tokens, **shape["config"])
    return LlamaForCausalLM(config)


def token_rows(shape: dict) -> TensorDataset:
    """Random tokens, all scored but the first, in rows of half to the whole length, padded on the right."""
    generator = torch.Generator().manual_seed(0)
    size = (shape["rows"], shape["length"])
    ids = torch.randint(3, shape["config"]["vocab_size"], size, generator=generator)
    lengths = torch.randint(shape["length"] // 2, shape["length"] + 1, (size[0], 1), generator=generator)
    lengths[0] = shape["length"]
    mask = torch.arange(size[1]) < lengths
    tensors = {"input_ids": ids.where(mask, torch.tensor(2)), "attention_mask": mask.long()}
    tensors["labels"] = ids.where(mask, torch.tensor(-100))
    tensors["labels"][:, 0] = -100
    return TensorDataset(tensors, padding_side="right", sequence_columns=list(tensors), texts=["x"] * size[0])


def now(device: torch.device) -> float:
    """Seconds: on a GPU by the clock, once it is done; on the CPU of this process' one thread."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def seconds_of(function: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call."""
    started = now(device)
    function()
    return now(device) - started


def batches_of(rows: TensorDataset, batch_size: int, device: torch.device) -> list[dict[str, torch.Tensor]]:
    """All rows in their order."""
    numbers = [range(start, min(start + batch_size, len(rows))) for start in range(0, len(rows), batch_size)]
    return [{name: part.to(device) for name, part in rows.__getitems__(list(some)).items()} for some in numbers]


def train_bare(model: torch.nn.Module, rows: TensorDataset, batch_size: int, device: torch.device) -> float:
    """One epoch as transformers' examples have it: the model's own loss, AdamW, clipping, a linear schedule.

    Seconds from the end of the first step on.
    """
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, -(-len(rows) // batch_size))
    ends: list[float] = []
    for some in torch.randperm(len(rows)).split(batch_size):
        batch = {name: part.to(device) for name, part in rows.__getitems__(some.tolist()).items()}
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        ends.append(now(device))
    return ends[-1] - ends[0]


class _Clock(TrainerCallback):
    def __init__(self, device: torch.device) -> None:
        self.device, self.ends = device, []

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.ends.append(now(self.device))


def arguments(folder: str, batch_size: int, device: torch.device) -> PrivacyConfig:
    """The same settings for the trainer."""
    return PrivacyConfig(
        folder,
        num_train_epochs=1,
        per_device_train_batch_size=batch_size,
        learning_rate=RATE,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=device.type == "cpu",
    )


def train_ours(model: torch.nn.Module, rows: TensorDataset, batch_size: int, device: torch.device) -> float:
    """The same epoch by the trainer; seconds from the end of the first step on."""
    clock = _Clock(device)
    with tempfile.TemporaryDirectory() as folder:
        args = arguments(folder, batch_size, device)
        trainer = PrivacyTrainer(model, args, train_dataset=rows, callbacks=[clock])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.ends[-1] - clock.ends[0]


def plain_passes(model: torch.nn.Module, batches: list[dict[str, torch.Tensor]]) -> None:
    """The forward pass over all rows, logits and nothing else."""
    with torch.inference_mode():
        for batch in batches:
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])


def peak_of(function: Callable[[], object], device: torch.device) -> float:
    """Megabytes that one call has allocated at most, beyond what was there before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        function()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    current = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        current += event.nbytes()
        peak = max(peak, current)
    return peak / 1e6


def memory(shape: dict, device: torch.device) -> dict[str, float]:
    """Peaks in MB of a plain forward pass with its graph, of our loss and of transformers' own."""
    peaks: dict[str, float] = {}
    for kind in ("full", "lora"):
        model = adapted(base_model(shape), kind).to(device).train()
        batch = batches_of(token_rows(shape), shape["batch_size"], device)[0]
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}

        ours = partial(_ours, model, batch)
        ours()  # gradients are there before anything is measured: they belong to the optimizer's step
        peaks[f"{kind}_forward"] = peak_of(partial(model, **inputs), device)
        peaks[f"{kind}_loss"] = peak_of(ours, device)
        peaks[f"{kind}_transformers_loss"] = peak_of(partial(_stock, model, batch), device)
    return {name: round(value, 1) for name, value in peaks.items()}


def _ours(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> None:
    task = task_named("causal-lm")
    task.mean_loss(task.forward(model, batch), batch, average="token").backward()


def _stock(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> None:
    model(**batch).loss.backward()


def adapted(model: torch.nn.Module, kind: str) -> torch.nn.Module:
    """The model itself, or with a fresh adapter."""
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **LORA)) if kind == "lora" else model


def compare(shape: dict, rounds: int, device: torch.device) -> dict:
    """Seconds of an epoch and of a pass, by round."""
    rows = token_rows(shape)
    batches = batches_of(rows, shape["batch_size"], device)
    seconds: dict[str, list[float]] = {}

    for number in range(rounds + 1):
        if number == 1:
            seconds.clear()  # the first round warms up
        measured = {}
        for kind in ("full", "lora"):
            for name, train in {"bare": train_bare, "trainer": train_ours}.items():
                model = adapted(base_model(shape), kind).to(device)
                measured[f"{kind}_{name}"] = train(model, rows, shape["batch_size"], device)
        model = base_model(shape).to(device).eval()
        measured["forward"] = seconds_of(partial(plain_passes, model, batches), device)
        measured["signals"] = seconds_of(partial(token_signals, model, rows, batch_size=shape["batch_size"]), device)
        for name, value in measured.items():
            seconds.setdefault(name, []).append(value)
        print(number, {name: round(values[-1], 2) for name, values in seconds.items()}, flush=True)
    pairs = {"training_full": ("full_trainer", "full_bare"), "training_lora": ("lora_trainer", "lora_bare")}
    pairs["signals"] = ("signals", "forward")
    return {"seconds": rounded(seconds), "median_ratio": ratios(seconds, pairs)}


def rounded(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """For the file."""
    return {name: [round(value, 3) for value in values] for name, values in seconds.items()}


def ratios(seconds: dict[str, list[float]], pairs: dict[str, tuple[str, str]]) -> dict[str, float]:
    """Medians over the rounds of ours ÷ theirs in the same round."""
    return {
        name: round(statistics.median(a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True)), 3)
        for name, (ours, theirs) in pairs.items()
    }


def compare_references(shape: dict, rounds: int, n_models: int, device: torch.device) -> dict:
    """Seconds of all references, by round."""
    rows = token_rows(shape)
    half = np.arange(len(rows)) % 2 == 0
    split = MembershipSplit(
        np.flatnonzero(half), np.flatnonzero(~half), [], n_examples=len(rows), dataset_fingerprint="synthetic"
    )
    seconds: dict[str, list[float]] = {"ours": [], "loop": []}
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / "base"
        base_model(shape).save_pretrained(base)

        def ours(number: int) -> None:
            trainer = PrivacyTrainer(
                model_init=lambda: load_model(base, task="causal-lm", lora=LORA),
                args=arguments(temporary, shape["batch_size"], device),
                train_dataset=rows.subset(split.members),
            )
            folder = Path(temporary) / f"references_{number}"
            run = reference_run(trainer, rows, split, folder, n_models=n_models)
            seconds["ours"].append(seconds_of(run.train, device))

        def loop() -> None:
            for number in range(n_models):
                set_seed(number)
                model = AutoModelForCausalLM.from_pretrained(base).to(device)
                model = adapted(model, "lora")
                some = rows.subset(np.random.permutation(len(rows))[: len(rows) // 2])
                train_bare(model, some, shape["batch_size"], device)
                model.eval()
                plain_passes(model, batches_of(rows, shape["batch_size"], device))

        for number in range(rounds):
            ours(number)
            seconds["loop"].append(seconds_of(loop, device))
            print(number, {name: round(values[-1], 2) for name, values in seconds.items()}, flush=True)
    return {
        "models": n_models,
        "seconds": rounded(seconds),
        "median_ratio": ratios(seconds, {"all": ("ours", "loop")}),
    }


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    result: dict = {"rounds": options.rounds}
    for name, shape in SHAPES.items():
        result[name] = {**compare(shape, options.rounds, device), "peak_megabytes": memory(shape, device)}
        print(name, result[name]["median_ratio"], result[name]["peak_megabytes"], flush=True)
    rounds = max(1, options.rounds - 2)
    result["references"] = compare_references(SHAPES["small"], rounds, options.references, device)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result |= {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu, one thread",
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["references"]["median_ratio"]))


if __name__ == "__main__":
    main()
