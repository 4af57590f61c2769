"""Choose each defence's hyper-parameters on data that no table measures.

    python recipes/defenses/search.py --config recipes/defenses/location30_search.yaml --data path/to/train.parquet

Every setting of the grid trains one model on the members of the base recipe, under a seed that no comparison uses.
What is looked at is the population, which is neither member nor non-member: its accuracy, and how well the loss tells
it from the members. Of the settings within two points of the undefended model's accuracy the one that leaks least is
taken; where there is none (or the grid says ``by: worth``, as for a given budget of differential privacy), the most
accurate. Of language models it is perplexity, lower is better, and within a twentieth of the undefended model's.
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
PERPLEXITY_RISE = 1.05


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
    print(f"none: {words(undefended)}", flush=True)
    chosen = {"none": undefended}
    for name, entry in grid["defenses"].items():
        trials = []
        for values in itertools.product(*entry["grid"].values()):
            setting = dict(zip(entry["grid"], values, strict=True))
            figures = measured(base.override({"defense": entry.get("defense", name)}), {**entry["fixed"], **setting})
            print(f"{name} {setting}: {words(figures)}", flush=True)
            trials.append({"setting": setting, **figures})
        fit = [trial for trial in trials if is_worth_enough(trial, undefended)] if entry.get("by") != "worth" else []
        # Leakage is read from both sides: a defence can leave members less likely than others.
        best = min(fit, key=lambda t: abs(t["auc"] - 0.5)) if fit else max(trials, key=worth)
        chosen[name] = {**best, "n_trials": len(trials), "trials": trials}
        print(f"{name}: {best['setting']}")
    result = {"seconds": time.perf_counter() - started, "chosen": chosen}
    config.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def worth(figures: dict[str, float]) -> float:
    """Higher is better: accuracy, or minus perplexity."""
    return figures["accuracy"] if "accuracy" in figures else -figures["perplexity"]


def is_worth_enough(figures: dict[str, float], undefended: dict[str, float]) -> bool:
    """Whether a setting costs no more than is given for it."""
    if "accuracy" in figures:
        return figures["accuracy"] >= undefended["accuracy"] - ACCURACY_LOSS
    return figures["perplexity"] <= undefended["perplexity"] * PERPLEXITY_RISE


def words(figures: dict[str, float]) -> str:
    """What a line of progress says of a setting."""
    name = "accuracy" if "accuracy" in figures else "perplexity"
    return f"{name} {figures[name]:.4g}, LOSS AUC {figures['auc']:.3f}"


def flattened(values: dict, prefix: str = "") -> dict:
    """Nested sections as dotted keys."""
    flat = {}
    for key, value in values.items():
        flat.update(flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def measured(recipe: Recipe, training: dict) -> dict[str, float]:
    """One model: its worth on the population, and the AUC of the loss between that and the members."""
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
    found = trainer.task.utility({name: values[0][~member] for name, values in signals.items()})
    name = "accuracy" if "accuracy" in found else "perplexity"
    return {name: found[name], "auc": auc(-signals["loss"][0], member)}


if __name__ == "__main__":
    main()
