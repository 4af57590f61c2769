"""The unlearning degree of every unlearner: python degree.py --config fashion_mnist.yaml --result RESULT [--data F].

For each seed SPD-GAN moves the forget set slightly off the distribution of the other images, so that a model knows it
only from training on it; a model is trained with it, and every method makes a copy of that model forget it, with the
settings `table.py` chose. What retraining without the set would reach is the ceiling. A killed run goes on with the
seed it was at.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from cells import percent, spread
from table import Study, chosen_settings, command_line_after_table
from transformers import PrinterCallback
from u_lira import unlearn_with

from hf_privacy.atomic_file import write_atomically
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.recipe.experiment import training_arguments
from hf_privacy.references import ReferenceRun
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


def degrees(
    study: Study, chosen: dict[str, Any], run: ReferenceRun | None, request: str, seed: int, n_judges: int
) -> dict[str, Any]:
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
    parser = command_line_after_table(__doc__)
    parser.add_argument("--page-only", metavar="FILE", help="print the table of this degree.json and measure nothing")
    parser.add_argument("--judges", type=int, default=3, help="models trained without the set, a seed")
    arguments = parser.parse_args()
    if arguments.page_only:
        config = yaml.safe_load(Path(arguments.config).read_text())
        print(markdown(config, list(json.loads(Path(arguments.page_only).read_text()).values())))
        return
    study, chosen = Study.of(arguments), chosen_settings(arguments)
    run = study.shadows()
    file = study.folder / "degree.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    for seed in study.config["seeds"]:
        if str(seed) not in results:
            results[str(seed)] = degrees(study, chosen, run, arguments.request, seed, arguments.judges)
            write_atomically(file, json.dumps(results, indent=1).encode())
    print(markdown(study.config, list(results.values())))


def markdown(config: dict[str, Any], results: list[dict[str, Any]]) -> str:
    """The sets first, then the methods."""
    accepted = [result for result in results if result["accepted"]]
    lines = ["| Perturbed sets accepted | Accuracy, not trained on: original images | perturbed | trained on them |"]
    lines += ["|---|---|---|---|"]
    accuracies = [
        _points([result["accuracies"][name] for result in results], within=(0.0, 1.0))
        for name in results[0]["accuracies"]
    ]
    lines += [f"| {len(accepted)} of {len(results)} | {' | '.join(accuracies)} |"]
    if not accepted:
        return "\n".join(lines) + "\n"
    lines += ["", "| Method | Unlearning degree | Ceiling less degree |", "|---|---|---|"]
    lines += [f"| Retraining (the ceiling) | {_points([result['ceiling'] for result in accepted])} | |"]
    rows = []
    for name, method in config["methods"].items():
        own = [result["methods"][name] for result in accepted]
        gaps = [figures["ceiling"] - figures["unlearning_degree"] for figures in own]
        cells = [method.get("title", name), _points([figures["unlearning_degree"] for figures in own])]
        cells.append(_points(gaps, within=(-2.0, 2.0)))
        rows.append((float(np.mean(np.abs(gaps))), f"| {' | '.join(cells)} |"))
    return "\n".join(lines + [line for _, line in sorted(rows)]) + "\n"


def _points(values: list[float], *, within: tuple[float, float] = (-1.0, 1.0)) -> str:
    return percent(spread(values, within=within))


if __name__ == "__main__":
    main()
