"""Models retrained on what is retained: the measure of every unlearner, and their stored logs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_privacy.atomic_file import write_atomically
from hf_privacy.data import ForgetSplit, TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.references.clone import recipe_hash
from hf_privacy.references.collect import ReferenceRun
from hf_privacy.references.plan import ReferencePlan
from hf_privacy.signals import SignalStore, TokenSignals, scored_offsets
from hf_privacy.tasks import Task
from hf_privacy.unlearning import UnlearningEvaluation
from hf_privacy.unlearning.base.evaluation import token_columns

FIGURES_FILE = "figures.json"


def retrained_run(
    trainer: PrivacyTrainer,
    dataset: TensorDataset,
    split: ForgetSplit,
    folder: str | Path,
    *,
    test: np.ndarray,
    n_models: int,
    seed: int = 0,
    dataset_fingerprint: str = "",
) -> ReferenceRun:
    """Plan models that are trained as the original was, but on the retain set alone, each under a seed of its own.

    They are reference models that all have the same training set: ``train`` trains what the store lacks, goes on where
    a killed run stopped, and shares the work among processes. The store then serves in place of the models.

    Parameters
    ----------
    trainer : PrivacyTrainer
        The original's, built with ``model_init``; it is not trained itself.
    dataset : TensorDataset
        The one ``split`` counts, without augmentation.
    split : ForgetSplit
    folder : path
        Of the store: one for each forget set.
    test : int64[T]
        Rows that neither training nor the unlearner sees.
    n_models : int
        At least 1; a larger number than before goes on with more.
    seed : int
    dataset_fingerprint : str
        Of the dataset, so that a store of other data is refused.

    Raises
    ------
    InputError
        For no model, or a store that was made with another recipe, forget set or test set.
    """
    if n_models < 1:
        raise InputError(f"n_models is {n_models}: retrain at least one model")
    rows = np.concatenate([split.forget, split.retain, test])
    n_pool = len(split.forget) + len(split.retain)
    membership = np.tile(np.arange(n_pool) >= len(split.forget), (n_models, 1))
    plan = ReferencePlan(membership=membership, fraction=len(split.retain) / n_pool, seed=seed)
    # Not the plan itself, whose number of rows is that of the models: a store may grow.
    one = ReferencePlan(membership=membership[:1], fraction=plan.fraction, seed=seed)
    parts = hashlib.sha256(b"|".join(part.tobytes() for part in (split.forget, split.retain, np.asarray(test))))
    metadata = {
        "recipe_hash": recipe_hash(trainer, one, dataset_fingerprint=dataset_fingerprint, pool_hash=parts.hexdigest()),
        "dataset_fingerprint": dataset_fingerprint,
        "split_hash": parts.hexdigest(),
        "example_ids_digest": hashlib.sha256(rows.tobytes()).hexdigest(),
        "n_models": n_models,
        "n_examples": len(rows),
        "queries": ["identity"],
        "signals": list(trainer.task.signal_names),
        "n_forget": len(split.forget),
        "n_retain": len(split.retain),
    }
    judged = dataset.subset(rows)
    if not trainer.task.has_classes:
        metadata["n_tokens"] = int(scored_offsets(judged)[-1])
    pool = dataset.subset(rows[:n_pool])
    if trainer.train_dataset.augmentation is not None:
        pool = pool.with_augmentation(trainer.train_dataset.augmentation)
    return ReferenceRun(trainer, pool, judged, plan, SignalStore.create(folder, metadata))


def retrained_evaluations(
    store: SignalStore,
    labels: np.ndarray,
    *,
    task: Task | None = None,
    base: TokenSignals | None = None,
    groups: np.ndarray | None = None,
) -> list[UnlearningEvaluation]:
    """What each retrained model of a store does on forget, retain and test set; no model is needed.

    Parameters
    ----------
    store : SignalStore
        That of `retrained_run`, whole.
    labels : int64[F + R + T], or [F + R + T, L] of a language model
        Classes of the forget, the retain and the test rows; or the labels of their tokens.
    task : Task, optional
        What an example is; by default one with a class.
    base, groups
        Of a language model, of these rows, as in `hf_privacy.unlearning.evaluate_unlearning`.

    Raises
    ------
    InputError
        When the store is of something else, lacks models, or labels are of another number.
    """
    if "n_forget" not in store.metadata:
        raise InputError(f"the signal store {store.folder.name} is of no retrained models: pass that of retrained_run")
    if len(labels) != store.n_examples:
        raise InputError(
            f"labels has {len(labels)} rows and the store {store.n_examples:,} examples: pass all of them"
        )
    missing = store.n_models - len(store.completed())
    if missing:
        raise InputError(f"{missing} of {store.n_models} retrained models are missing: run the same command again")
    sizes = {"n_forget": store.metadata["n_forget"], "n_retain": store.metadata["n_retain"]}
    evaluations = []
    for number in range(store.n_models):
        signals = {name: store.read(name, models=[number], query=0)[0] for name in store.signals}
        if task is None or task.has_classes:
            signals["label"] = labels
        else:
            offsets = scored_offsets(TensorDataset({"labels": torch.as_tensor(labels)}))
            signals |= token_columns(store.tokens(number, offsets), base, groups)
        evaluations.append(UnlearningEvaluation.of_arrays(signals, **sizes, task=task))
    return evaluations


def retrained_seconds(store: SignalStore) -> list[float]:
    """What training each of them took."""
    return [float(store.info(number)["training_seconds"]) for number in range(store.n_models)]


def save_retrained_figures(store: SignalStore, evaluations: list[UnlearningEvaluation]) -> Path:
    """Write the figures of each retrained model beside their arrays, for `hf_privacy.forgetting.unlearning_gap`.

    Returns
    -------
    Path
        A JSON list with UA, RA, TA, MIA and ``training_seconds`` of each model.
    """
    logs: list[dict[str, Any]] = [
        {**evaluation.values(), "training_seconds": seconds}
        for evaluation, seconds in zip(evaluations, retrained_seconds(store), strict=True)
    ]
    path = store.folder / FIGURES_FILE
    write_atomically(path, (json.dumps(logs, indent=2) + "\n").encode())
    return path
