"""The canary audit: a lower bound of ε for the training recipe, from one more training run."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from hf_privacy.atomic_file import write_atomically
from hf_privacy.auditing.examinations.canaries.result import CanaryResult
from hf_privacy.data import MembershipSplit, TensorDataset, make_canaries
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base.checkpoints import last_whole_checkpoint
from hf_privacy.errors import InputError
from hf_privacy.progress import progress
from hf_privacy.recipe.audit_settings import FEWEST_CANARIES
from hf_privacy.references import (
    ReferencePlan,
    recipe_hash,
    reference_trainer,
    require_cloneable,
)
from hf_privacy.signals import SignalStore, compute_signals
from hf_privacy.statistics import auc, auc_interval, epsilon_one_run, epsilon_one_run_fdp

SCORES = {"phi": 1.0, "loss": -1.0}  # signal, and the sign that makes higher mean likelier inserted
_SEED_FILE = "seed.json"


def canary_audit(
    trainer: PrivacyTrainer,
    dataset: TensorDataset,
    split: MembershipSplit,
    *,
    output_dir: str | Path,
    n_canaries: int,
    n_guesses: int | Sequence[int] | None = None,
    delta: float | None = None,
    confidence: float = 0.95,
    score: str = "phi",
    kind: str = "mislabelled",
    queries: Sequence[str] = ("identity",),
    batch_size: int = 512,
    seed: int = 0,
    coin_seed: int | None = None,
    show_progress: bool = True,
) -> CanaryResult:
    """Train a twin of the target with canaries put in by fair coins, and bound ε from below by recognising them.

    The twin has the target's recipe, a seed of its own, and as training set the members and those canaries whose coin
    fell on heads. The bound therefore speaks of the **training procedure on these data**, not of the one checkpoint
    that ``trainer`` made, which never saw a canary.

    Coins and the twin's seed come from one seed out of the operating system's entropy, which is kept in
    ``output_dir/private/canaries`` so that a killed run goes on with the same coins; nothing that is published holds
    it. The twin is trained once: later calls with the same settings read its signals, and may ask for another
    ``delta`` or ``confidence``. Its weights are not kept.

    Parameters
    ----------
    trainer : PrivacyTrainer
        With the recipe, built with ``model_init``; not trained itself.
    dataset : TensorDataset
        Every row ``split`` counts, without augmentation.
    split : MembershipSplit
    output_dir : path
        Gets ``private/canaries/``.
    n_canaries : int
        m, at least 10. Were all recognised, 100, 1,000 and 10,000 would show an ε of 2.4, 4.7 and 6.4 (default
        guesses, δ = 1e-5); the inserted half should stay a small part of the training set.
    n_guesses : int or sequence of int, optional
        How many canaries are guessed, half of them IN and half OUT: even numbers, fixed beforehand, with the risk
        shared among several. By default a tenth, a quarter and a half of `n_canaries`.
    delta : float, optional
        By default the accountant's where the trainer has one, else 1 / (10 · number of members).
    confidence : float
    score : {"phi", "loss"}
        Signal of the canary under its canary label: log odds of that label, or minus its loss.
    kind : {"mislabelled", "random"}
        See `hf_privacy.data.make_canaries`.
    queries : sequence of str
        Query augmentations that the signal is averaged over.
    batch_size : int
    seed : int
        Of what the canaries are; it decides nothing about which are inserted.
    coin_seed : int, optional
        In place of entropy, to repeat a run; it must stay private, and be chosen before looking at any result.
    show_progress : bool

    Returns
    -------
    CanaryResult

    Raises
    ------
    InputError
        For settings out of range, a trainer that cannot be cloned, too few rows to make canaries of, or a folder that
        holds a canary audit of other settings; before any training.

    References
    ----------
    Steinke, Nasr and Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023 (arXiv 2305.08846),
    Algorithm 1. Mahloujifar, Melis and Chaudhuri, "Auditing f-differential privacy in one run", ICML 2025 (arXiv
    2410.22235).
    """
    guesses = _checked_guesses(n_canaries, n_guesses)
    if score not in SCORES:
        raise InputError(f"score is {score!r}: pass 'phi' or 'loss'")
    guarantee = trainer.privacy_spent()
    if delta is None:
        delta = 1 / (10 * len(split.members)) if guarantee is None else guarantee["delta"]
    for name, value in (("delta", delta), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(f"{name} is {value}: pass a number in (0, 1)")
    require_cloneable(trainer)
    canaries = make_canaries(
        dataset,
        n=n_canaries,
        members=split.members,
        n_classes=int(trainer.model.config.num_labels),
        kind=kind,
        tokenizer=trainer.processing_class,
        seed=seed,
    )
    metadata = {
        "recipe_hash": recipe_hash(
            trainer,
            ReferencePlan(membership=split.membership[None], fraction=0.5, seed=0),
            dataset_fingerprint=split.dataset_fingerprint,
            pool_hash=split.hash,
        ),
        "dataset_fingerprint": split.dataset_fingerprint,
        "split_hash": split.hash,
        "example_ids_digest": _digest(canaries),
        "n_models": 1,
        "n_examples": n_canaries,
        "queries": list(queries),
        "signals": list(SCORES),
        "n_guesses": list(guesses),
        "score": score,
        "kind": kind,
    }
    store = _open_store(Path(output_dir) / "private" / "canaries", metadata)
    _train_once(trainer, dataset, split, canaries, store, coin_seed, batch_size, show_progress)

    coins = store.membership()[0]
    scores = SCORES[score] * store.read(score)[0]
    info = store.info(0)
    low, high = auc_interval(scores, coins, confidence=confidence)
    bounds = {"n_guesses": guesses, "delta": delta, "confidence": confidence}
    return CanaryResult(
        one_run=epsilon_one_run(scores, coins, **bounds),
        one_run_fdp=epsilon_one_run_fdp(scores, coins, **bounds),
        delta=float(delta),
        confidence=float(confidence),
        n_canaries=n_canaries,
        n_inserted=int(coins.sum()),
        n_guesses=guesses,
        kind=kind,
        score=score,
        auc=auc(scores, coins),
        auc_low=low,
        auc_high=high,
        epsilon_upper=info["epsilon_upper"],
        seconds=info["seconds"],
    )


def default_guesses(n_canaries: int) -> tuple[int, ...]:
    """A tenth, a quarter and a half of the canaries, each rounded down to an even number of at least 2.

    Few guesses show most where few canaries are recognised for sure, many where nearly all are.

    Examples
    --------
    >>> default_guesses(1000), default_guesses(10)
    ((100, 250, 500), (2, 4))
    """
    return tuple(sorted({max(2, 2 * (n_canaries // part)) for part in (20, 8, 4)}))


def _checked_guesses(n_canaries: int, n_guesses: int | Sequence[int] | None) -> tuple[int, ...]:
    if n_canaries < FEWEST_CANARIES:
        raise InputError(f"n_canaries is {n_canaries}: pass at least {FEWEST_CANARIES}; a few hundred say more")
    if n_guesses is None:
        return default_guesses(n_canaries)
    guesses = list(n_guesses) if np.ndim(n_guesses) else [n_guesses]
    whole = all(isinstance(count, (int, np.integer)) and not isinstance(count, bool) for count in guesses)
    if not guesses or not whole or any(count < 2 or count % 2 or count > n_canaries for count in guesses):
        raise InputError(
            f"n_guesses is {n_guesses!r} for {n_canaries} canaries: pass even numbers from 2 to {n_canaries}"
        )
    return tuple(sorted({int(count) for count in guesses}))


def _open_store(folder: Path, metadata: dict[str, Any]) -> SignalStore:
    """The twin's store; one of other settings is refused, since its guesses were fixed for those."""
    if (folder / "metadata.json").is_file():
        kept = SignalStore.open(folder).metadata
        different = sorted(name for name, value in metadata.items() if kept.get(name) != value)
        if different:
            raise InputError(
                f"output_dir holds a canary audit of other settings (different: {', '.join(different)}): delete its "
                "folder private/canaries to draw new coins and train again, or use another output_dir"
            )
    return SignalStore.create(folder, metadata)


