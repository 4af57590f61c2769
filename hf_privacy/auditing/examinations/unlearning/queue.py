"""Serve a queue of requests to forget, in order, and log them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_privacy.auditing.examinations.unlearning.folder import UnlearnedFolder
from hf_privacy.auditing.examinations.unlearning.serve import Say, Service, Watch
from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256
from hf_privacy.recipe import (
    RETRAIN,
    Experiment,
    RunFolder,
    requested_rows,
    unit_of,
    unlearning_arguments,
    unlearning_rows,
)
from hf_privacy.recipe.forget_rows import ROW
from hf_privacy.unlearning import LOG_NAME, QueuedRequest, RequestLog


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
    service = Service(experiment, run, say, watch)
    args = None if service.method == RETRAIN else unlearning_arguments(experiment.recipe, run.path)
    if args is not None and args.merges_adapter:
        raise InputError(
            f"unlearning.training has {service.method} add the adapter to its base, and the next request of a queue "
            "would find none: serve one request, or leave the adapter as it is"
        )
    if args is not None and args.grows_adapter:
        raise InputError(
            "unlearning.training.second_adapter is set, and every request of a queue would double the adapter's rank: "
            "serve one request, or leave it out"
        )
    wanted = [(queued, _rows_of(experiment, queued)) for queued in queue]
    everything = np.unique(np.concatenate([rows for _, rows in wanted]))
    unlearning_rows(experiment, everything)  # says now what would be found at the last request
    base = UnlearnedFolder.of(run, f"{service.method}-queue")
    log = RequestLog(base.path)
    with base.alone():
        current = _recovered(base.path, log)
        served = {entry["request"] for entry in log.entries()}
        for queued, rows in wanted:
            if log.name_of(queued.request_id) not in served:
                current = _serve_next(service, base.path, log, current, queued, rows)
    assert current is not None
    return current


def _rows_of(experiment: Experiment, queued: QueuedRequest) -> np.ndarray:
    try:
        return requested_rows(experiment, queued.request)
    except InputError as error:
        raise InputError(f"line {queued.line} of the queue: {error}; nothing was served") from error


def _serve_next(
    service: Service,
    base: Path,
    log: RequestLog,
    current: UnlearnedFolder | None,
    queued: QueuedRequest,
    rows: np.ndarray,
) -> UnlearnedFolder:
    """Serve one request, log it, and drop the model before."""
    forgotten = np.empty(0, dtype=np.int64) if current is None else current.rows().split.forget
    new = np.setdiff1d(rows, forgotten)
    name, number = log.name_of(queued.request_id), len(log.entries()) + 1
    facts = {"request": name, "request_unit": unit_of(service.experiment.split, rows), "n_new": len(new)}
    if current is not None and len(new) == 0:
        before = current.record()
        _log(log, {**before, **facts, "weights_before": before["weights_after"], "time": None})
        service.say(f"request {number}: its examples are forgotten already")
        return current
    total = unlearning_rows(service.experiment, np.union1d(forgotten, rows), kind="queue", n_requests=number)
    destination = UnlearnedFolder(_model_folder(base, number))
    start, earlier = (service.run.path, {}) if current is None else (current.path, current.record()["timing"])
    service.say(f"request {number}: {len(new):,} examples more, {len(total.split.forget):,} in all")
    service.serve(total, start, destination, facts=facts, earlier=earlier)
    _log(log, destination.record())
    _drop_earlier(base, destination)
    return destination


def _recovered(base: Path, log: RequestLog) -> UnlearnedFolder | None:
    """The last model, after what a kill left undone is done: its line in the log, the deletion of the one before."""
    unlogged = UnlearnedFolder(_model_folder(base, len(log.entries()) + 1))
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
    shared = {name: record[name] for name in ("weights_before", "weights_after", "n_new", "time")}
    shared["unit"] = record.get("request_unit", ROW)  # a model made by version 0.2 says none
    log.append(record["request"], method=record["method"]["name"], n_forgotten=record["n_forget"], **shared)


def _drop_earlier(base: Path, last: UnlearnedFolder) -> None:
    for path in base.glob("model-*"):
        if path != last.path:
            shutil.rmtree(path)


def _model_folder(base: Path, number: int) -> Path:
    return base / f"model-{number:04d}"
