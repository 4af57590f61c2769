"""Reference adapters trained side by side: what does a stack of eight save, beside one after another?

In one run, in turn, several rounds, eight LoRA references of one base, each on rows of its own:

- stacked: all eight at once, as `hf-privacy audit` trains them;
- lean: one after another, by the lean loop;
- trainer: one after another, by the Trainer's own loop.

By default the base is a Llama from scratch of stories260K's shape; `--model` takes a folder or a Hub id. Every way
takes the same steps on the same batches; what is counted is a whole training, its start included. On the CPU one
thread works, and its processor time counts, whoever else is at work; on a GPU the clock does.

Run: python recipes/benchmarks/stacked/run.py                 # --gpu on a GPU
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
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from hf_privacy.auditing import versions
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.models import attach_lora, on_the_same_weights
from hf_privacy.references import reference_trainer
from hf_privacy.references.stacked import train_stacked

HERE = Path(__file__).parent
STORIES = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 172,
    "num_hidden_layers": 5,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def base_model(name: str | None) -> torch.nn.Module:
    """The checkpoint, or a Llama from scratch, the same each time."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**STORIES)) if name is None else AutoModelForCausalLM.from_pretrained(name)


def token_rows(n: int, length: int, vocabulary: int) -> TensorDataset:
    """Rows of random tokens, all scored but the first."""
    ids = torch.randint(3, vocabulary, (n, length), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, 0] = -100
    tensors = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    return TensorDataset(tensors, padding_side="right", sequence_columns=list(tensors))


def clones(options: argparse.Namespace, base: torch.nn.Module, rows: TensorDataset, folder: str) -> list:
    """Trainers of the references, each with half of the rows and a seed of its own."""

    def model_init() -> torch.nn.Module:
        return attach_lora(on_the_same_weights(base), {"r": options.rank}, task="causal-lm").train()

    args = PrivacyConfig(
        f"{folder}/target",
        max_steps=options.steps,
        per_device_train_batch_size=options.batch_size,
        learning_rate=1e-3,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not options.gpu,
    )
    target = PrivacyTrainer(args=args, model_init=model_init, train_dataset=rows)
    halves = [
        torch.randperm(len(rows), generator=torch.Generator().manual_seed(number))[: len(rows) // 2].numpy()
        for number in range(options.references)
    ]
    return [
        reference_trainer(target, rows.subset(half), seed=number, output_dir=f"{folder}/{number}")
        for number, half in enumerate(halves)
    ]


def stacked(trainers: list) -> None:
    """All at once."""
    reason = train_stacked(trainers)
    if reason is not None:
        raise SystemExit(f"the references {reason}")


def lean(trainers: list) -> None:
    """One after another, by the lean loop."""
    for trainer in trainers:
        trainer.train_lean()


def stock(trainers: list) -> None:
    """One after another, by the Trainer's own loop."""
    for trainer in trainers:
        trainer.train()


WAYS: dict[str, Callable[[list], None]] = {"stacked": stacked, "lean": lean, "trainer": stock}


def now(gpu: bool) -> float:
    """Seconds: on a GPU by the clock, once it is done; on the CPU of this process' one thread."""
    if gpu:
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder or Hub id of the base")
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gpu", action="store_true", help="on a GPU; in less than four minutes")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.gpu and not torch.cuda.is_available():
        raise SystemExit("--gpu is set and there is no GPU here: leave it out")
    options.output = options.output or HERE / ("result_gpu.json" if options.gpu else "result.json")
    torch.set_num_threads(1)
    # Of what was imported: the checkout may move on while this runs.
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    base = base_model(options.model)
    rows = token_rows(64 * options.batch_size, options.length, base.config.vocab_size)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for round_number in range(options.rounds + 1):
            for name, train in WAYS.items():
                trainers = clones(options, base, rows, folder)
                started = now(options.gpu)
                train(trainers)
                if round_number:  # the first warms up
                    seconds[name].append(now(options.gpu) - started)
            # As while an audit trains references: what is loaded by now stays out of garbage collection.
            gc.freeze()
            if round_number:
                last = {name: round(values[-1], 3) for name, values in seconds.items()}
                print(f"round {round_number}:", last, flush=True)

    def ratio(name: str, other: str) -> float:
        return round(statistics.median(a / b for a, b in zip(seconds[name], seconds[other], strict=True)), 3)

    settings = ("model", "references", "rank", "batch_size", "length", "steps", "rounds")
    result = {
        **{name: getattr(options, name) for name in settings},
        "seconds": {name: [round(value, 3) for value in values] for name, values in seconds.items()},
        "median_ratio": {
            "stacked_to_lean": ratio("stacked", "lean"),
            "stacked_to_trainer": ratio("stacked", "trainer"),
            "lean_to_trainer": ratio("lean", "trainer"),
        },
        "device": torch.cuda.get_device_name() if options.gpu else "cpu, one thread",
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["median_ratio"]))


if __name__ == "__main__":
    main()
