"""The models of one recipe: its target, and the references that mirror it, each trained once."""

from __future__ import annotations

from pathlib import Path

from transformers import PrinterCallback
from transformers.trainer_callback import ProgressCallback

from hf_privacy.auditing import check_target, train_target, worth_words
from hf_privacy.cli.audit import reference_workers
from hf_privacy.comparison.experiments import Experiments
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.recipe import Experiment, Recipe, RunFolder
from hf_privacy.references import ReferenceRun, audit_references


def trained(recipe: Recipe, experiments: Experiments) -> tuple[Experiment, RunFolder]:
    """The recipe's experiment, with its target trained in its folder."""
    experiment, folder = experiments.of(recipe), RunFolder(Path(recipe.output_dir))
    if folder.is_trained:
        check_target(recipe, folder)
        return experiment, folder
    trainer = experiment.trainer()
    be_quiet(trainer)
    record = train_target(experiment, trainer, folder)
    print(f"{folder.path}: trained in {record['training_seconds']:.1f} s, {worth_words(record)}", flush=True)
    return experiment, folder


def with_references(experiment: Experiment, folder: RunFolder) -> ReferenceRun:
    """The references of a trained target as `hf-privacy audit` trains them, all of them done."""
    options = experiment.recipe.audit
    run = audit_references(
        experiment.trainer(output_dir=folder.private),
        experiment.dataset,
        experiment.split,
        folder.private / "references",
        options=options,
    )
    if len(run.store.completed()) < options.references:
        run.train(batch_size=options.batch_size, workers=reference_workers(experiment.recipe, folder))
        print(f"{folder.path}: {options.references} references", flush=True)
    return run


def be_quiet(trainer: PrivacyTrainer) -> None:
    """A line for each model is enough."""
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
