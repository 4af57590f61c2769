"""Unlearners against retraining: python table.py --config location30.yaml [--data FILE] [--output-dir FOLDER].

For each request every method makes the same originals forget, one a seed, and is judged by models retrained on what
is retained. Settings are chosen first, on another request and another original, by the average gap to retraining
there (on the originals of ``search_seeds``, where several are to choose); what that search took is printed. A killed
run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from cells import gaps_of, markdown, row_of

from hf_privacy.atomic_file import write_atomically
from hf_privacy.auditing import train_target
from hf_privacy.data import ForgetRequest, TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.recipe import (
    Experiment,
    Recipe,
    RunFolder,
    UnlearningRows,
    prepare,
    requested_rows,
    start_model,
    unlearner,
    unlearning_rows,
)
from hf_privacy.references import (
    ReferenceRun,
    reference_run,
    retrained_evaluations,
    retrained_run,
    retrained_seconds,
)
from hf_privacy.unlearning import evaluate_unlearning

VALIDATION_SEED = 100


class Study:
    """One YAML: the base recipe, its originals, and what was measured so far."""

    def __init__(
        self, config: dict[str, Any], folder: Path, base: Path, data: str | None, model: str | None = None
    ) -> None:
        self.config, self.folder = config, folder
        recipe = Recipe.load(base / config["recipe"]).override(config.get("overrides", {}))
        if data is not None:
            recipe = recipe.override({"data.name_or_path": data, "data.dataset_split": None})
        if model is not None:
            recipe = recipe.override({"model.name_or_path": model})
        self.recipe = recipe
        self.experiment = prepare(recipe, with_repeats=False)
        self.file = folder / "measured.json"
        self.measured: dict[str, Any] = json.loads(self.file.read_text()) if self.file.is_file() else {}

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Study:
        """The study that the options of `command_line` name."""
        path = Path(arguments.config)
        config = yaml.safe_load(path.read_text())
        folder = Path(arguments.output_dir or config["output_dir"])
        return cls(config, folder, path.parent, arguments.data, arguments.model)

    def keep(self, key: str, value: Any) -> Any:
        """Write what was measured, so that it is not measured again."""
        self.measured[key] = value
        write_atomically(self.file, json.dumps(self.measured, indent=1).encode())
        return value

    def original(self, seed: int) -> Path:
        """The folder of the original of a seed, trained if it is not there."""
        folder = RunFolder(self.folder / "originals" / f"seed_{seed}")
        if not folder.is_trained:
            recipe = self.recipe.override({"training.seed": seed, "output_dir": str(folder.path)})
            experiment = self.with_recipe(recipe)
            train_target(experiment, experiment.trainer(), folder)
        return folder.path

    def with_recipe(self, recipe: Recipe) -> Experiment:
        """The same data under another recipe."""
        return Experiment(**{**vars(self.experiment), "recipe": recipe})

    def rows(self, form: dict[str, Any], *, validation: bool) -> UnlearningRows:
        """The rows of a request; the search has one of the same form and another content."""
        dataset, members = self.experiment.dataset, self.experiment.split.members
        number = form.get("seed", 0) + (VALIDATION_SEED if validation else 0)
        if "person" in form:
            forget = person_rows(dataset, members, size=form["person"], seed=number)
        elif "fraction" in form:
            forget = requested_rows(self.experiment, ForgetRequest(fraction=form["fraction"], seed=number))
        else:
            label = (form["label"] + (1 if validation else 0)) % len(self.experiment.classes)
            forget = requested_rows(self.experiment, ForgetRequest(label=label))
        return unlearning_rows(self.experiment, forget)

    def retrained(self, name: str, rows: UnlearningRows, *, n_models: int, seed: int) -> tuple[list, float]:
        """Evaluations of retrained models, from their store, and their mean training time."""
        run = retrained_run(
            self.experiment.trainer(),
            self.experiment.dataset,
            rows.split,
            self.folder / "retrained" / name,
            test=rows.test,
            n_models=n_models,
            seed=seed,
            dataset_fingerprint=self.experiment.split.dataset_fingerprint,
        )
        run.train()
        order = np.concatenate([rows.split.forget, rows.split.retain, rows.test])
        labels = self.experiment.dataset.column("labels").numpy()[order]
        return retrained_evaluations(run.store, labels), float(np.mean(retrained_seconds(run.store)))

    def forgotten(self, method: dict[str, Any], rows: UnlearningRows, seed: int) -> tuple[Any, dict[str, float], dict]:
        """One original made to forget: its evaluation, the seconds it took, and accuracies after the edit alone."""
        section = {"method": method["method"], "training": {**method.get("training", {}), "seed": seed}}
        recipe = Recipe.from_dict({**asdict(self.recipe), "unlearning": section})
        experiment = self.with_recipe(recipe)
        trainer = unlearner(
            experiment,
            rows,
            start_model(experiment, self.original(seed)),
            output_dir=self.folder / "work",
            references=self.folder / "references",
        )
        timing = trainer.unlearn()
        evaluation = evaluate_unlearning(trainer.model, experiment.dataset, rows.split, test=rows.test)
        return evaluation, timing, trainer.after_edit or {}

    def shadows(self) -> ReferenceRun | None:
        """The shadow models that ReMI's inference approximator learns from, trained if the YAML asks for any."""
        if not self.config.get("shadows"):
            return None
        trainer, split = self.experiment.trainer(), self.experiment.split
        folder = self.folder / "references"
        run = reference_run(trainer, self.experiment.dataset, split, folder, n_models=self.config["shadows"])
        run.train()
        return run