def _train_once(
    trainer: PrivacyTrainer,
    dataset: TensorDataset,
    split: MembershipSplit,
    canaries: TensorDataset,
    store: SignalStore,
    coin_seed: int | None,
    batch_size: int,
    show_progress: bool,
) -> None:
    """Fill the store, unless it is; a killed run goes on, with the same coins, from its last checkpoint."""
    folder = store.folder / "model"
    while not store.has(0):
        with store.claim(0) as claimed:
            if not claimed:  # another process is at it
                time.sleep(0.2)
                continue
            started = time.perf_counter()
            for_coins, for_twin = np.random.SeedSequence(_private_seed(store.folder, coin_seed)).spawn(2)
            coins = np.random.default_rng(for_coins).random(len(canaries)) < 0.5
            if coins.all() or not coins.any():
                (store.folder / _SEED_FILE).unlink()
                raise InputError(f"all {len(canaries)} coins fell on one side: run again, or with more canaries")
            twin = reference_trainer(
                trainer,
                _with_canaries(trainer, dataset.subset(split.members), canaries.subset(np.flatnonzero(coins))),
                seed=int(for_twin.generate_state(1)[0]) % 2**31,
                output_dir=folder,
            )
            twin.add_callback(_Progress(enabled=show_progress))
            twin.train(resume_from_checkpoint=last_whole_checkpoint(folder))
            model = twin.accelerator.unwrap_model(twin.model)
            signals = compute_signals(model, canaries, batch_size=batch_size, queries=store.queries)
            info = {"seconds": time.perf_counter() - started, "epsilon_upper": twin.privacy_spent()}
            store.write(0, {name: signals[name] for name in SCORES}, coins, info=info)
    shutil.rmtree(folder, ignore_errors=True)  # checkpoints, also those that a kill after the last write left


