"""The work of a comparison, in pieces that any number of processes claim; what is done is not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from hf_privacy.atomic_file import claimed, write_atomically
from hf_privacy.auditing import audit_target, check_target, train_target, worth_words
from hf_privacy.auditing.tracking import end_run
from hf_privacy.comparison.check import references_of
from hf_privacy.comparison.defended import audit_defended_outputs, collect_defended_signals, has_defended_signals
from hf_privacy.comparison.experiments import Experiments
from hf_privacy.comparison.plan import Cell, Comparison
from hf_privacy.errors import InputError
from hf_privacy.references import RayEngine, ReferenceRun
from hf_privacy.signals import SignalStore
from hf_privacy.signals.store import METADATA_FILE

SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class _Piece:
    """One piece of work.

    Attributes
    ----------
    is_done, is_ready : callable
        Whether it is finished, and whether what it builds on is.
    attempt : callable
        Do what of it no other process is at; whether anything was done.
    """

    is_done: Callable[[], bool]
    is_ready: Callable[[], bool]
    attempt: Callable[[], bool]


def work(
    comparison: Comparison, experiments: Experiments | None = None, *, say: Callable[[str], None] = print
) -> None:
    """Train and audit until every cell of the comparison is done, here or in another process that does the same.

    For each defence: a target a seed, the reference models they share, and an audit of each target. A process that
    is killed leaves its claim to the others; a training resumes from its last checkpoint if its recipe writes any.

    Parameters
    ----------
    comparison : Comparison
        Checked by `check_comparison`.
    experiments : Experiments, optional
        With the data that are loaded already.
    say : callable
        Gets a line for each piece done.
    """
    experiments = experiments or Experiments()
    left = [piece for name in comparison.defenses for piece in _pieces(comparison, name, experiments, say)]
    while left := [piece for piece in left if not piece.is_done()]:
        attempts = [piece.attempt() for piece in left if piece.is_ready()]
        if not any(attempts):
            time.sleep(SECONDS_BETWEEN_LOOKS)  # others are at what is left


def is_audited(comparison: Comparison, cell: Cell) -> bool:
    """Whether a cell has the report of its trained model, made with these very settings."""
    try:
        record = json.loads(_audit_record(cell).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return record == _audit_facts(comparison, cell)


def _pieces(comparison: Comparison, name: str, experiments: Experiments, say: Callable[[str], None]) -> list[_Piece]:
    cells = comparison.cells(name)
    defends_outputs = comparison.defends_outputs(name)

    @cache
    def references() -> ReferenceRun:
        # Made when first needed and kept: it hashes data and initial weights.
        return references_of(cells[0], experiments, comparison.references_dir(name))

    def always() -> bool:
        return True

    def has_references() -> bool:
        folder = comparison.references_dir(name)
        wanted = range(cells[0].recipe.audit.references)
        return (folder / METADATA_FILE).is_file() and set(wanted) <= set(SignalStore.open(folder).completed())

    def has_all_signals() -> bool:
        return has_references() and (not defends_outputs or has_defended_signals(comparison, name))

    def is_trained(cell: Cell) -> bool:
        return cell.folder.is_trained

    def is_ready_for_audit(cell: Cell) -> bool:
        return is_trained(cell) and has_all_signals()

    pieces = [
        _Piece(
            partial(is_trained, cell), always, partial(_attempt, cell, is_trained, partial(_train, experiments, say))
        )
        for cell in cells
    ]
    pieces.append(_Piece(has_references, always, partial(_train_references, comparison, cells[0], references, say)))
    if defends_outputs:
        collect = partial(collect_defended_signals, comparison, cells[0], experiments)
        pieces.append(_Piece(partial(has_defended_signals, comparison, name), has_references, collect))
    done = partial(is_audited, comparison)
    audit = partial(_audit, comparison, experiments, say)
    pieces += [
        _Piece(partial(done, cell), partial(is_ready_for_audit, cell), partial(_attempt, cell, done, audit))
        for cell in cells
    ]
    return pieces


def _attempt(cell: Cell, is_done: Callable[[Cell], bool], do: Callable[[Cell], None]) -> bool:
    """Do one cell's piece unless another process is at it or has just finished it."""
    cell.folder.private.mkdir(parents=True, exist_ok=True)
    with claimed(cell.folder.private / "compare.lock") as mine:
        if not mine or is_done(cell):
            return False
        do(cell)
        return True


