"""Train the reference models of a plan, keep their signals, drop their weights."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
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

    Returns
    -------
    int
        Number of models trained by this call.
    """
    if len(train_pool) != plan.n_examples:
        raise InputError(f"train_pool has {len(train_pool)} examples and the plan {plan.n_examples}: pass the pool")
    passes = {"batch_size": batch_size, "queries": queries, "adversarial": adversarial, "curvature": curvature}
    trained = 0
    for number in range(plan.n_models) if numbers is None else numbers:
        if store.has(number):
            continue
        with store.claim(number) as claimed:
            if not claimed:
                continue
            _train_one(trainer, train_pool, audit_dataset, plan, store, number, keep_weights, passes)
        trained += 1
    return trained


def _train_one(
    trainer: PrivacyTrainer,
    train_pool: TensorDataset,
    audit_dataset: TensorDataset,
    plan: ReferencePlan,
    store: SignalStore,
    number: int,
    keep_weights: bool,
    passes: dict[str, Any],
) -> None:
    folder = model_folder(store, number)
    seed = plan.model_seed(number)
    started = time.perf_counter()
    clone = reference_trainer(trainer, train_pool.subset(plan.training_indices(number)), seed=seed, output_dir=folder)
    train_clone(clone, resume_from_checkpoint=last_whole_checkpoint(folder))
    seconds = time.perf_counter() - started
    signals, tokens = signals_and_tokens(clone.model, audit_dataset, **passes)
    membership = torch.zeros(len(audit_dataset), dtype=torch.bool).numpy()
    membership[: plan.n_examples] = plan.membership[number]
    info: dict[str, Any] = {"seed": seed, "made_on": made_on(clone.model)}
    if keep_weights:
        clone.save_model(str(folder), _internal_call=True)
        info["weights_sha256"] = weights_sha256(folder)
    store.write(
        number,
        signals,
        membership,
        info={
            **info,
            "training_seconds": seconds,
            "signal_seconds": time.perf_counter() - started - seconds,
        },
        tokens=tokens,
    )
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
