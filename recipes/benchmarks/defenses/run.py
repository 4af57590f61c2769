"""What a defence costs: its training step against the stock Trainer's and against a bare loop's.

Each defence that is not differentially private (those are in ``benchmarks/dp``) trains the same model on the same rows
as

- bare: a plain PyTorch loop with the same optimizer and clipping;
- stock: `transformers.Trainer` with its own sampler and collator;
- none: `PrivacyTrainer`, the undefended baseline;

in turn, several rounds; a step's time is that of the steps after the first few. Models: an MLP on 446 binary features
(of location30's shape), a ResNet on 32 × 32 images, a small BERT, and a small Llama with a LoRA adapter. All rows are
made up.

With ``--gpu``: timm's ResNet-18 on 32 × 32 images, batch 256, bfloat16, and how often a step waits for the device.

Run: python recipes/benchmarks/defenses/run.py
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
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    ViTImageProcessor,
)

from hf_privacy.auditing import versions
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import DEFENSES, trainer_class
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification, load_model
from hf_privacy.tasks import task_of

HERE = Path(__file__).parent
WARM = 5  # steps before the clock runs
ATTACKED = {"epsilon": 8 / 255, "n_steps": 3}
SETTINGS = {"adversarial": ATTACKED, "demem": ATTACKED}
# For what the CUDA runtime makes the host wait.
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")


class Case:
    """A model, rows for so many steps of one batch size, and the optimizer's settings."""

    def __init__(self, make: Callable[[], Any], columns: Callable[[int], dict], *, batch: int, steps: int) -> None:
        self.make, self.batch, self.steps = make, batch, steps
        n_rows = batch * (WARM + steps + 1)  # no epoch ends within what is timed
        self.texts = "attention_mask" in columns(1)
        self.rows = self.dataset(columns(n_rows))
        self.validation = self.dataset(columns(2 * batch))
        self.with_paraphrases = self.dataset(columns(2 * n_rows)).halved()

    def dataset(self, columns: dict) -> TensorDataset:
        names = [name for name in columns if columns[name].ndim == 2] if self.texts else []
        return TensorDataset(columns, padding_side="right" if self.texts else None, sequence_columns=names)


def mlp() -> Case:
    config = TabularMLPConfig(input_size=446, hidden_sizes=[512, 128], num_labels=30)
    return Case(
        lambda: TabularMLPForClassification(config),
        lambda n: {"features": torch.randint(0, 2, (n, 446)).float(), "labels": torch.randint(0, 30, (n,))},
        batch=32,
        steps=60,
    )


def images(architecture: str, *, batch: int, steps: int) -> Case:
    scratch = {"task": "image-classification", "num_labels": 10, "from_scratch": True}
    return Case(
        lambda: load_model(f"timm:{architecture}", **scratch),
        lambda n: {"pixel_values": torch.rand(n, 3, 32, 32) * 2 - 1, "labels": torch.randint(0, 10, (n,))},
        batch=batch,
        steps=steps,
    )


def tokens(n: int, *, length: int = 64, vocabulary: int = 1000) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.randint(length // 2, length + 1, (n,))
    mask = (torch.arange(length) < lengths[:, None]).long()
    return torch.randint(3, vocabulary, (n, length)) * mask, mask


def bert() -> Case:
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    config = BertConfig(vocab_size=1000, num_labels=4, **sizes)

    def columns(n: int) -> dict:
        ids, mask = tokens(n)
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.randint(0, 4, (n,))}

    return Case(lambda: BertForSequenceClassification(config), columns, batch=16, steps=20)


def llama() -> Case:
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    config = LlamaConfig(vocab_size=1000, pad_token_id=0, **sizes)

    def make() -> Any:
        adapter = LoraConfig(target_modules="all-linear", r=8, task_type="CAUSAL_LM")
        return get_peft_model(AutoModelForCausalLM.from_config(config), adapter)

    def columns(n: int) -> dict:
        ids, mask = tokens(n)
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.where(mask == 1, ids, -100)}

    return Case(make, columns, batch=8, steps=20)


class Clock(TrainerCallback):
    """Seconds a step after the first few, and what the profiler saw in the last ones, where it is asked."""

    def __init__(self, device: torch.device, *, profiled: int = 0) -> None:
        self.device, self.profiled = device, profiled
        self.seconds, self.waits = float("nan"), float("nan")

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        timed_until = state.max_steps - self.profiled
        if state.global_step == WARM:
            self._started = self.now()
        if state.global_step == timed_until:
            self.seconds = (self.now() - self._started) / (timed_until - WARM)
            if self.profiled:
                kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
                self._profiler = torch.profiler.profile(activities=kinds)
                self._profiler.start()
        elif state.global_step == state.max_steps and self.profiled:
            self._profiler.stop()
            seen = self._profiler.events()
            self.waits = sum(event.name in WAITS for event in seen) / self.profiled


def arguments(case: Case, folder: str, *, gpu: bool, extra: int = 0) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "max_steps": WARM + case.steps + extra,
        "per_device_train_batch_size": case.batch,
        "learning_rate": 1e-3,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": not gpu,
        "bf16": gpu,
    }


def trained(trainer: Trainer, clock: Clock) -> Clock:
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    return clock


