"""Reference models made to forget: for U-LiRA, which asks whether unlearned and never-seen can be told apart."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_privacy.arrays import row_numbers
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.references.collect import ReferenceRun
from hf_privacy.signals import SignalStore, compute_signals
from hf_privacy.unlearning import UnlearningTrainer

# Makes an unlearner: of a model, of what it is to forget and to retain, and of a folder for its checkpoints.
MakeUnlearner = Callable[[torch.nn.Module, TensorDataset, TensorDataset, Path], UnlearningTrainer]


@dataclass(frozen=True, eq=False)
class UnlearnedPhi:
    """φ of models that were trained on each forget example and then forgot it, beside models that never saw it.

    Attributes
    ----------
    unlearned, never : float64 [K, F], [L, F]
        Column n holds, for forget example n, the references it was IN (unlearned) and those it was OUT of, in the
        order of their numbers; a row is thus no single model, but one model for each example.
    seconds : float
        What the unlearning of all of them took.
    """

    unlearned: np.ndarray
    never: np.ndarray
    seconds: float


def unlearned_references(
    run: ReferenceRun,
    forget: np.ndarray,
    folder: str | Path,
    *,
    make_unlearner: MakeUnlearner,
    description: dict[str, Any],
    batch_size: int = 512,
) -> UnlearnedPhi:
    """Let each kept reference forget what it was trained on of the forget set, and keep its φ.

    A killed run goes on with the references that are left; several processes may share the work.

    Parameters
    ----------
    run : ReferenceRun
        Of an audit with ``keep_weights``; whole.
    forget : int64[F]
        Columns of the references' pool.
    folder : path
        Of the store of unlearned references: one for each forget set and method.
    make_unlearner : callable
        ``make_unlearner(model, forget_dataset, retain_dataset, folder)`` gives the trainer; the target's method and
        arguments.
    description : dict
        Method and arguments, as plain values: a store made with others is refused.
    batch_size : int

    Raises
    ------
    InputError
        When references are missing or their weights were not kept, the forget set is not of the pool, or an example
        of it is IN or OUT for too few references.

    References
    ----------
    Hayes et al., "Inexact unlearning needs more careful evaluations to avoid a false sense of privacy" (arXiv
    2403.01218), whose shadow models are unlearned like the target; ours are the audit's references.
    """
    forget = np.unique(row_numbers("forget", forget))
    inside = _checked_membership(run, forget)
    digest = hashlib.sha256(forget.tobytes())
    metadata = {
        **{name: run.store.metadata[name] for name in ("dataset_fingerprint", "split_hash", "example_ids_digest")},
        "recipe_hash": hashlib.sha256(
            json.dumps([run.store.metadata["recipe_hash"], description, digest.hexdigest()], sort_keys=True).encode()
        ).hexdigest(),
        "n_models": run.plan.n_models,
        "n_examples": len(forget),
        "queries": ["identity"],
        "signals": list(run.trainer.task.signal_names),
    }
    store = SignalStore.create(folder, metadata)
    for number in range(run.plan.n_models):
        if store.has(number):
            continue
        with store.claim(number) as claimed:
            if claimed:
                _unlearn_one(run, forget, inside[number], store, number, make_unlearner, batch_size)
    left = run.plan.n_models - len(store.completed())
    if left:
        raise InputError(f"{left} unlearned references are being made by another process: run the same command later")
    phi = store.read("phi", query=0)
    original = run.store.read("phi", query=0)[:, forget]
    return UnlearnedPhi(
        unlearned=_columns(phi, inside),
        never=_columns(original, ~inside),
        seconds=sum(store.info(number)["unlearning_seconds"] for number in range(store.n_models)),
    )


def _unlearn_one(
    run: ReferenceRun,
    forget: np.ndarray,
    inside: np.ndarray,
    store: SignalStore,
    number: int,
    make_unlearner: MakeUnlearner,
    batch_size: int,
) -> None:
    model = run.kept_model(number)
    assert model is not None
    examples = run.audit_dataset.subset(forget)
    seconds = 0.0
    if inside.any():
        chosen = forget[inside]
        retained = np.setdiff1d(run.plan.training_indices(number), chosen)
        trainer = make_unlearner(
            model, run.train_pool.subset(chosen), run.train_pool.subset(retained), store.folder / f"model_{number:04d}"
        )
        seconds = trainer.unlearn()["total"]
        model = trainer.accelerator.unwrap_model(trainer.model)
        del trainer
    signals = compute_signals(model, examples, batch_size=batch_size)
    store.write(number, signals, inside, info={"unlearning_seconds": seconds, "n_forgotten": int(inside.sum())})
    gc.collect()


def _checked_membership(run: ReferenceRun, forget: np.ndarray) -> np.ndarray:
    """Which reference was trained on which forget example: bool [K, F]."""
    if len(forget) == 0 or forget[0] < 0 or forget[-1] >= run.plan.n_examples:
        raise InputError(f"forget goes beyond the references' pool of {run.plan.n_examples}: pass columns of the pool")
    missing = [number for number in range(run.plan.n_models) if not run.store.has(number)]
    if missing:
        raise InputError(f"{len(missing)} of {run.plan.n_models} reference models are not trained: audit first")
    kept = [number for number in range(run.plan.n_models) if run.keeps_weights(number)]
    if len(kept) < run.plan.n_models:
        raise InputError(
            f"the weights of {run.plan.n_models - len(kept)} of {run.plan.n_models} reference models were not kept: "
            "audit with keep_weights in an empty references folder"
        )
    inside = run.plan.membership[:, forget]
    fewest = int(min(inside.sum(axis=0).min(), (~inside).sum(axis=0).min()))
    if fewest < 3:
        raise InputError(
            f"a forget example is IN or OUT for {fewest} of {run.plan.n_models} references: U-LiRA needs 3 models a "
            "side; train more"
        )
    return inside


def _columns(phi: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The chosen models' values of each example, first ones first, cut to the number that every example has."""
    count = int(chosen.sum(axis=0).min())
    order = np.argsort(~chosen, axis=0, kind="stable")[:count]
    return np.take_along_axis(phi, order, axis=0)
