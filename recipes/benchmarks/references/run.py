"""Reference models against the bare loop: what do the trainer, the store and the sharing of work cost?

Trains the references of a recipe four ways in one run, in turn, several rounds:

- bare: a plain PyTorch loop over the same training sets, one model after the other, then one pass for the signals; in
  a process of its own, whose start is left out;
- ours: `hf-privacy audit`'s reference stage, worker processes and their start included;
- ours by the Trainer: the same references by the stock loop of the same trainers, in one process with one thread, for
  a few of the models; scaled to all, as if each core had such a process that had started already;
- stock: `transformers.Trainer` with its own sampler and collator, for a few of the models, scaled to all.

Run: python recipes/benchmarks/references/run.py --data path/to/location30.parquet
     python recipes/benchmarks/references/run.py --recipe cifar10 --data path/to/cifar10_train.parquet --epochs 3
     python recipes/benchmarks/references/run.py --gpu
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import timm
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PrinterCallback, Trainer, TrainingArguments

from hf_privacy.auditing import versions
from hf_privacy.cli import main as command_line
from hf_privacy.cli.audit import reference_workers
from hf_privacy.recipe import Experiment, Recipe, RunFolder, prepare
from hf_privacy.references import ReferenceRun, reference_run, reference_trainer
from hf_privacy.signals import compute_signals

HERE = Path(__file__).parent
RECIPES = {
    "location30": HERE.parents[1] / "tabular_classification" / "location30.yaml",
    "cifar10": HERE.parents[1] / "image_classification" / "cifar10.yaml",
}
INPUTS = {"location30": "features", "cifar10": "pixel_values"}
SIGNAL_BATCH = 512


def bare_model(name: str, experiment: Experiment) -> nn.Module:
    """The recipe's network as plain PyTorch, or plain timm, has it."""
    n_classes = len(experiment.classes)
    if name == "cifar10":
        return timm.create_model("resnet10t", num_classes=n_classes)
    return nn.Sequential(nn.Linear(446, 512), nn.ReLU(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, n_classes))