def defended(name: str, case: Case, device: torch.device, *, profiled: int = 0) -> Clock:
    """One training with a defence of the table."""
    kind = trainer_class(name)
    rows = case.with_paraphrases if name == "soft" else case.rows
    model = case.make()
    settings = SETTINGS.get(name, {}) if task_of(model).has_classes else {}
    others: dict[str, Any] = {"validation_dataset": case.validation} if kind.needs_validation else {}
    if "pixel_values" in rows.column_names:
        others["processing_class"] = ViTImageProcessor(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    with tempfile.TemporaryDirectory() as folder:
        given = arguments(case, folder, gpu=device.type == "cuda", extra=profiled)
        trainer = kind(model, kind.config_class(**given, **settings), train_dataset=rows, **others)
        return trained(trainer, Clock(device, profiled=profiled))


def stock(case: Case, device: torch.device, *, profiled: int = 0) -> Clock:
    """One training by `transformers.Trainer`."""
    rows = [case.rows[row] for row in range(len(case.rows))]
    with tempfile.TemporaryDirectory() as folder:
        given = arguments(case, folder, gpu=device.type == "cuda", extra=profiled)
        trainer = Trainer(case.make(), TrainingArguments(**given), train_dataset=rows)
        return trained(trainer, Clock(device, profiled=profiled))


def bare(case: Case, device: torch.device) -> float:
    """Seconds a step of a plain loop over rows that lie on the device."""
    model = case.make().to(device).train()
    columns = {name: case.rows.column(name).to(device) for name in case.rows.column_names}
    trained_weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained_weights, lr=1e-3, fused=True)
    clock, started = Clock(device), float("nan")
    of_tokens = columns["labels"].ndim == 2
    order = torch.randperm(len(case.rows), device=device)
    for step in range(WARM + case.steps):
        if step == WARM:
            started = clock.now()
        batch = {name: values[order[step * case.batch : (step + 1) * case.batch]] for name, values in columns.items()}
        labels = batch.pop("labels")
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = model(**batch).logits.float()
        if of_tokens:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        else:
            loss = F.cross_entropy(logits, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained_weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return (clock.now() - started) / case.steps


def names_for(case: Case) -> list[str]:
    task = task_of(case.make()).name
    kinds = {name: trainer_class(name) for name in DEFENSES}
    return [name for name, kind in kinds.items() if task in kind.tasks and not kind.is_private]


def measured(case: Case, device: torch.device, *, rounds: int) -> dict[str, dict[str, float]]:
    """By defence, the median over rounds of its step's milliseconds and of both ratios; on a GPU its waits."""
    profiled = 10 if device.type == "cuda" else 0
    seconds: dict[str, list[float]] = {}
    waits: dict[str, float] = {}
    for _ in range(rounds):
        seconds.setdefault("bare", []).append(bare(case, device))
        for name in ("stock", *names_for(case)):
            runs = stock if name == "stock" else lambda *given, name=name, **kwargs: defended(name, *given, **kwargs)
            clock = runs(case, device, profiled=profiled)
            seconds.setdefault(name, []).append(clock.seconds)
            waits[name] = clock.waits
    found: dict[str, dict[str, float]] = {}
    for name, of_rounds in seconds.items():
        found[name] = {"milliseconds": round(1e3 * statistics.median(of_rounds), 3)}
        for other in ("bare", "stock"):
            ratios = [mine / theirs for mine, theirs in zip(of_rounds, seconds[other], strict=True)]
            found[name][f"to_{other}"] = round(statistics.median(ratios), 3)
        if profiled and name in waits:
            found[name]["waits_a_step"] = waits[name]
    return found


def table(title: str, found: dict[str, dict[str, float]]) -> str:
    lines = [f"{title:24}{'ms':>9}{'÷ bare':>9}{'÷ stock':>9}{'waits':>8}"]
    for name, of_one in found.items():
        row = [of_one["milliseconds"], of_one["to_bare"], of_one["to_stock"], of_one.get("waits_a_step", "")]
        lines.append(f"  {name:22}{row[0]:9.2f}{row[1]:9.2f}{row[2]:9.2f}{row[3]:>8}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=["mlp", "resnet", "bert", "llama"], help="of the models")
    parser.add_argument("--steps", type=int, help="timed steps of each training, in place of each model's own")
    parser.add_argument("--gpu", action="store_true", help="ResNet-18 on a GPU, in place of all that")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.gpu and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA GPU here: --gpu measures nothing")
    gc.freeze()  # each train() begins with a collection, which walks through all that the imports made
    cases: dict[str, Callable[[], Case]] = {
        "mlp": mlp,
        "resnet": lambda: images("resnet10t", batch=32, steps=6),
        "bert": bert,
        "llama": llama,
    }
    if options.gpu:
        cases = {"resnet18, batch 256, bf16": lambda: images("resnet18", batch=256, steps=40)}
        options.only = list(cases)
    device = torch.device("cuda" if options.gpu else "cpu")
    found = {}
    for name in options.only:
        torch.manual_seed(0)
        case = cases[name]()
        case.steps = options.steps or case.steps
        found[name] = measured(case, device, rounds=options.rounds)
        print(table(name, found[name]), flush=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result = {
        "rounds": options.rounds,
        "steps": found,
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "machine": torch.cuda.get_device_name() if options.gpu else platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    output = options.output or HERE / ("result_gpu.json" if options.gpu else "result.json")
    output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