def command_line(doc: str | None) -> argparse.ArgumentParser:
    """The options of `Study.of`, which this command shares with those that go on from its result."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="the YAML")
    parser.add_argument("--data", help="a local file in place of the recipe's dataset")
    parser.add_argument("--model", help="a local folder in place of the recipe's base model")
    parser.add_argument("--output-dir", help="where models and results go, by default as the YAML says")
    return parser


def command_line_after_table(doc: str | None) -> argparse.ArgumentParser:
    """`command_line` for a command that takes the settings chosen here."""
    parser = command_line(doc)
    parser.add_argument("--result", required=True, help="result.json of table.py, which chose the settings")
    parser.add_argument("--request", default="random", help="the request they were chosen for")
    return parser


def chosen_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What table.py found for the request, by method."""
    return json.loads(Path(arguments.result).read_text())[arguments.request]


def person_rows(dataset: TensorDataset, members: np.ndarray, *, size: int, seed: int) -> np.ndarray:
    """One "person": a random member and the members nearest to it in input space, whatever their class."""
    column = next(name for name in dataset.column_names if name != "labels")
    inputs = dataset.column(column)[members].flatten(1).float().numpy()
    centre = inputs[np.random.default_rng(seed).integers(len(members))]
    nearest = np.argsort(((inputs - centre) ** 2).sum(axis=1), kind="stable")[:size]
    return np.sort(members[nearest])


def choices(method: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings the search tries: the product of the lists under ``search``, or of each of several such grids."""
    grids = method.get("search", {})
    return [
        dict(zip(grid, values, strict=True))
        for grid in (grids if isinstance(grids, list) else [grids])
        for values in itertools.product(*grid.values())
    ]


def search(study: Study, name: str, method: dict[str, Any], request: str) -> dict[str, Any]:
    """The settings with the smallest average gap on the validation request, and the seconds of trying all."""
    key = f"search/{request}/{name}"
    if key in study.measured:
        return study.measured[key]
    rows = study.rows(study.config["requests"][request], validation=True)
    judges, _ = study.retrained(f"{request}_validation", rows, n_models=2, seed=VALIDATION_SEED)
    found, started = [], time.perf_counter()
    for settings in choices(method):
        chosen = {**method, "training": {**method.get("training", {}), **settings}}
        try:
            runs = [
                study.forgotten(chosen, rows, seed) for seed in study.config.get("search_seeds", [VALIDATION_SEED])
            ]
        except InputError as error:
            if "diverged" not in str(error):
                raise
            continue  # no setting to choose
        found.append((gaps_of([run[0] for run in runs], judges)["avg_gap"], settings))
    best = min(found, key=lambda pair: pair[0])
    seconds = time.perf_counter() - started
    return study.keep(key, {"settings": best[1], "gap": best[0], "tried": len(choices(method)), "seconds": seconds})


def measured_row(
    study: Study,
    name: str,
    method: dict[str, Any],
    request: str,
    rows: UnlearningRows,
    before: list[Any],
    judges: list[Any],
    retrain_seconds: float,
) -> dict[str, Any]:
    """One method's row of a request's table, measured once."""
    key = f"row/{request}/{name}"
    if key in study.measured:
        return study.measured[key]
    found = search(study, name, method, request)
    chosen = {**method, "training": {**method.get("training", {}), **found["settings"]}}
    runs = [study.forgotten(chosen, rows, seed) for seed in study.config["seeds"]]
    row = row_of([run[0] for run in runs], before, judges, [run[1] for run in runs], retrain_seconds)
    row |= {"title": method.get("title", name), "settings": found["settings"]}
    row["search_seconds"], row["tried"], row["search_gap"] = found["seconds"], found["tried"], found["gap"]
    if runs[0][2]:
        row["after_edit"] = {key: float(np.mean([run[2][key] for run in runs])) for key in runs[0][2]}
    return study.keep(key, row)


def write_result(study: Study, results: dict[str, Any]) -> None:
    """The result and its table, whole or so far."""
    write_atomically(study.folder / "result.json", json.dumps(results, indent=1).encode())
    write_atomically(study.folder / "table.md", markdown(study.config, results).encode())


def main() -> None:
    """Search, measure, print."""
    parser = command_line(__doc__)
    parser.add_argument("--page-only", metavar="FILE", help="print the tables of this result.json and measure nothing")
    arguments = parser.parse_args()
    if arguments.page_only:
        config = yaml.safe_load(Path(arguments.config).read_text())
        print(markdown(config, json.loads(Path(arguments.page_only).read_text())))
        return
    study = Study.of(arguments)
    config = study.config
    study.shadows()
    results: dict[str, Any] = {}
    for request, form in config["requests"].items():
        rows = study.rows(form, validation=False)
        judges, retrain_seconds = study.retrained(request, rows, n_models=len(config["seeds"]), seed=0)
        originals = [start_model(study.experiment, study.original(seed)) for seed in config["seeds"]]
        before = [
            evaluate_unlearning(model, study.experiment.dataset, rows.split, test=rows.test) for model in originals
        ]
        table: dict[str, Any] = {"sizes": [len(rows.split.forget), len(rows.split.retain), len(rows.test)]}
        table["original"] = row_of(before, before, judges, [], retrain_seconds)
        table["retrained"] = row_of(judges, before, judges, [retrain_seconds] * len(judges), retrain_seconds)
        for name, method in config["methods"].items():
            table[name] = measured_row(study, name, method, request, rows, before, judges, retrain_seconds)
            print(f"{request}, {name}: AvgGap {100 * table[name]['avg_gap']:.2f}", flush=True)
            write_result(study, {**results, request: table})  # a run that is cut off leaves the rows it has
        results[request] = study.keep(f"table/{request}", table)
    write_result(study, results)
    print(markdown(config, results))


if __name__ == "__main__":
    main()
