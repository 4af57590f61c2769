"""Choose each defence's hyper-parameters on data that no table measures.

    python recipes/defenses/search.py --config recipes/defenses/location30_search.yaml --data path/to/train.parquet

Every setting of the grid trains one model on the members of the base recipe, under a seed that no comparison uses.
What is looked at is the population, which is neither member nor non-member: its accuracy, and how well the loss tells
it from the members. Of the settings within two points of the undefended model's accuracy the one that leaks least is
taken; where there is none (or the grid says ``by: accuracy``, as for a given budget of differential privacy), the most
accurate.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from transformers import PrinterCallback

from hf_privacy.recipe import Recipe, prepare
from hf_privacy.signals import compute_signals
from hf_privacy.statistics import auc

ACCURACY_LOSS = 0.02


def main() -> None:
    """Search, print, and write the result beside the grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="the grid (YAML)")
    parser.add_argument("--data", help="overrides data.name_or_path of the base recipe")
    arguments = parser.parse_args()
    config = Path(arguments.config)
    grid = yaml.safe_load(config.read_text(encoding="utf-8"))
    base = (
        Recipe.load(config.parent / grid["recipe"])
        .override(
            {**flattened(grid.get("overrides", {})), "training.seed": grid["seed"], "data.member_seed": grid["seed"]}
        )
        .override({"training.logging_strategy": "'no'", "training.disable_tqdm": True})
    )
    if arguments.data:
        base = base.override({"data.name_or_path": arguments.data})
    started = time.perf_counter()
    undefended = measured(base, {})
    print(f"none: accuracy {undefended['accuracy']:.3f}, LOSS AUC {undefended['auc']:.3f}")
    chosen = {"none": undefended}
    for name, entry in grid["defenses"].items():
        trials = []
        for values in itertools.product(*entry["grid"].values()):
            setting = dict(zip(entry["grid"], values, strict=True))
            figures = measured(base.override({"defense": entry.get("defense", name)}), {**entry["fixed"], **setting})
            print(f"{name} {setting}: accuracy {figures['accuracy']:.3f}, LOSS AUC {figures['auc']:.3f}", flush=True)
            trials.append({"setting": setting, **figures})
        floor = undefended["accuracy"] - ACCURACY_LOSS
        fit = [trial for trial in trials if trial["accuracy"] >= floor] if entry.get("by") != "accuracy" else []
        best = min(fit, key=lambda t: t["auc"]) if fit else max(trials, key=lambda t: t["accuracy"])
        chosen[name] = {**best, "n_trials": len(trials)}
        print(f"{name}: {best['setting']}")
    result = {"seconds": time.perf_counter() - started, "chosen": chosen}
    config.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def flattened(values: dict, prefix: str = "") -> dict:
    """Nested sections as dotted keys."""
    flat = {}
    for key, value in values.items():
        flat.update(flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def measured(recipe: Recipe, training: dict) -> dict[str, float]:
    """One model: accuracy on the population, and the AUC of the loss between it and as many members."""
    recipe = recipe.override({f"training.{key}": value for key, value in training.items()})
    experiment = prepare(recipe, with_repeats=False)
    split = experiment.split
    with tempfile.TemporaryDirectory() as folder:
        trainer = experiment.trainer(output_dir=folder)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    rows = np.concatenate([split.members, split.population])
    signals = compute_signals(trainer.model, experiment.dataset.subset(rows))
    member = np.arange(len(rows)) < len(split.members)
    return {
        "accuracy": float(signals["correct"][0][~member].mean()),
        "auc": auc(-signals["loss"][0], member),
    }


if __name__ == "__main__":
    main()
