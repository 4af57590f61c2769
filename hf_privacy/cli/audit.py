"""`hf-privacy audit`."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.parent import stop_with_parent
from hf_privacy.cli.report import present
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import Recipe

if TYPE_CHECKING:
    from hf_privacy.recipe import Experiment, RunFolder


def run(options: Options) -> int:
    """Audit the trained model of a recipe, write report and card, print the table."""
    if options.flags["worker"]:
        stop_with_parent()
    recipe = options.recipe()
    rank, local_rank = int(os.environ.get("RANK", 0)), int(os.environ.get("LOCAL_RANK", 0))
    launched = int(os.environ.get("WORLD_SIZE", 1)) > 1
    if launched:
        _leave_distributed(local_rank)
    if not options.flags["worker"] and rank == 0:
        report_of(recipe, spawn_workers=not launched)
    elif recipe.audit.depth == "full":
        _work(recipe)
    return 0


def report_of(recipe: Recipe, *, spawn_workers: bool = True) -> None:
    """Audit ``recipe``'s trained model and print the table."""
    from hf_privacy.auditing import Provenance, audit
    from hf_privacy.models import load_base_classifier

    folder, record, experiment = _trained(recipe, with_repeats=True)
    base = None
    if not recipe.model.from_scratch:
        base = load_base_classifier(
            recipe.model.name_or_path,
            task=recipe.task,
            num_labels=len(experiment.classes),
            revision=recipe.model.revision,
        )
    report = audit(
        folder.path,
        experiment.dataset,
        experiment.split,
        output_dir=folder.path,
        trainer=experiment.trainer(output_dir=folder.private),
        base_model=base,
        repeats=experiment.repeats,
        provenance=Provenance(
            model_name=recipe.push.repo_id or recipe.name or folder.path.name,
            base_model=None if recipe.model.from_scratch else recipe.model.base_model_id or recipe.model.name_or_path,
            base_revision=recipe.model.revision,
            dataset_name=recipe.data.dataset_id or recipe.data.name_or_path,
            dataset_revision=recipe.data.revision,
            training_seconds=record["training_seconds"],
        ),
        worker_pool=reference_workers(recipe, folder) if spawn_workers else None,
        **asdict(recipe.audit),
    )
    present(report, folder.path, recipe.push)


def _trained(recipe: Recipe, *, with_repeats: bool) -> tuple[RunFolder, dict[str, Any], Experiment]:
    """The recipe's folder, training record and data, when the folder holds its trained model on the same data."""
    from hf_privacy.hub import weights_sha256
    from hf_privacy.recipe import RunFolder, prepare

    folder = RunFolder(Path(recipe.output_dir))
    record = folder.record()
    folder.start(recipe)
    if weights_sha256(folder.path) != record["weights_sha256"]:
        raise InputError(f"the weights in {str(folder.path)!r} are not those that were trained there: train again")
    experiment = prepare(recipe, with_repeats=with_repeats)
    if experiment.split.hash != record["split_hash"]:
        raise InputError(
            "the split is of another dataset: the data changed since the model was trained; restore it, or train "
            "again in another output_dir"
        )
    return folder, record, experiment


def _work(recipe: Recipe) -> None:
    """Train references into the store until it is whole; the main process makes the report."""
    from transformers.utils import logging

    from hf_privacy.references import reference_run

    logging.disable_progress_bar()
    folder, _, experiment = _trained(recipe, with_repeats=False)
    options = recipe.audit
    reference_run(
        experiment.trainer(output_dir=folder.private),
        experiment.dataset,
        experiment.split,
        folder.private / "references",
        n_models=options.references,
        fraction=options.fraction,
        seed=options.reference_seed,
        queries=options.queries,
    ).train(batch_size=options.batch_size, keep_weights=options.keep_weights)


def reference_workers(recipe: Recipe, folder: RunFolder) -> AbstractContextManager | None:
    """The processes beside this one: on CPU one a core in all, on a GPU none, or as many as the recipe says.

    They share this process's GPU; several GPUs are used by `accelerate launch`, which starts a process for each.
    """
    import torch

    from hf_privacy.references import worker_processes

    if recipe.audit.depth == "quick":
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = min(recipe.audit.workers or (1 if torch.cuda.is_available() else cores), recipe.audit.references)
    threads = max(1, cores // count)
    torch.set_num_threads(threads)
    if count == 1:
        return None
    resolved = folder.private / "audit_recipe.yaml"
    recipe.save(resolved)
    command = [sys.executable, "-m", "hf_privacy.cli", "audit", "--config", str(resolved), "--worker"]
    return worker_processes(command, count=count - 1, threads=threads)


def _leave_distributed(local_rank: int) -> None:
    """Under `accelerate launch` each process trains references alone, on its own device."""
    from hf_privacy.references.workers import DISTRIBUTED_VARIABLES

    for name in DISTRIBUTED_VARIABLES:
        os.environ.pop(name, None)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else None
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[local_rank % len(devices)] if devices else str(local_rank)
