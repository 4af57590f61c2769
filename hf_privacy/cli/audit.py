"""`hf-privacy audit`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.parent import stop_with_parent
from hf_privacy.cli.processes import expected_share, leave_distributed, share_of_cores
from hf_privacy.cli.references import collect_all
from hf_privacy.cli.report import present
from hf_privacy.cli.workers import start_ahead, workers_beside
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import Recipe
from hf_privacy.recipe.folder import RunFolder

if TYPE_CHECKING:
    from hf_privacy.recipe import Experiment
    from hf_privacy.references import ReferenceRun


def run(options: Options) -> int:
    """Audit the trained model of a recipe, a saved one on rows of its user's, or scores; write report and card."""
    for flag, key in (("label", "data.label_column"), ("member_column", "data.member_column")):
        if options.flags[flag] is not None:
            options.overrides.setdefault(key, str(options.flags[flag]))
            options.spelled[key] = flag.replace("_", "-")
    if options.flags["scores"] is not None:
        _audit_scores(options)
        return 0
    if any(options.flags[name] is not None for name in ("model", "data", "members", "nonmembers")):
        _audit_saved(options)
        return 0
    if options.flags["base"] is not None:
        raise InputError("--base goes with --model and --data: a recipe names its own checkpoint")
    for name in ("score_columns", "score_kind"):
        if options.flags[name] is not None:
            raise InputError(f"--{name.replace('_', '-')} goes with --scores: it says what that table holds")
    if options.flags["store"] is not None and options.flags["plan"] is None:
        raise InputError("--store goes with --plan: it says where that plan's references are")
    if options.flags["worker"]:
        stop_with_parent()
    recipe = options.recipe()
    launched, rank = leave_distributed()
    settings, _ = recipe.audit.as_made()
    if launched and settings.engine.name == "ray":
        raise InputError("engine.name is 'ray' under a launcher: start one process, which hands the work to Ray")
    if launched and settings.stop_when_still is not None:
        raise InputError("stop_when_still is set under a launcher, whose processes train all references: start one")
    if not options.flags["worker"] and rank == 0:
        if options.flags["plan"] is not None:
            collect_all(recipe, str(options.flags["plan"]), options.flags["store"])
        elif not launched and RunFolder(Path(recipe.output_dir)).is_trained:
            start_workers_ahead(recipe)
        report_of(recipe, spawn_workers=not launched, replace_report=bool(options.flags["replace_report"]))
    elif recipe.audit.depth == "full" and options.flags["plan"] is None:
        _work(recipe)
    return 0


def _audit_saved(options: Options) -> None:
    """Audit a model that was trained elsewhere: on rows that say who is a member, or by the recipe it is of."""
    flags = options.flags
    model, data, base = (None if flags[name] is None else str(flags[name]) for name in ("model", "data", "base"))
    members, nonmembers = (None if flags[name] is None else str(flags[name]) for name in ("members", "nonmembers"))
    replace_report = bool(flags["replace_report"])
    if model is None or options.folder is not None:
        raise InputError(
            "--model and --data go together, without --folder: a saved model, and rows that say who is a member; a "
            "model that cannot be opened is audited by --scores"
        )
    if options.config is not None:
        if members is not None or nonmembers is not None or base is not None:
            raise InputError("--members, --nonmembers and --base go without --config: a recipe names data and base")
        if data is not None:
            options.overrides["data.name_or_path"] = data
        from hf_privacy.auditing.saved_folder import audit_saved_by_recipe

        recipe = options.recipe()
        report = audit_saved_by_recipe(model, recipe, replace_report=replace_report)
    else:
        from hf_privacy.auditing import audit_saved_folder

        report, recipe = audit_saved_folder(
            model,
            data,
            members=members,
            nonmembers=nonmembers,
            overrides=options.overrides,
            base=base,
            replace_report=replace_report,
        )
    present(report, Path(recipe.output_dir), recipe.push)


