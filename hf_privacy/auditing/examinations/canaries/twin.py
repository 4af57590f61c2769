"""The second model of a canary audit: trained once, on the members and the canaries that fair coins put in."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from transformers import TrainerCallback

from hf_privacy.atomic_file import write_atomically
from hf_privacy.auditing.examinations.canaries.worded import secret_losses, with_new_tokens
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base.checkpoints import last_whole_checkpoint
from hf_privacy.errors import InputError
from hf_privacy.progress import progress
from hf_privacy.references import reference_trainer
from hf_privacy.signals import compute_signals

if TYPE_CHECKING:
    from hf_privacy.auditing.examinations.canaries.plan import CanaryPlan

SCORES = {"phi": 1.0, "loss": -1.0}  # signal, and the sign that makes higher mean likelier inserted
_SEED_FILE = "seed.json"


def train_twin(plan: CanaryPlan, *, coin_seed: int | None, batch_size: int, show_progress: bool) -> None:
    """Fill the plan's store, unless it is; a killed run goes on, with the same coins, from its last checkpoint."""
    store, canaries = plan.store, plan.canaries
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
            inserted = np.repeat(np.flatnonzero(coins), plan.repetitions)
            trainer = plan.trainer if plan.worded is None else with_new_tokens(plan.trainer, plan.worded.n_new_tokens)
            twin = reference_trainer(
                trainer,
                _with_canaries(plan.trainer, plan.members, canaries.subset(inserted)),
                seed=int(for_twin.generate_state(1)[0]) % 2**31,
                output_dir=folder,
            )
            before = None if plan.worded is None else secret_losses(twin, plan.worded, batch_size)
            twin.add_callback(_Progress(enabled=show_progress))
            twin.train(resume_from_checkpoint=last_whole_checkpoint(folder))
            info = {"epsilon_upper": twin.privacy_spent()}
            if plan.worded is None:
                model = twin.accelerator.unwrap_model(twin.model)
                signals = compute_signals(model, canaries, batch_size=batch_size, queries=store.queries)
            else:
                loss = secret_losses(twin, plan.worded, batch_size)
                signals = {"phi": (before - loss)[None], "loss": loss[None]}
            if plan.references is not None:
                info["reference_loss"] = secret_losses(twin, plan.references, batch_size).tolist()
            info["seconds"] = time.perf_counter() - started
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
    """Members and inserted canaries as one training set, augmented as the target's is.

    Where members come in groups, each canary is a group of its own: it is what may be there or not.
    """
    together = members.joined(inserted)
    if members.has_paraphrase is not None:  # a canary is its own
        together = together.joined(members.paraphrased(np.ones(len(members), dtype=bool)), inserted).halved()
    if (groups := members.groups) is not None:
        together = together.with_groups(np.concatenate([groups, groups.max() + 1 + np.arange(len(inserted))]))
    augmentation = trainer.train_dataset.augmentation
    return together if augmentation is None else together.with_augmentation(augmentation)


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
