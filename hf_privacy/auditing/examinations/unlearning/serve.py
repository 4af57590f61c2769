"""Serve requests to forget: one, or a queue of them, each into a folder of its own beside the trained model."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hf_privacy.atomic_file import claimed, write_atomically
from hf_privacy.auditing.examinations.unlearning.folder import UnlearnedFolder
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base.checkpoints import last_whole_checkpoint
from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256
from hf_privacy.outside import own_sources
from hf_privacy.recipe import (
    RETRAIN,
    Experiment,
    RunFolder,
    UnlearningRows,
    check_unlearning,
    request_of,
    requested_rows,
    start_model,
    unlearner,
    unlearning_rows,
)
from hf_privacy.recipe.shaping import shaping_arguments
from hf_privacy.references import reference_trainer
from hf_privacy.unlearning import LOG_NAME, QueuedRequest, RequestLog, UnlearningTrainer, unlearner_class, utc_now

PLAN_FILE = "plan.json"
RETRAINED = {"name": RETRAIN, "parameters": {}, "paper": None}
Say = Callable[[str], None]
Watch = Callable[[PrivacyTrainer], None]


def unlearn_request(
    experiment: Experiment, run: RunFolder, *, say: Say = print, watch: Watch | None = None
) -> UnlearnedFolder:
    """Serve the request of the recipe's unlearning section from the run's trained model.

    Parameters
    ----------
    experiment : Experiment
    run : RunFolder
        With the trained model of the recipe (see `hf_privacy.auditing.check_target`); it stays as it is.
    say : callable
        Gets lines for the user.
    watch : callable, optional
        Gets the trainer before it starts, to show its progress.

    Returns
    -------
    UnlearnedFolder
        ``<run>/unlearned/<method>``. Served already, it is found and not served again.

    Raises
    ------
    InputError
        For a request that cannot be served, or a folder that holds the result of another; before anything is changed.
    """
    recipe = experiment.recipe
    check_unlearning(recipe)
    request = request_of(recipe.unlearning.request)
    rows = unlearning_rows(experiment, requested_rows(experiment, request), kind=request.kind)
    _check_references(experiment, run)
    destination = UnlearnedFolder.of(run, str(recipe.unlearning.method))
    with _alone(destination):
        if destination.exists:
            if destination.record()["plan"] != _plan_hash(experiment, rows, run.path):
                raise InputError(
                    f"{str(destination.path)!r} holds the result of another request or other arguments: delete it, or "
                    "use another method"
                )
            say(f"{destination.path} holds the result of this request already")
            return destination
        if destination.path.exists():
            raise InputError(f"{str(destination.path)!r} exists and holds no unlearned model: delete or rename it")
        _serve(experiment, rows, run, run.path, destination, say=say, watch=watch)
    return destination


def unlearn_queue(
    experiment: Experiment,
    run: RunFolder,
    queue: Sequence[QueuedRequest],
    *,
    say: Say = print,
    watch: Watch | None = None,
) -> UnlearnedFolder:
    """Serve a queue of requests in order, each from the result of the one before, on all that was asked so far.

    ``<run>/unlearned/<method>-queue`` gets the last model and the log. A request whose id is in the log is passed
    over, so a queue that was killed, or has grown, is served to its end and nothing twice. Models between the first
    and the last are deleted: they still know what was forgotten after them.

    Parameters
    ----------
    experiment : Experiment
    run : RunFolder
        As in `unlearn_request`.
    queue : sequence of QueuedRequest
    say, watch : callable
        As in `unlearn_request`.

    Returns
    -------
    UnlearnedFolder
        Of the last model.

    Raises
    ------
    InputError
        For a request that cannot be served, named by its line, before any is served; or a model in the queue's folder
        that is not the one the log speaks of.
    """
    check_unlearning(experiment.recipe)
    wanted = [(queued, _rows_of(experiment, queued)) for queued in queue]
    everything = np.unique(np.concatenate([rows for _, rows in wanted]))
    unlearning_rows(experiment, everything)  # says now what would be found at the last request
    _check_references(experiment, run)
    base = UnlearnedFolder.of(run, f"{experiment.recipe.unlearning.method}-queue")
    log = RequestLog(base.path)
    with _alone(base):
        current = _recovered(base.path, log)
        served = {entry["request"] for entry in log.entries()}
        for queued, rows in wanted:
            if log.name_of(queued.request_id) in served:
                continue
            current = _serve_next(experiment, run, base.path, log, current, queued, rows, say, watch)
    assert current is not None
    return current


def _rows_of(experiment: Experiment, queued: QueuedRequest) -> np.ndarray:
    try:
        return requested_rows(experiment, queued.request)
    except InputError as error:
        raise InputError(f"line {queued.line} of the queue: {error}; nothing was served") from error


def _serve_next(
    experiment: Experiment,
    run: RunFolder,
    base: Path,
    log: RequestLog,
    current: UnlearnedFolder | None,
    queued: QueuedRequest,
    rows: np.ndarray,
    say: Say,
    watch: Watch | None,
) -> UnlearnedFolder:
    """Serve one request, log it, and drop the model before."""
    forgotten = np.empty(0, dtype=np.int64) if current is None else current.rows().split.forget
    new = np.setdiff1d(rows, forgotten)
    name, number = log.name_of(queued.request_id), len(log.entries()) + 1
    if len(new) == 0:
        assert current is not None
        weights = current.record()["weights_after"]
        log.append(
            name,
            method=current.record()["method"]["name"],
            weights_before=weights,
            weights_after=weights,
            n_new=0,
            n_forgotten=len(forgotten),
        )
        say(f"request {number}: its examples are forgotten already")
        return current
    total = unlearning_rows(experiment, np.union1d(forgotten, rows), kind="queue", n_requests=number)
    destination = UnlearnedFolder(_model_folder(base, number))
    start = run.path if current is None else current.path
    say(f"request {number}: {len(new):,} examples more, {len(total.split.forget):,} in all")
    facts = {"request": name, "n_new": len(new)}
    earlier = {} if current is None else current.record()["timing"]
    _serve(experiment, total, run, start, destination, say=say, watch=watch, facts=facts, earlier=earlier)
    _log(log, destination.record())
    _drop_earlier(base, destination)
    return destination


def _recovered(base: Path, log: RequestLog) -> UnlearnedFolder | None:
    """The last model, after what a kill left undone is done: its line in the log, the deletion of the one before."""
    entries = log.entries()
    unlogged = UnlearnedFolder(_model_folder(base, len(entries) + 1))
    if unlogged.exists:
        _log(log, unlogged.record())
        entries = log.entries()
    if not entries:
        return None
    models = [UnlearnedFolder(path) for path in sorted(base.glob("model-*")) if UnlearnedFolder(path).exists]
    if not models or weights_sha256(models[-1].path) != entries[-1]["weights_after"]:
        raise InputError(
            f"the last model in {str(base)!r} is not the one that {LOG_NAME} ends with: restore it, or delete all"
        )
    _drop_earlier(base, models[-1])
    return models[-1]


def _log(log: RequestLog, record: dict[str, Any]) -> None:
    log.append(
        record["request"],
        method=record["method"]["name"],
        weights_before=record["weights_before"],
        weights_after=record["weights_after"],
        n_new=record["n_new"],
        n_forgotten=record["n_forget"],
        time=record["time"],
    )


def _drop_earlier(base: Path, last: UnlearnedFolder) -> None:
    for path in base.glob("model-*"):
        if path != last.path:
            shutil.rmtree(path)


def _model_folder(base: Path, number: int) -> Path:
    return base / f"model-{number:04d}"


def _serve(
    experiment: Experiment,
    rows: UnlearningRows,
    run: RunFolder,
    start: Path,
    destination: UnlearnedFolder,
    *,
    say: Say,
    watch: Watch | None,
    facts: dict[str, Any] | None = None,
    earlier: dict[str, float] | None = None,
) -> None:
    """Unlearn from the model in ``start`` into ``destination``; a killed run goes on from its last checkpoint.

    The record's seconds are those of this request and of the ``earlier`` ones that led to ``start``.
    """
    if destination.path.resolve() == start.resolve():
        raise InputError("the destination is the folder of the model it starts from: the original stays as it is")
    before, plan = weights_sha256(start), _plan_hash(experiment, rows, start)
    _claim_partial(destination.partial, plan)
    trainer = _trainer(experiment, rows, start, destination.partial, references=run.private / "references")
    if watch is not None:
        watch(trainer)
    timing = _trained(trainer, last_whole_checkpoint(destination.partial))
    trainer.save_model(str(destination.partial), _internal_call=True)
    for checkpoint in destination.partial.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    (destination.partial / PLAN_FILE).unlink()
    if weights_sha256(start) != before:
        raise InputError(f"the weights in {str(start)!r} changed while they were unlearned from: restore them")
    record = {
        "plan": plan,
        "kind": rows.kind,
        "n_requests": rows.n_requests,
        "method": trainer.describe_unlearning() if isinstance(trainer, UnlearningTrainer) else dict(RETRAINED),
        "timing": _with_earlier(timing, earlier or {}),
        "after_edit": trainer.after_edit if isinstance(trainer, UnlearningTrainer) else None,
        "time": utc_now(),
        "weights_before": before,
        "weights_after": weights_sha256(destination.partial),
        "n_forget": len(rows.split.forget),
        "n_retain": len(rows.split.retain),
        **(facts or {}),
    }
    destination.finish(record, rows)
    say(f"forgot {len(rows.split.forget):,} examples in {timing['total']:.1f} s; saved to {destination.path}")


def _trainer(
    experiment: Experiment, rows: UnlearningRows, start: Path, folder: Path, *, references: Path
) -> PrivacyTrainer:
    """The unlearner; for "retrain" the recipe's own trainer, on what is retained."""
    if experiment.recipe.unlearning.method == RETRAIN:
        original = experiment.trainer(output_dir=folder)
        retain = experiment.training_view(rows.split.retain)
        return reference_trainer(original, retain, seed=original.args.seed, output_dir=folder)
    trainer = unlearner(experiment, rows, start_model(experiment, start), output_dir=folder, references=references)
    if rows.n_requests > 1:
        trainer.args.check_evidence = False  # a part of what is to be forgotten is forgotten already
    return trainer


