"""Train some references of a written plan on this machine, and bring those of all machines home."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from hf_privacy.errors import InputError
from hf_privacy.references.shared_store import SharedStore
from hf_privacy.references.stacked import most_stacked
from hf_privacy.references.train import model_folder
from hf_privacy.references.written_plan import opened_run
from hf_privacy.signals import SignalStore

if TYPE_CHECKING:
    from hf_privacy.recipe import Recipe
    from hf_privacy.references.collect import ReferenceRun


def run_ranks(
    shared: SharedStore,
    ranks: Sequence[int],
    recipe: Recipe,
    *,
    scratch: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Train the references of these numbers that the shared store lacks; how many those were.

    Each is trained and scored in a local folder and goes to the store, its marker last, as soon as it is done;
    adapters that are trained side by side (``audit.stack``) go together. A machine that is lost loses what it has in
    hand and no other; two machines at one number do no harm.

    Parameters
    ----------
    shared : SharedStore
        Of the plan.
    ranks : sequence of int
    recipe : Recipe
        The plan's, `WrittenPlan.worker_recipe`.
    scratch : path, optional
        The local folder; one that outlives the process lets a training go on from its last checkpoint, where the
        recipe keeps any. By default a temporary one.
    say : callable
        Gets a line for each reference.

    Raises
    ------
    InputError
        For data, weights or versions other than the plan's, before anything is trained, and as `SharedStore`.
    """
    todo = [number for number in ranks if not shared.is_done(number)]
    if len(todo) < len(ranks):
        say(f"{len(ranks) - len(todo)} of {len(ranks)} references are done already")
    if not todo:
        return 0
    with tempfile.TemporaryDirectory() if scratch is None else nullcontext(scratch) as folder:
        run = opened_run(recipe, Path(folder))
        shared.plan.refuse_other_store(run.store.metadata)
        options = recipe.audit
        at_once = most_stacked(run.trainer, len(todo), run.stack)
        for first in range(0, len(todo), at_once):
            numbers = todo[first : first + at_once]
            try:
                run.train_missing(batch_size=options.batch_size, keep_weights=options.keep_weights, numbers=numbers)
            except Exception as error:
                for number in numbers:
                    shared.record_failure(number, error)
                raise
            for number in numbers:
                _publish(shared, run, number)
                info = run.store.info(number)
                say(f"reference {number}: trained in {info['training_seconds']:.1f} s on {info['made_on']['device']}")
    return len(todo)


def _publish(shared: SharedStore, run: ReferenceRun, number: int) -> None:
    if not run.store.has(number):
        raise InputError(f"another process is at reference {number} in the same scratch folder: give each its own")
    weights = model_folder(run.store, number) if run.keeps_weights(number) else None
    row = run.store.folder / run.store.file_name(number)
    shared.publish(number, row, weights, run.store.info(number)["made_on"])


def collect_shared(shared: SharedStore, folder: str | Path, *, n_references: int | None = None) -> list[int]:
    """Bring what a shared store holds into a local `SignalStore`; the numbers that are still missing there.

    What is there already is not fetched again, and the files are the workers' own, byte for byte: an audit of the
    local store says what it would say had they been trained here. A file that is not the one its marker names counts
    as missing, with a warning.

    Parameters
    ----------
    shared : SharedStore
    folder : path
        Of the local store; made if absent.
    n_references : int, optional
        Only the first so many; by default all.

    Raises
    ------
    InputError
        Where ``folder`` holds the references of something else, and as `SharedStore`.
    """
    n_wanted = shared.plan.n_references if n_references is None else n_references
    if n_wanted > shared.plan.n_references:
        raise InputError(
            f"audit.references is {n_wanted} and the plan has {shared.plan.n_references}: ask for no more than the "
            "plan has, or write a plan of more in another folder"
        )
    store = SignalStore.create(folder, shared.plan.store)
    missing, damaged = [], []
    fetched = store.folder / "fetched"
    try:
        for number in range(n_wanted):
            if store.has(number):
                continue
            if shared.marker(number) is None:
                missing.append(number)
            elif not _bring(shared, store, number, fetched / f"{number:04d}"):
                damaged.append(number)
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
    if damaged:
        numbers = ", ".join(map(str, damaged))
        warnings.warn(
            f"the files of the references {numbers} in {shared.folder.name} are not those that their markers name: "
            "delete those markers and run their numbers again",
            stacklevel=2,
        )
    return sorted(missing + damaged)


def _bring(shared: SharedStore, store: SignalStore, number: int, folder: Path) -> bool:
    """Fetch one reference by way of ``folder``, its weights into their place first; whether it came whole."""
    shutil.rmtree(folder, ignore_errors=True)
    fetched = shared.fetch(number, folder)
    if fetched is None:
        return False
    return take(store, number, *fetched)


def take(store: SignalStore, number: int, row: Path, weights: Path | None) -> bool:
    """Put a reference that was made elsewhere into a local store, its weights first; whether it is one of the store's.

    Parameters
    ----------
    store : SignalStore
    number : int
    row : Path
        Its file, as the other machine's store had it.
    weights : Path, optional
        The folder of its weights, on the same file system; moved.
    """
    if weights is not None:
        there = model_folder(store, number)
        shutil.rmtree(there, ignore_errors=True)
        there.parent.mkdir(parents=True, exist_ok=True)
        weights.rename(there)
    return store.adopt(number, row)
