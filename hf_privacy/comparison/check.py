"""Everything a comparison can be refused for, found before anything is trained."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hf_privacy.arguments import unknown_key
from hf_privacy.attack_table import ATTACKS
from hf_privacy.comparison.experiments import Experiments
from hf_privacy.comparison.plan import Cell, Comparison
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.outside import is_outside
from hf_privacy.recipe import AuditSettings, Recipe, training_arguments
from hf_privacy.references import ReferenceRun, audit_references, require_cloneable
from hf_privacy.signals.store import METADATA_FILE
from hf_privacy.tasks import Task, task_named


def check_comparison(comparison: Comparison, experiments: Experiments) -> None:
    """Build the trainer of every defence, and look whether folders and stores that are there belong to it.

    Raises
    ------
    InputError
        An unknown defence, attack or key, data or a model that is not there, a defence that refuses its model, or a
        folder or store that another comparison made; the sentence names the defence. Nothing is written.
    """
    for attack in comparison.attacks:
        if attack not in ATTACKS and not is_outside(attack):
            raise unknown_key(attack, sorted(ATTACKS), "attacks")
        _check_attack(attack, task_named(Recipe.from_dict(comparison.recipe).task))
    for name in comparison.defenses:
        try:
            cells = comparison.cells(name)
            training_arguments(cells[0].recipe, cells[0].recipe.output_dir)
            for cell in cells:
                cell.folder.check(cell.recipe)
        except InputError as error:
            raise InputError(f"defence {name!r}: {error}") from error
    for name in comparison.defenses:
        cell = comparison.cells(name)[0]
        with tempfile.TemporaryDirectory() as folder:  # a trainer makes its output_dir
            try:
                trainer = experiments.of(cell.recipe).trainer(output_dir=folder)
                require_cloneable(trainer)
                stores = {
                    comparison.references_dir(name): references_of,
                    comparison.defended_references_dir(name): defended_references_of,
                }
                for store, run_of in stores.items():
                    if (store / METADATA_FILE).is_file():
                        run_of(cell, experiments, store, trainer=trainer)
            except InputError as error:
                raise InputError(f"defence {name!r}: {error}") from error


def _check_attack(name: str, task: Task) -> None:
    """Refuse an attack that the task's models have nothing for, which no report would have."""
    needs = () if is_outside(name) else ATTACKS[name].needs
    lacking = ("tokens", "texts", "lowercase_loss", "recall_loss") if task.has_classes else ("labels",)
    if set(needs) & set(lacking):
        whose = "language models, and these have classes" if task.has_classes else "classifiers, and these have none"
        raise InputError(f"attacks holds {name!r}, which is made on {whose}: name others, such as lira and rmia")


def references_of(
    cell: Cell, experiments: Experiments, store: Path, *, trainer: PrivacyTrainer | None = None
) -> ReferenceRun:
    """The references of a cell's defence, in the store they belong in: the same for each of its seeds."""
    experiment, options = experiments.of(cell.recipe), cell.recipe.audit
    return audit_references(
        trainer or experiment.trainer(output_dir=cell.folder.private),
        experiment.dataset,
        experiment.split,
        store,
        options=options,
    )


def defended_references_of(
    cell: Cell, experiments: Experiments, store: Path, *, trainer: PrivacyTrainer
) -> ReferenceRun:
    """The store of the same references behind a prediction-time part, through which no gradients lead.

    It therefore holds clean queries alone, whatever robustness and curvature the plain outputs are audited for.
    """
    experiment, options = experiments.of(cell.recipe), outputs_only(cell.recipe.audit)
    return audit_references(trainer, experiment.dataset, experiment.split, store, options=options)


def outputs_only(options: AuditSettings) -> AuditSettings:
    """The settings without what needs the gradients of a model."""
    return replace(options, robustness=None, curvature=0)