def _trained(trainer: PrivacyTrainer, checkpoint: str | None) -> dict[str, float]:
    """Seconds, by part."""
    if isinstance(trainer, UnlearningTrainer):
        return trainer.unlearn(resume_from_checkpoint=checkpoint)
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.perf_counter() - started
    return {"scoring": 0.0, "shadows": 0.0, "training": seconds, "total": seconds}


def _with_earlier(timing: dict[str, float], earlier: dict[str, float]) -> dict[str, float]:
    """Sums; but all requests share the shadow models."""
    merged = {name: seconds + earlier.get(name, 0.0) for name, seconds in timing.items()}
    return {**merged, "shadows": max(timing["shadows"], earlier.get("shadows", 0.0))}


def _claim_partial(folder: Path, plan: str) -> None:
    """Keep what a killed run of the same plan left; clear away that of another."""
    file = folder / PLAN_FILE
    if file.is_file() and json.loads(file.read_text(encoding="utf-8")) == plan:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_atomically(file, json.dumps(plan).encode())


def _plan_hash(experiment: Experiment, rows: UnlearningRows, start: Path) -> str:
    """What must be equal for a result to be that of this request: method, arguments, rows, weights to start from.

    Of a method that a user has written, the source file too.
    """
    section = experiment.recipe.unlearning
    arguments = [shaping_arguments(training) for training in (section.training, experiment.recipe.training)]
    own = [] if section.method == RETRAIN else own_sources(unlearner_class(str(section.method)))
    digest = hashlib.sha256(json.dumps([section.method, *arguments, *own], sort_keys=True).encode())
    digest.update(rows.digest().encode() + weights_sha256(start).encode())
    return digest.hexdigest()


def _check_references(experiment: Experiment, run: RunFolder) -> None:
    """U-LiRA rests on the audit's references: without them it would fail once everything else is done."""
    if experiment.recipe.unlearning.u_lira and not (run.private / "references" / "metadata.json").is_file():
        raise InputError(
            "unlearning.u_lira is set and there are no reference models: run `hf-privacy audit` with "
            "audit.keep_weights first"
        )


@contextmanager
def _alone(folder: UnlearnedFolder) -> Iterator[None]:
    """One process at a time makes this folder."""
    os.makedirs(folder.path.parent, exist_ok=True)
    with claimed(folder.lock) as mine:
        if not mine:
            raise InputError(f"another process is unlearning into {str(folder.path)!r}: wait for it")
        yield