def _private_seed(folder: Path, coin_seed: int | None) -> int:
    """The seed in the folder, or a new one put there before anything is drawn from it."""
    file = folder / _SEED_FILE
    if file.is_file():
        kept = int(json.loads(file.read_text(encoding="utf-8"))["seed"])
        if coin_seed not in (None, kept):
            raise InputError("coin_seed is another than the one kept in private/canaries: leave it out to go on")
        return kept
    seed = secrets.randbits(128) if coin_seed is None else coin_seed
    write_atomically(file, json.dumps({"seed": str(seed)}).encode(), mode=0o600)
    return seed


def _with_canaries(trainer: PrivacyTrainer, members: TensorDataset, inserted: TensorDataset) -> TensorDataset:
    """Members and inserted canaries as one training set, augmented as the target's is."""
    together = members.with_tensors(
        {name: torch.cat([members.column(name), inserted.column(name)]) for name in members.column_names}
    )
    augmentation = trainer.train_dataset.augmentation
    return together if augmentation is None else together.with_augmentation(augmentation)


def _digest(dataset: TensorDataset) -> str:
    """Of the canaries themselves: other data, another processor or another seed makes others."""
    digest = hashlib.sha256()
    for name in sorted(dataset.column_names):
        tensor = dataset.column(name)
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.contiguous().numpy())
    return digest.hexdigest()


class _Progress(TrainerCallback):
    """The twin's steps on standard error."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        steps = range(state.global_step, state.max_steps)
        self._steps = progress(steps, description="model with canaries, steps", enabled=self._enabled)
        next(self._steps, None)

    def on_step_end(self, args, state, control, **kwargs) -> None:
        next(self._steps, None)