def _audit_scores(options: Options) -> None:
    """Audit a model that cannot be opened, by a table of its scores."""
    flags = options.flags
    if options.config is not None or options.folder is not None:
        raise InputError("--scores goes without --config and --folder: it is of a model that cannot be opened")
    for name in ("model", "data", "base"):
        if flags[name] is not None:
            raise InputError(f"--{name} and --scores are given: audit a model, or the table of its scores")
    from hf_privacy.auditing import audit_scores

    columns = str(flags["score_columns"] or "")
    report, recipe = audit_scores(
        str(flags["scores"]) or None,
        members=None if flags["members"] is None else str(flags["members"]),
        nonmembers=None if flags["nonmembers"] is None else str(flags["nonmembers"]),
        columns=[name.strip() for name in columns.split(",") if name.strip()],
        kind=None if flags["score_kind"] is None else str(flags["score_kind"]),
        overrides=options.overrides,
        replace_report=bool(flags["replace_report"]),
    )
    present(report, Path(recipe.output_dir), recipe.push)


def report_of(recipe: Recipe, *, spawn_workers: bool = True, replace_report: bool = False) -> None:
    """Audit ``recipe``'s trained model and print the table."""
    from hf_privacy.auditing import audit_target
    from hf_privacy.references import RayEngine

    settings, left_out = recipe.audit.as_made()
    engine = RayEngine(recipe) if settings.engine.name == "ray" else None
    folder, experiment = _trained(recipe, with_repeats=True)
    if left_out is not None:
        print(left_out)
    if engine is None and settings.stop_when_still is not None:
        engine = partial(_train_step, recipe, folder, spawn_workers)
    pool = reference_workers(recipe, folder) if spawn_workers and engine is None else None
    report = audit_target(experiment, folder, worker_pool=pool, reference_engine=engine, replace_report=replace_report)
    present(report, folder.path, recipe.push)


def _train_step(recipe: Recipe, folder: RunFolder, spawn_workers: bool, run: ReferenceRun, **how: Any) -> None:
    """Train as many references as an audit that may stop early asks for next, with workers that know of no more."""
    step = replace(recipe, audit=replace(recipe.audit, references=run.plan.n_models, stop_when_still=None))
    run.train(workers=reference_workers(step, folder) if spawn_workers else None, **how)


def _trained(recipe: Recipe, *, with_repeats: bool) -> tuple[RunFolder, Experiment]:
    """The recipe's folder and data, when the folder holds its trained model on the same data."""
    from hf_privacy.auditing import check_split, check_target
    from hf_privacy.recipe import prepare

    folder = RunFolder(Path(recipe.output_dir))
    check_target(recipe, folder)
    experiment = prepare(recipe, with_repeats=with_repeats)
    check_split(experiment, folder)
    return folder, experiment


def _work(recipe: Recipe) -> None:
    """Train references into the store until it is whole; the main process makes the report."""
    from transformers.utils import logging

    from hf_privacy.references import audit_references

    logging.disable_progress_bar()
    folder, experiment = _trained(recipe, with_repeats=False)
    options = recipe.audit
    audit_references(
        experiment.trainer(output_dir=folder.private),
        experiment.dataset,
        experiment.split,
        folder.private / "references",
        options=options,
    ).train(batch_size=options.batch_size, keep_weights=options.keep_weights)


def reference_workers(recipe: Recipe, folder: RunFolder) -> AbstractContextManager | None:
    """The processes beside this one: on CPU one a core in all, on a GPU none, or as many as the recipe says.

    They share this process's GPU; several GPUs are used by `accelerate launch`, which starts a process for each.
    """
    if recipe.audit.depth == "quick":
        return None
    count, threads = share_of_cores(recipe.audit.workers, most=recipe.audit.references)
    if count == 1:
        return None
    arguments = _worker_arguments(folder)
    recipe.save(arguments[2])
    return workers_beside(arguments, count=count - 1, threads=threads)


def start_workers_ahead(recipe: Recipe) -> None:
    """Have imported what `reference_workers` will need, where an audit of ``recipe`` will start some."""
    folder = RunFolder(Path(recipe.output_dir))
    done = len(list(folder.private.glob("references/reference_*.safetensors")))
    count, threads = expected_share(recipe.audit.workers, most=recipe.audit.references)
    by_workers = recipe.audit.depth == "full" and recipe.audit.engine.name == "local"
    if by_workers and count > 1 and done < recipe.audit.references:
        start_ahead(_worker_arguments(folder), threads=threads)


def _worker_arguments(folder: RunFolder) -> list[str]:
    """A worker's command; it reads the recipe with what the command line set."""
    return ["audit", "--config", str(folder.private / "audit_recipe.yaml"), "--worker"]
