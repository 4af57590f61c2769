"""The audit of the model that a recipe's folder holds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import torch

from hf_privacy.auditing.case import Provenance
from hf_privacy.auditing.target import check_split
from hf_privacy.auditing.tracking import audit_figures, send_figures
from hf_privacy.auditing.whole_audit import audit
from hf_privacy.hub import budget_record
from hf_privacy.models import load_base_classifier
from hf_privacy.recipe import Experiment, Recipe, RunFolder, training_arguments
from hf_privacy.reports import PrivacyReport
from hf_privacy.tasks import task_named


def audit_target(
    experiment: Experiment,
    folder: RunFolder,
    *,
    worker_pool: AbstractContextManager | None = None,
    reference_engine: Callable[..., None] | None = None,
    references_dir: Path | None = None,
    replace_report: bool = False,
    show_progress: bool = True,
) -> PrivacyReport:
    """Audit the trained model of a folder by its recipe's ``audit`` section; see `hf_privacy.audit`.

    Its figures go to the trackers of ``training.report_to``, too.
    """
    recipe = experiment.recipe
    check_split(experiment, folder)
    report = audit(
        folder.path,
        experiment.dataset,
        experiment.split,
        output_dir=folder.path,
        trainer=experiment.trainer(output_dir=folder.private),
        base_model=base_of_recipe(experiment),
        repeats=experiment.repeats,
        provenance=provenance(
            recipe,
            training_seconds=folder.record()["training_seconds"],
            base_revision=folder.record().get("base_revision"),
        ),
        worker_pool=worker_pool,
        reference_engine=reference_engine,
        references_dir=references_dir,
        replace_report=replace_report,
        show_progress=show_progress,
        # Where they are trained is said by reference_engine; a comparison has trained them by now.
        **{**asdict(recipe.audit), "engine": None},
    )
    args = training_arguments(recipe, recipe.output_dir)
    if args.report_to:
        send_figures(audit_figures(report.to_dict()), args, step=folder.record().get("steps", 0))
    return report


def base_of_recipe(experiment: Experiment) -> torch.nn.Module | None:
    """The checkpoint that a recipe starts from, where its signals calibrate; None where there is none to compare."""
    recipe = experiment.recipe
    if not task_named(recipe.task).has_classes:
        return started_from(experiment)
    if recipe.model.from_scratch:
        return None
    return load_base_classifier(
        recipe.model.name_or_path,
        task=recipe.task,
        num_labels=len(experiment.classes),
        id2label=experiment.classes,
        revision=recipe.model.revision,
        tokenizer=experiment.processor,
    )


def started_from(experiment: Experiment) -> torch.nn.Module | None:
    """What training of a language model's full weights started from; of an adapter it is the model, its adapter off.

    None there, and where it started from scratch.
    """
    model = experiment.recipe.model
    return None if model.from_scratch or model.lora is not None else experiment.model_init()


def provenance(
    recipe: Recipe,
    *,
    training_seconds: float | None = None,
    base_revision: str | None = None,
    caveats: tuple[str, ...] = (),
) -> Provenance:
    """What report and card call the recipe's model and data, and that labels are wrong on purpose, if they are.

    ``base_revision`` is the commit that training started from, where its record says so.
    """
    if recipe.data.label_noise:
        turned = f"{100 * recipe.data.label_noise:g} % of the labels were turned to a wrong class on purpose."
        caveats = (turned, *caveats)
    return Provenance(
        model_name=recipe.push.repo_id or recipe.name or Path(recipe.output_dir).name,
        base_model=None if recipe.model.from_scratch else recipe.model.base_model_id or recipe.model.name_or_path,
        base_revision=base_revision or recipe.model.revision,
        dataset_name=recipe.data.dataset_id or recipe.data.name_or_path,
        dataset_revision=recipe.data.revision,
        training_seconds=training_seconds,
        caveats=caveats,
        budget=budget_record(recipe.push.gate_settings()),
        levels=recipe.push.levels(),
    )
