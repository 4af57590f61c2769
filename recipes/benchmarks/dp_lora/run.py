"""DP-LoRA: what does a differentially private step cost beside the undefended LoRA step on the same batch?

In one run, in turn, several rounds, on three Llamas from scratch: one of stories260K's shape; one of width 256 with a
vocabulary of 2,000; and one with a head larger than all its layers. The step is forward pass, loss, gradients (for DP:
each row's own, clipped, summed and noised) and AdamW; both trainers do it as they do in training. `bookkeeping` is
what per_sample_gradients "auto" takes; `functional` is `torch.func.vmap`, `loop` one backward pass a row.

On the CPU one thread works, and its processor time counts, whoever else is at work.

Run: python recipes/benchmarks/dp_lora/run.py                 # --device cuda on a GPU
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
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback

from hf_privacy.auditing import versions
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import DPConfig, DPTrainer, PrivacyConfig, PrivacyTrainer

HERE = Path(__file__).parent
LORA = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}
SHAPES = {
    "stories260k": {
        "config": {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5},
        "heads": (8, 4),
        "batch_size": 16,
        "length": 128,
    },
    "width_256": {
        "config": {"vocab_size": 2000, "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6},
        "heads": (8, 8),
        "batch_size": 16,
        "length": 128,
    },
    "large_vocabulary": {
        "config": {"vocab_size": 32_000, "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4},
        "heads": (8, 8),
        "batch_size": 8,
        "length": 128,
    },
}
WAYS = ("bookkeeping", "functional", "loop")


def make_model(shape: dict, kind: str) -> torch.nn.Module:
    """The model from scratch, the same each time; "lora" with a fresh adapter on all linear layers."""
    torch.manual_seed(0)
    heads, keys = shape["heads"]
    tokens = {"pad_token_id": 2, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 512}
    config = LlamaConfig(num_attention_heads=heads, num_key_value_heads=keys, **tokens, **shape["config"])
    model = LlamaForCausalLM(config)
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **LORA)) if kind == "lora" else model


def token_rows(shape: dict) -> TensorDataset:
    """One batch of random tokens, all scored but the first, in rows of half to the whole length."""
    generator = torch.Generator().manual_seed(0)
    size = (shape["batch_size"], shape["length"])
    ids = torch.randint(3, shape["config"]["vocab_size"], size, generator=generator)
    lengths = torch.randint(size[1] // 2, size[1] + 1, (size[0], 1), generator=generator)
    lengths[0] = size[1]
    mask = torch.arange(size[1]) < lengths
    tensors = {"input_ids": ids.where(mask, torch.tensor(2)), "attention_mask": mask.long()}
    tensors["labels"] = ids.where(mask, torch.tensor(-100))
    tensors["labels"][:, 0] = -100
    return TensorDataset(tensors, padding_side="right", sequence_columns=list(tensors))


def now(device: torch.device) -> float:
    """Seconds: on a GPU by the clock, once it is done; on the CPU of this process' one thread."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


class Clock(TrainerCallback):
    """Marks the seconds at the end of each optimizer step."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.ends = device, []

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """One more."""
        self.ends.append(now(self.device))


def seconds_a_step(shape: dict, kind: str, way: str | None, steps: int, device: torch.device) -> float:
    """Median seconds of a step after the first; ``way`` None is the undefended trainer, on the same batch."""
    rows, clock = token_rows(shape), Clock(device)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {
            "output_dir": folder,
            "max_steps": steps + 1,
            "per_device_train_batch_size": len(rows),
            "learning_rate": 1e-4,
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": device.type == "cpu",
        }
        if way is None:
            trainer = PrivacyTrainer(make_model(shape, kind), PrivacyConfig(**settings), train_dataset=rows)
        else:
            # At a rate of 1 a Poisson batch is all rows: the same batch as the undefended trainer's.
            private = {"noise_multiplier": 1.0, "accountant": "rdp", "per_sample_gradients": way, "target_delta": 1e-5}
            trainer = DPTrainer(make_model(shape, kind), DPConfig(**settings, **private), train_dataset=rows)
        trainer.add_callback(clock)
        trainer.train()
    gaps = [later - sooner for sooner, later in zip(clock.ends, clock.ends[1:], strict=False)]
    return statistics.median(gaps)


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    # Of what was imported: the checkout may move on while this runs.
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result: dict = {"rounds": options.rounds, "steps": options.steps}
    for name, shape in SHAPES.items():
        seconds: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for kind in ("lora", "full"):
                ways = [None, *(WAYS if kind == "lora" else WAYS[:1])]
                for way in ways:
                    found = seconds_a_step(shape, kind, way, options.steps, device)
                    seconds.setdefault(f"{kind}_{way or 'undefended'}", []).append(found)
        ratios = {
            key: round(
                statistics.median(a / b for a, b in zip(values, seconds[f"{key[:4]}_undefended"], strict=True)), 3
            )
            for key, values in seconds.items()
            if not key.endswith("undefended")
        }
        result[name] = {
            "seconds_a_step": {key: [round(value, 4) for value in values] for key, values in seconds.items()},
            "median_ratio": ratios,
        }
        print(name, ratios, flush=True)
    result |= {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu, one thread",
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
