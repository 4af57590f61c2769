"""Judge an unlearned model: against the original, against retrained ones, and by the attacks of a quick audit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_privacy.auditing.examinations.unlearning.folder import UnlearnedFolder, folder_name
from hf_privacy.auditing.examinations.unlearning.section import Outcome, unlearning_section
from hf_privacy.auditing.recipe_run import provenance, started_from
from hf_privacy.auditing.tracking import audit_figures, send_figures, unlearning_figures
from hf_privacy.auditing.whole_audit import audit
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import trainer_class
from hf_privacy.errors import InputError
from hf_privacy.forgetting import u_lira
from hf_privacy.hub import weights_sha256
from hf_privacy.models import base_of, load_saved_model
from hf_privacy.outside import own_sources
from hf_privacy.recipe import (
    RETRAIN,
    AuditSettings,
    Experiment,
    Recipe,
    RunFolder,
    UnlearningRows,
    relearning_arguments,
    trainable_again,
    training_arguments,
    unlearning_arguments,
)
from hf_privacy.recipe.shaping import shaping_arguments
from hf_privacy.references import (
    ReferenceRun,
    audit_references,
    retrained_evaluations,
    retrained_run,
    retrained_seconds,
    save_retrained_figures,
    unlearned_references,
)
from hf_privacy.reports import PrivacyReport
from hf_privacy.signals import TokenSignals, signals_and_tokens
from hf_privacy.tasks import task_named
from hf_privacy.unlearning import (
    Relearning,
    UnlearningEvaluation,
    evaluate_unlearning,
    relearning_steps,
    unlearner_class,
)


def judge_unlearning(
    experiment: Experiment,
    run: RunFolder,
    unlearned: UnlearnedFolder,
    *,
    say: Callable[[str], None] = print,
    worker_pool: AbstractContextManager | None = None,
    show_progress: bool = True,
) -> tuple[dict[str, Any], PrivacyReport | None]:
    """The report's section on an unlearned model, and the report it stands in.

    Retrained models are kept in ``<run>/private/retrained``, one store for each forget set: what is there is not
    trained again, and serves every method.

    Parameters
    ----------
    experiment : Experiment
    run : RunFolder
        With the original model.
    unlearned : UnlearnedFolder
        Gets the report, unless the section's ``audit`` is "none".
    say : callable
    worker_pool : context manager, optional
        Entered while models are retrained.
    show_progress : bool

    Returns
    -------
    section : dict
        See `unlearning_section`.
    report : PrivacyReport or None
        A quick audit of the model, with what is retained for members.

    Raises
    ------
    InputError
        When the rows or the weights in the folder are not those that the unlearning left there.
    """
    section, rows, record = experiment.recipe.unlearning, unlearned.rows(), unlearned.record()
    if weights_sha256(unlearned.path) != record["weights_after"]:
        raise InputError(
            f"the weights in {str(unlearned.path)!r} are not those that were unlearned there: delete it, and unlearn "
            "again"
        )
    batch_size = experiment.recipe.audit.batch_size
    original, model = (_on_device(load_saved_model(path)) for path in (run.path, unlearned.path))
    order = np.concatenate([rows.split.forget, rows.split.retain, rows.test])
    judged = experiment.dataset.subset(order)
    base = _base_tokens(experiment, original, judged, batch_size=batch_size)
    before, after = (
        evaluate_unlearning(
            one,
            experiment.dataset,
            rows.split,
            test=rows.test,
            batch_size=batch_size,
            base=base,
            groups=rows.groups,
        )
        for one in (original, model)
    )
    evaluations: list[UnlearningEvaluation] = []
    seconds: list[float] = []
    kept: Iterable[torch.nn.Module | None] = ()
    if section.retrains:
        say(f"judging by {section.retrains} models retrained on {len(rows.split.retain):,} examples")
        retrained = _retrained(experiment, run, rows)
        retrained.train(batch_size=batch_size, keep_weights=True, workers=worker_pool, show_progress=show_progress)
        evaluations = retrained_evaluations(
            retrained.store,
            judged.column("labels").numpy(),
            task=task_named(experiment.recipe.task),
            base=base,
            groups=rows.groups_of(order),
        )
        seconds = retrained_seconds(retrained.store)
        save_retrained_figures(retrained.store, evaluations)
        kept = map(retrained.kept_model, range(retrained.plan.n_models))
    relearned: list[Relearning] = []
    if section.relearning_steps:
        loss = float(before.forget["loss"].mean())
        relearned = [_relearned(experiment, rows, one, loss) for one in chain([model], kept) if one is not None]
    outcome = Outcome(
        rows=rows,
        method=record["method"],
        before=before,
        after=after,
        timing=record["timing"],
        retrained=evaluations,
        retrain_seconds=seconds,
        relearning=relearned[0] if relearned else None,
        retrained_relearning=relearned[1:],
        relearning_cap=section.relearning_steps,
        after_edit=record["after_edit"],
        u_lira=_u_lira(experiment, run, rows) if section.u_lira else None,
        confidence=experiment.recipe.audit.confidence,
    )
    found = unlearning_section(outcome)
    unlearned.write_section(found)
    report = None
    if section.audit != "none":
        report = _audited(experiment, unlearned, rows, found, show_progress=show_progress)
    _track(experiment.recipe, found, report)
    return found, report


def _track(recipe: Recipe, section: dict[str, Any], report: PrivacyReport | None) -> None:
    """Send the figures to the trackers of the unlearning's training."""
    retrained = recipe.unlearning.method == RETRAIN
    args = (training_arguments if retrained else unlearning_arguments)(recipe, recipe.output_dir)
    if args.report_to:
        figures = unlearning_figures(section)
        send_figures(figures if report is None else {**figures, **audit_figures(report.to_dict())}, args)


