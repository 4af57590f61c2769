"""The unlearning degree of every unlearner: python degree.py --config fashion_mnist.yaml --result RESULT [--data F].

For each seed SPD-GAN moves the forget set slightly off the distribution of the other images, so that a model knows it
only from training on it; a model is trained with it, and every method makes a copy of that model forget it, with the
settings `table.py` chose. What retraining without the set would reach is the ceiling. A killed run goes on with the
seed it was at.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from table import Study
from transformers import PrinterCallback
from u_lira import unlearn_with

from hf_privacy.atomic_file import write_atomically
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.forgetting.seeds import mean_interval
from hf_privacy.recipe.build import training_arguments
from hf_privacy.references import reference_run
from hf_privacy.unlearning import PerturbedTraining, train_with_perturbed_set


def fitted(study: Study, dataset: TensorDataset, seed: int) -> torch.nn.Module:
    """A model trained on a set of images by the study's recipe."""
    recipe = study.recipe.override({"training.seed": seed, "training.disable_tqdm": True})
    trainer = PrivacyTrainer(
        args=training_arguments(recipe, study.folder / "work"),
        model_init=study.experiment.model_init,
        train_dataset=dataset,
        processing_class=study.experiment.processor,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer.model.eval()


def trained_with_perturbed_set(study: Study, request: str, seed: int, n_judges: int) -> PerturbedTraining:
    """The images perturbed against one model that never saw them; other such models give the ceiling."""
    rows = study.rows(study.config["requests"][request], validation=False).split
    forget, retain, heldout = (
        study.experiment.dataset.subset(part) for part in (rows.forget, rows.retain, rows.heldout)
    )
    judges = [fitted(study, retain, 1_000 + seed * n_judges + number) for number in range(n_judges)]
    return train_with_perturbed_set(
        forget,
        retain,
        heldout,
        fit=lambda dataset: fitted(study, dataset, seed),
        processor=study.experiment.processor,
        retrained=judges,
    )


def degrees(study: Study, chosen: dict[str, Any], run: Any, request: str, seed: int, n_judges: int) -> dict[str, Any]:
    """What one seed shows: whether its perturbed set can tell anything, and the degree of every method."""
    training = trained_with_perturbed_set(study, request, seed, n_judges)
    acceptance = training.acceptance
    found: dict[str, Any] = {
        "accepted": acceptance.accepted,
        "accuracies": {
            "forget": acceptance.accuracy_forget,
            "perturbed": acceptance.accuracy_perturbed,
            "fitted": acceptance.accuracy_fitted,
        },
        "seconds": training.seconds,
        "methods": {},
    }
    for name, method in study.config["methods"].items() if acceptance.accepted else ():
        settings = {**chosen[name]["settings"], "seed": seed, "disable_tqdm": True}
        make, _ = unlearn_with(study, method, settings, run)

        def forget(model: Any, to_forget: Any, to_keep: Any, heldout: Any, *, make: Any = make) -> torch.nn.Module:
            trainer = make(model, to_forget, to_keep, study.folder / "work")
            trainer.unlearn()
            return trainer.model.eval()

        figures = training.degree(forget).figures
        assert figures is not None
        found["methods"][name] = figures
        found["ceiling"] = figures["ceiling"]
        print(f"seed {seed}, {name}: {figures['unlearning_degree']:.3f} of {figures['ceiling']:.3f}", flush=True)
    return found


def main() -> None:
    """Measure what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--result", required=True, help="result.json of table.py, which chose the settings")
    parser.add_argument("--request", default="random")
    parser.add_argument("--judges", type=int, default=3, help="models trained without the set, a seed")
    parser.add_argument("--data", help="a local file in place of the recipe's dataset")
    parser.add_argument("--output-dir")
    arguments = parser.parse_args()
    path = Path(arguments.config)
    config = yaml.safe_load(path.read_text())
    folder = Path(arguments.output_dir or config["output_dir"])
    study = Study(config, folder, path.parent, arguments.data)
    study.shadows()
    run = None
    if config.get("shadows"):
        experiment = study.experiment
        run = reference_run(
            experiment.trainer(),
            experiment.dataset,
            experiment.split,
            folder / "references",
            n_models=config["shadows"],
        )
    chosen = json.loads(Path(arguments.result).read_text())[arguments.request]
    file = folder / "degree.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    for seed in config["seeds"]:
        if str(seed) not in results:
            results[str(seed)] = degrees(study, chosen, run, arguments.request, seed, arguments.judges)
            write_atomically(file, json.dumps(results, indent=1).encode())
    print(markdown(config, list(results.values())))


def markdown(config: dict[str, Any], results: list[dict[str, Any]]) -> str:
    """The sets first, then the methods."""
    accepted = [result for result in results if result["accepted"]]
    lines = ["| Perturbed sets accepted | Accuracy, not trained on: original images | perturbed | trained on them |"]
    lines += ["|---|---|---|---|"]
    accuracies = [spread([result["accuracies"][name] for result in results]) for name in results[0]["accuracies"]]
    lines += [f"| {len(accepted)} of {len(results)} | {' | '.join(accuracies)} |", ""]
    lines += ["| Method | Unlearning degree | Ceiling less degree |", "|---|---|---|"]
    rows = []
    for name, method in config["methods"].items() if accepted else ():
        own = [result["methods"][name] for result in accepted]
        gaps = [figures["ceiling"] - figures["unlearning_degree"] for figures in own]
        cells = [method.get("title", name), spread([figures["unlearning_degree"] for figures in own]), spread(gaps)]
        rows.append((float(np.mean(np.abs(gaps))), f"| {' | '.join(cells)} |"))
    lines += (
        [f"| Retraining (the ceiling) | {spread([result['ceiling'] for result in accepted])} | |"] if accepted else []
    )
    return "\n".join(lines + [line for _, line in sorted(rows)]) + "\n"


def spread(values: list[float]) -> str:
    """Mean ± half of Student's t interval, in points."""
    low, high = mean_interval(np.array(values))
    half = "" if low is None or high is None else f" ± {50 * (high - low):.1f}"
    return f"{100 * np.mean(values):.1f}{half}"


if __name__ == "__main__":
    main()
