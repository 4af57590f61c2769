"""Reference models against the bare loop: what does the Trainer, the store and the sharing of work cost?

Trains the references of the location30 recipe three ways in one run, in turn, several rounds:

- bare: a plain PyTorch loop over the same training sets, one model after the other, then one pass for the signals;
- ours: `hf-privacy audit`'s reference stage, worker processes and their start included;
- stock: `transformers.Trainer` with its own sampler and collator, for a few of the models, scaled to all.

Run: python recipes/benchmarks/references/run.py --data path/to/location30.parquet
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PrinterCallback, Trainer, TrainingArguments

from hf_privacy.auditing import versions
from hf_privacy.cli import main as command_line
from hf_privacy.cli.audit import reference_workers
from hf_privacy.recipe import Experiment, Recipe, RunFolder, prepare
from hf_privacy.references import ReferenceRun, reference_run
from hf_privacy.signals import compute_signals

HERE = Path(__file__).parent
RECIPE = HERE.parents[1] / "tabular_classification" / "location30.yaml"


def bare_loop(run: ReferenceRun, experiment: Experiment) -> float:
    """Seconds for a plain loop over all references."""
    training = experiment.recipe.training
    features, labels = run.audit_dataset.column("features"), run.audit_dataset.column("labels")
    started = time.perf_counter()
    for number in range(run.plan.n_models):
        torch.manual_seed(run.plan.model_seed(number))
        model = nn.Sequential(
            nn.Linear(446, 512), nn.ReLU(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, len(experiment.classes))
        )
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=training["learning_rate"],
            momentum=training["momentum"],
            weight_decay=training["weight_decay"],
        )
        rows = torch.from_numpy(run.plan.training_indices(number))
        batch_size = training["per_device_train_batch_size"]
        for _ in range(training["num_train_epochs"]):
            order = rows[torch.randperm(len(rows))]
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                optimizer.zero_grad()
                F.cross_entropy(model(features[batch]), labels[batch]).backward()
                optimizer.step()
        with torch.inference_mode():
            F.cross_entropy(model(features), labels, reduction="none").double().numpy()
    return time.perf_counter() - started


def ours(recipe: Recipe, experiment: Experiment, folder: RunFolder) -> float:
    """Seconds for the reference stage of an audit into an empty store, with its worker processes."""
    shutil.rmtree(folder.private / "references", ignore_errors=True)
    threads = torch.get_num_threads()
    started = time.perf_counter()
    make_run(experiment, folder).train(workers=reference_workers(recipe, folder))
    seconds = time.perf_counter() - started
    torch.set_num_threads(threads)
    return seconds


def stock_trainer(run: ReferenceRun, experiment: Experiment, *, n_models: int) -> float:
    """Seconds for the stock Trainer over ``n_models`` of the references, scaled to all of them."""
    training = dict(experiment.recipe.training)
    momentum = training.pop("momentum")
    started = time.perf_counter()
    for number in range(n_models):
        rows = run.train_pool.subset(run.plan.training_indices(number))
        with tempfile.TemporaryDirectory() as output_dir:
            trainer = Trainer(
                model=experiment.model_init(),
                args=TrainingArguments(
                    output_dir=output_dir,
                    report_to="none",
                    save_strategy="no",
                    logging_strategy="no",
                    disable_tqdm=True,
                    seed=run.plan.model_seed(number),
                    **training,
                ),
                train_dataset=[rows[position] for position in range(len(rows))],
                optimizer_cls_and_kwargs=(torch.optim.SGD, {"lr": training["learning_rate"], "momentum": momentum}),
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        compute_signals(trainer.model, run.audit_dataset)
    return (time.perf_counter() - started) * run.plan.n_models / n_models


def make_run(experiment: Experiment, folder: RunFolder) -> ReferenceRun:
    """The recipe's references over the store in ``folder``."""
    options = experiment.recipe.audit
    return reference_run(
        experiment.trainer(output_dir=folder.private),
        experiment.dataset,
        experiment.split,
        folder.private / "references",
        n_models=options.references,
        seed=options.reference_seed,
        queries=options.queries,
    )


def main() -> None:
    """Measure, print, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="location30 as parquet: features, label")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--references", type=int, default=16)
    parser.add_argument("--stock-models", type=int, default=2, help="models the stock Trainer trains each round")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        output_dir = str(Path(temporary) / "run")
        keys = {
            "data.name_or_path": options.data,
            "output_dir": output_dir,
            "audit.references": str(options.references),
            "audit.targets": "1",
        }
        flags = [word for key, value in keys.items() for word in (f"--{key}", value)]
        if command_line(["train", "--config", str(RECIPE), *flags]) != 0:
            raise SystemExit(2)
        recipe = Recipe.load(RECIPE).override(keys)
        experiment, folder = prepare(recipe, with_repeats=False), RunFolder(Path(output_dir))
        run = make_run(experiment, folder)
        seconds: dict[str, list[float]] = {"bare": [], "ours": [], "stock": []}
        for number in range(options.rounds):
            seconds["bare"].append(bare_loop(run, experiment))
            seconds["ours"].append(ours(recipe, experiment, folder))
            seconds["stock"].append(stock_trainer(run, experiment, n_models=options.stock_models))
            print(f"round {number + 1}:", {name: round(values[-1], 1) for name, values in seconds.items()}, flush=True)
    ratios = {
        name: statistics.median(value / bare for value, bare in zip(seconds[name], seconds["bare"], strict=True))
        for name in ("ours", "stock")
    }
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result = {
        "references": options.references,
        "rounds": options.rounds,
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "median_ratio_to_bare": {name: round(value, 3) for name, value in ratios.items()},
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "commit": commit.stdout.strip(),
        "versions": versions(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["median_ratio_to_bare"]))


if __name__ == "__main__":
    main()