def _base_tokens(
    experiment: Experiment, original: torch.nn.Module, judged: TensorDataset, *, batch_size: int
) -> TokenSignals | None:
    """What the checkpoint before fine-tuning says of a language model's rows; None of a classifier, or from scratch.

    Of an adapter it is the original with its adapter off, else the recipe's own start.
    """
    recipe = experiment.recipe
    if task_named(recipe.task).has_classes or recipe.model.from_scratch:
        return None
    start = started_from(experiment)
    if start is not None:
        return signals_and_tokens(_on_device(start), judged, batch_size=batch_size)[1]
    with base_of(original) as base:
        return signals_and_tokens(base, judged, batch_size=batch_size)[1]


def _relearned(experiment: Experiment, rows: UnlearningRows, model: torch.nn.Module, target_loss: float) -> Relearning:
    """The steps in which a model learns the forget set again, with the recipe's optimizer."""
    return relearning_steps(
        trainable_again(experiment, _on_device(model)),
        experiment.training_view(rows.split.forget),
        args=relearning_arguments(experiment.recipe, experiment.recipe.output_dir),
        target_loss=target_loss,
        max_steps=experiment.recipe.unlearning.relearning_steps,
    )


def _retrained(experiment: Experiment, run: RunFolder, rows: UnlearningRows) -> ReferenceRun:
    section = experiment.recipe.unlearning
    return retrained_run(
        experiment.trainer(output_dir=run.private),
        experiment.dataset,
        rows.split,
        run.private / "retrained" / rows.digest(seed=section.retrain_seed)[:16],
        test=rows.test,
        n_models=section.retrains,
        seed=section.retrain_seed,
        dataset_fingerprint=experiment.split.dataset_fingerprint,
    )


def _u_lira(experiment: Experiment, run: RunFolder, rows: UnlearningRows) -> dict[str, Any]:
    """The audit's references, made to forget as the target was, against those that never saw the forget set."""
    recipe, split = experiment.recipe, experiment.split
    references = audit_references(
        experiment.trainer(output_dir=run.private),
        experiment.dataset,
        split,
        run.private / "references",
        options=recipe.audit,
    )
    method, training = str(recipe.unlearning.method), shaping_arguments(recipe.unlearning.training)
    kind = unlearner_class(method)
    sources = own_sources(kind)

    def make_unlearner(model: torch.nn.Module, forget: Any, retain: Any, folder: Path) -> Any:
        args = unlearning_arguments(recipe, folder)
        args.disable_tqdm = True
        heldout = experiment.dataset.subset(rows.split.heldout)
        model = trainable_again(experiment, model)
        return kind(model, args, forget, retain, heldout, processing_class=experiment.processor)

    phi = unlearned_references(
        references,
        np.searchsorted(split.pool, rows.split.forget),
        run.private / "unlearned_references" / f"{folder_name(method)}-{rows.digest()[:16]}",
        make_unlearner=make_unlearner,
        description={"method": method, "training": training, **({"sources": sources} if sources else {})},
        batch_size=recipe.audit.batch_size,
    )
    return u_lira(phi.unlearned, phi.never, confidence=recipe.audit.confidence).summary


def _audited(
    experiment: Experiment,
    unlearned: UnlearnedFolder,
    rows: UnlearningRows,
    section: dict[str, Any],
    *,
    show_progress: bool,
) -> PrivacyReport:
    """A quick audit: no reference models, which would be of the original's recipe."""
    recipe, split = experiment.recipe, rows.remaining(experiment.split)
    settings = asdict(recipe.audit)
    defaults = asdict(AuditSettings())
    for name in ("extra_attacks", "budgets", "robustness", "curvature", "canaries", "targets"):
        settings[name] = defaults[name]
    return audit(
        unlearned.path,
        experiment.dataset,
        split,
        output_dir=unlearned.path,
        base_model=None if task_named(recipe.task).has_classes else started_from(experiment),
        repeats=None if experiment.repeats is None else experiment.repeats.across(split),
        provenance=replace(provenance(recipe), caveats=(_caveat(recipe.defense, section),)),
        replace_report=True,  # the same quick audit each time
        show_progress=show_progress,
        **{**settings, "depth": "quick"},
    )


def _caveat(defense: str, section: dict[str, Any]) -> str:
    counts = section["request"]
    text = (
        f"The model was trained on {counts['n_forget'] + counts['n_retain']:,} examples and then made to forget "
        f"{counts['n_forget']:,} of them ({section['method']['name']}); members are those it retains."
    )
    if trainer_class(defense).is_private:
        text += " It was trained with differential privacy, which unlearning without noise does not keep."
    return text


def _on_device(model: torch.nn.Module) -> torch.nn.Module:
    return model.to("cuda" if torch.cuda.is_available() else "cpu")