def bare_loop(name: str, run: ReferenceRun, experiment: Experiment) -> float:
    """Seconds for a plain loop over all references."""
    training, queries = experiment.recipe.training, experiment.recipe.audit.queries
    inputs, labels = run.audit_dataset.column(INPUTS[name]), run.audit_dataset.column("labels")
    augment = run.train_pool.augmentation
    started = time.perf_counter()
    for number in range(run.plan.n_models):
        torch.manual_seed(run.plan.model_seed(number))
        model = bare_model(name, experiment)
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=training["learning_rate"],
            momentum=training["momentum"],
            weight_decay=training["weight_decay"],
        )
        rows = torch.from_numpy(run.plan.training_indices(number))
        batch_size, epochs = training["per_device_train_batch_size"], training["num_train_epochs"]
        n_steps = epochs * -(-len(rows) // batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        for _ in range(epochs):
            order = rows[torch.randperm(len(rows))]
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                given = inputs[batch] if augment is None else augment(inputs[batch])
                optimizer.zero_grad()
                F.cross_entropy(model(given), labels[batch]).backward()
                optimizer.step()
                if training["lr_scheduler_type"] == "cosine":
                    schedule.step()
        model.eval()
        with torch.inference_mode():
            for query in queries:
                for part, targets in zip(inputs.split(SIGNAL_BATCH), labels.split(SIGNAL_BATCH), strict=True):
                    seen = part.flip(-1) if query == "flip" else part
                    F.cross_entropy(model(seen), targets, reduction="none").double().numpy()
    return time.perf_counter() - started


def bare_apart(options: argparse.Namespace, output_dir: str) -> float:
    """Seconds of `bare_loop` in a fresh process, in which nothing of ours has set anything."""
    command = [sys.executable, __file__, "--recipe", options.recipe, "--data", options.data, "--bare-in", output_dir]
    command += ["--references", str(options.references)]
    if options.epochs is not None:
        command += ["--epochs", str(options.epochs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def by_the_trainer(run: ReferenceRun, experiment: Experiment, *, n_models: int, processes: int) -> float:
    """Seconds for our trainers' stock loop, over ``n_models`` references with one thread, scaled to all of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started = time.perf_counter()
    for number in range(n_models):
        with tempfile.TemporaryDirectory() as output_dir:
            rows = run.train_pool.subset(run.plan.training_indices(number))
            seed = run.plan.model_seed(number)
            clone = reference_trainer(run.trainer, rows, seed=seed, output_dir=output_dir)
            clone.train()
        compute_signals(clone.model, run.audit_dataset, queries=experiment.recipe.audit.queries)
    seconds = (time.perf_counter() - started) * run.plan.n_models / n_models
    torch.set_num_threads(threads)
    return seconds / processes


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
        compute_signals(trainer.model, run.audit_dataset, queries=experiment.recipe.audit.queries)
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
    """Measure, print, and write the figures into result.json, beside those of the other recipes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", choices=RECIPES, default="location30")
    parser.add_argument("--data", help="the recipe's data as parquet: features and label, or img and label")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--references", type=int, default=16)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--stock-models", type=int, default=2, help="models of the scaled ways, each round")
    parser.add_argument("--gpu", action="store_true", help="ours on a GPU beside an eager and a CUDA graph loop")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    parser.add_argument("--bare-in", help=argparse.SUPPRESS)  # the bare loop alone, of the run in this folder
    options = parser.parse_args()
    if options.gpu:
        sys.path.insert(0, str(HERE))
        from gpu import measured

        write("gpu", measured(rounds=options.rounds), options.output)
        return
    if options.data is None:
        parser.error("--data is missing: pass the recipe's data as a parquet file")
    with tempfile.TemporaryDirectory() as temporary:
        output_dir = options.bare_in or str(Path(temporary) / "run")
        keys = {
            "data.name_or_path": options.data,
            "output_dir": output_dir,
            "audit.references": str(options.references),
            "audit.targets": "1",
        }
        if options.epochs is not None:
            keys["training.num_train_epochs"] = str(options.epochs)
        if options.bare_in is not None:
            recipe = Recipe.load(RECIPES[options.recipe]).override(keys)
            experiment = prepare(recipe, with_repeats=False)
            print(bare_loop(options.recipe, make_run(experiment, RunFolder(Path(output_dir))), experiment))
            return
        flags = [word for key, value in keys.items() for word in (f"--{key}", value)]
        if command_line(["train", "--config", str(RECIPES[options.recipe]), *flags]) != 0:
            raise SystemExit(2)
        recipe = Recipe.load(RECIPES[options.recipe]).override(keys)
        experiment, folder = prepare(recipe, with_repeats=False), RunFolder(Path(output_dir))
        run = make_run(experiment, folder)
        cores = len(os.sched_getaffinity(0))
        few = {"n_models": min(options.stock_models, options.references)}
        seconds: dict[str, list[float]] = {"bare": [], "ours": [], "ours_by_the_trainer": [], "stock": []}
        for number in range(options.rounds):
            seconds["bare"].append(bare_apart(options, output_dir))
            seconds["ours"].append(ours(recipe, experiment, folder))
            seconds["ours_by_the_trainer"].append(by_the_trainer(run, experiment, processes=cores, **few))
            seconds["stock"].append(stock_trainer(run, experiment, **few))
            print(f"round {number + 1}:", {name: round(values[-1], 1) for name, values in seconds.items()}, flush=True)
    ratios = {
        name: statistics.median(value / bare for value, bare in zip(values, seconds["bare"], strict=True))
        for name, values in seconds.items()
        if name != "bare"
    }
    result = {
        "references": options.references,
        "rounds": options.rounds,
        "epochs": experiment.recipe.training["num_train_epochs"],
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "median_ratio_to_bare": {name: round(value, 3) for name, value in ratios.items()},
        "cores": cores,
    }
    write(options.recipe, result, options.output)


def write(part: str, result: dict, path: Path) -> None:
    """One part of the file, the others as they are."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    result |= {"machine": platform.machine(), "commit": commit.stdout.strip(), "versions": versions()}
    parts = json.loads(path.read_text()) if path.exists() else {}
    parts = {name: old for name, old in parts.items() if name in (*RECIPES, "gpu")}
    path.write_text(json.dumps(parts | {part: result}, indent=2) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name.startswith("median")}))


if __name__ == "__main__":
    main()
