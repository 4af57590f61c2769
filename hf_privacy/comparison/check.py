"""Everything a comparison can be refused for, found before anything is trained."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hf_privacy.comparison.experiments import Experiments
from hf_privacy.comparison.plan import Cell, Comparison
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.critical_weight_checks import check_run
from hf_privacy.errors import InputError
from hf_privacy.recipe import training_arguments
from hf_privacy.recipe.config import unknown_key
from hf_privacy.references import ReferenceRun, reference_run, require_cloneable
from hf_privacy.reports.plots import SCORE_LABELS
from hf_privacy.signals.store import METADATA_FILE


def check_comparison(comparison: Comparison, experiments: Experiments) -> None:
    """Build the trainer of every defence, and look whether folders and stores that are there belong to it.

    Raises
    ------
    InputError
        An unknown defence, attack or key, data or a model that is not there, a defence that refuses its model, or a
        folder or store that another comparison made; the sentence names the defence. Nothing is written.
    """
    for attack in comparison.attacks:
        if attack not in SCORE_LABELS:
            raise unknown_key(attack, sorted(SCORE_LABELS), "attacks")
    for name in comparison.defenses:
        cells = comparison.cells(name)
        try:
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
                rewind = trainer.critical_weight_rewind
                if rewind is not None:  # what it would refuse when its training begins
                    check_run(
                        rewind.settings, trainer.args, trainer.model, trainer.train_dataset, rewind.reference_dataset
                    )
                stores = [comparison.references_dir(name), comparison.defended_references_dir(name)]
                for store in stores:
                    if (store / METADATA_FILE).is_file():
                        references_of(cell, experiments, store, trainer=trainer)
            except InputError as error:
                raise InputError(f"defence {name!r}: {error}") from error


def references_of(
    cell: Cell, experiments: Experiments, store: Path, *, trainer: PrivacyTrainer | None = None
) -> ReferenceRun:
    """The references of a cell's defence, in the store they belong in: the same for each of its seeds."""
    experiment, options = experiments.of(cell.recipe), cell.recipe.audit
    return reference_run(
        trainer or experiment.trainer(output_dir=cell.folder.private),
        experiment.dataset,
        experiment.split,
        store,
        n_models=options.references,
        fraction=options.fraction,
        seed=options.reference_seed,
        queries=options.queries,
    )