def _train(experiments: Experiments, say: Callable[[str], None], cell: Cell) -> None:
    experiment = experiments.of(cell.recipe)
    trainer = experiment.trainer()
    _be_quiet(trainer)
    record = train_target(experiment, trainer, cell.folder)
    for callback in trainer.callback_handler.callbacks:
        end_run(callback)
    say(f"{cell.label}: trained in {record['training_seconds']:.1f} s; {worth_words(record)}")


def _train_references(
    comparison: Comparison, cell: Cell, references: Callable[[], ReferenceRun], say: Callable[[str], None]
) -> bool:
    options, run = cell.recipe.audit, references()
    started = time.perf_counter()
    # What a prediction-time defence gives out is computed from them afterwards.
    how = {
        "batch_size": options.batch_size,
        "keep_weights": options.keep_weights or comparison.defends_outputs(cell.name),
    }
    by_ray = options.engine.name == "ray"
    trained = _train_by_ray(cell, run, **how) if by_ray else run.train_missing(**how)
    if trained:
        say(f"{cell.name}: {trained} reference models trained in {time.perf_counter() - started:.1f} s")
    return trained > 0


def _train_by_ray(cell: Cell, run: ReferenceRun, **how: Any) -> int:
    """One process hands the references of a defence to Ray; how many those were."""
    with claimed(run.store.folder / "engine.lock") as mine:
        left = run.plan.n_models - len(run.store.completed())
        if not mine or not left:
            return 0
        RayEngine(cell.recipe)(run, **how)
        return left


def _audit(comparison: Comparison, experiments: Experiments, say: Callable[[str], None], cell: Cell) -> None:
    check_target(cell.recipe, cell.folder)
    experiment = experiments.of(cell.recipe)
    references_dir = comparison.references_dir(cell.name)
    report = audit_target(experiment, cell.folder, references_dir=references_dir, show_progress=False)
    if comparison.defends_outputs(cell.name):
        audit_defended_outputs(comparison, cell, experiment)
    write_atomically(_audit_record(cell), (json.dumps(_audit_facts(comparison, cell), indent=2) + "\n").encode())
    say(f"{cell.label}: {report.headline()}")


def _audit_record(cell: Cell) -> Path:
    """Written last: its presence says that the cell's reports are whole, its contents what they were made with."""
    return cell.folder.private / "compared.json"


def _audit_facts(comparison: Comparison, cell: Cell) -> dict[str, Any]:
    how = ("workers", "stack", "batch_size", "engine")
    settings = {name: value for name, value in asdict(cell.recipe.audit).items() if name not in how}
    return {
        "weights_sha256": cell.folder.record()["weights_sha256"],
        "defended_outputs": comparison.defends_outputs(cell.name),
        "settings": json.loads(json.dumps(settings)),
    }


def _be_quiet(trainer: Any) -> None:
    """Many trainings in several processes: a line each is said, and no bar is drawn."""
    from transformers import PrinterCallback
    from transformers.trainer_callback import ProgressCallback

    trainer.args.disable_tqdm = True
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)


def require_done(comparison: Comparison) -> None:
    """Refuse to make a table of a comparison that is not whole."""
    cells = [cell for name in comparison.defenses for cell in comparison.cells(name)]
    missing = [cell.label for cell in cells if not (cell.folder.is_trained and is_audited(comparison, cell))]
    if missing:
        raise InputError(
            f"{len(missing)} runs are not done ({'; '.join(missing[:3])}): run `hf-privacy compare` first"
        )
