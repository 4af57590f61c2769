"""Train the reference models of a plan, keep their signals, drop their weights."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base.checkpoints import last_whole_checkpoint
from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256
from hf_privacy.recipe.folder import PRIVATE
from hf_privacy.references.clone import reference_trainer
from hf_privacy.references.made_on import made_on
from hf_privacy.references.plan import ReferencePlan
from hf_privacy.references.stacked import most_stacked, trained_side_by_side
from hf_privacy.references.training import train_clone
from hf_privacy.signals import SignalStore, signals_and_tokens

if TYPE_CHECKING:
    from hf_privacy.adversarial import AdversarialInputs
    from hf_privacy.signals import Curvature


def train_references(
    trainer: PrivacyTrainer,
    train_pool: TensorDataset,
    audit_dataset: TensorDataset,
    plan: ReferencePlan,
    store: SignalStore,
    *,
    queries: Sequence[str] = ("identity",),
    batch_size: int = 512,
    keep_weights: bool = False,
    adversarial: AdversarialInputs | None = None,
    curvature: Curvature | None = None,
    numbers: Sequence[int] | None = None,
    stack: int | None = None,
) -> int:
    """Train what the store lacks, and write each model's signals as soon as it is trained.

    Any number of processes may run this on one store: each model is claimed by a lock that the operating system
    releases when its holder dies, so that none is trained twice and none is lost. A model whose training was cut off
    resumes from its last checkpoint when the target's arguments write checkpoints, and starts again otherwise.

    Parameters
    ----------
    trainer : PrivacyTrainer
        The target's trainer, built with ``model_init``; only its recipe is used.
    train_pool : TensorDataset of length N
        The pool as trained on (with augmentation, if the target has any), in the order of ``plan``.
    audit_dataset : TensorDataset of length M ≥ N
        What signals are computed on: the pool without augmentation, then the population.
    plan : ReferencePlan
    store : SignalStore
        Of M examples and ``plan.n_models`` models.
    queries : sequence of str
        Query augmentations, see `hf_privacy.signals.compute_signals`; the store's.
    keep_weights : bool
        Keep each reference's folder with its weights in the store's folder; they are private to the auditor.
    adversarial : AdversarialInputs, optional
        The attack behind the query "adversarial"; it goes through each reference itself.
    curvature : Curvature, optional
        Of the curvature signals.
    numbers : sequence of int, optional
        Which models; by default all of the plan.
    stack : int, optional
        How many adapters of one base are claimed and trained side by side, see `hf_privacy.references.stacked`; by
        default up to 8, as many as memory and other processes leave, and 1 for one after another.

    Returns
    -------
    int
        Number of models trained by this call.
    """
    if len(train_pool) != plan.n_examples:
        raise InputError(f"train_pool has {len(train_pool)} examples and the plan {plan.n_examples}: pass the pool")
    passes = {"batch_size": batch_size, "queries": queries, "adversarial": adversarial, "curvature": curvature}
    numbers = range(plan.n_models) if numbers is None else numbers
    missing = [number for number in numbers if not store.has(number)]
    trained, at_once = 0, most_stacked(trainer, len(missing), stack)

    def clone_of(number: int) -> PrivacyTrainer:
        rows = train_pool.subset(plan.training_indices(number))
        return reference_trainer(trainer, rows, seed=plan.model_seed(number), output_dir=model_folder(store, number))

    while missing:
        with _claimed(store, missing, at_once) as mine:
            checkpoints = {number: last_whole_checkpoint(model_folder(store, number)) for number in mine}
            # What was cut off goes on by itself.
            fresh = [number for number in mine if checkpoints[number] is None]
            together: dict[int, PrivacyTrainer] = {}
            started = time.perf_counter()
            if len(fresh) > 1:
                together = {number: clone_of(number) for number in fresh}
                if not trained_side_by_side(list(together.values())):
                    together, at_once = {}, 1
            share = (time.perf_counter() - started) / max(1, len(together))
            for number in mine:
                info = {"seed": plan.model_seed(number), "training_seconds": share, "side_by_side": len(together)}
                clone = together.get(number)
                if clone is None:
                    started = time.perf_counter()
                    clone = clone_of(number)
                    train_clone(clone, resume_from_checkpoint=checkpoints[number])
                    info |= {"training_seconds": time.perf_counter() - started, "side_by_side": 1}
                _keep(clone, audit_dataset, plan, store, number, keep_weights, passes, info)
        trained += len(mine)
    return trained


@contextmanager
def _claimed(store: SignalStore, missing: list[int], most: int) -> Iterator[list[int]]:
    """Claim up to so many of the missing numbers, the first ones that are free; those looked at are taken off."""
    with ExitStack() as held:
        mine: list[int] = []
        while missing and len(mine) < most:
            number = missing.pop(0)
            if held.enter_context(store.claim(number)):
                mine.append(number)
        yield mine


def _keep(
    clone: PrivacyTrainer,
    audit_dataset: TensorDataset,
    plan: ReferencePlan,
    store: SignalStore,
    number: int,
    keep_weights: bool,
    passes: dict[str, Any],
    info: dict[str, Any],
) -> None:
    started = time.perf_counter()
    folder = model_folder(store, number)
    signals, tokens = signals_and_tokens(clone.model, audit_dataset, **passes)
    membership = torch.zeros(len(audit_dataset), dtype=torch.bool).numpy()
    membership[: plan.n_examples] = plan.membership[number]
    info = {**info, "made_on": made_on(clone.model)}
    if keep_weights:
        clone.save_model(str(folder), _internal_call=True)
        info["weights_sha256"] = weights_sha256(folder)
    info["signal_seconds"] = time.perf_counter() - started
    store.write(number, signals, membership, info=info, tokens=tokens)
    # Only now: until the signals are on disk, checkpoints are what a killed run resumes from.
    remove_checkpoints(store, number)


def remove_checkpoints(store: SignalStore, number: int) -> None:
    """Delete what a finished model resumed from, and its folder unless its weights were kept there."""
    folder = model_folder(store, number)
    for left in (*folder.glob("checkpoint-*"), folder / PRIVATE):
        shutil.rmtree(left, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def model_folder(store: SignalStore, number: int) -> Path:
    """Where a reference trains, and where its weights stay if they are kept."""
    return Path(store.folder) / "models" / f"reference_{number:04d}"
