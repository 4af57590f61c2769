"""The references of one audit: the store they belong in, and the way to fill it."""

from __future__ import annotations

import gc
import hashlib
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256
from hf_privacy.models import load_saved_model
from hf_privacy.progress import progress
from hf_privacy.references.clone import recipe_hash
from hf_privacy.references.made_on import mixed_sentence
from hf_privacy.references.plan import ReferencePlan, plan_references
from hf_privacy.references.train import model_folder, remove_checkpoints, train_references
from hf_privacy.signals import ADVERSARIAL_QUERY, SignalStore, curvature_signal_names, scored_offsets

if TYPE_CHECKING:
    from hf_privacy.adversarial import AdversarialInputs
    from hf_privacy.signals import Curvature


@dataclass(frozen=True)
class ReferenceRun:
    """Everything needed to train an audit's references: in the audit's process or in a worker's.

    Made only where the store's models have the plan's training sets and seeds.

    Attributes
    ----------
    trainer : PrivacyTrainer
        Whose recipe they follow.
    train_pool : TensorDataset
        The pool as trained on.
    audit_dataset : TensorDataset
        The pool, then the population, as signals are computed on.
    plan : ReferencePlan
    store : SignalStore
    adversarial : AdversarialInputs, optional
        The attack that the store's query "adversarial" is made by.
    curvature : Curvature, optional
        What the store's curvature signals are made with.
    stack : int, optional
        How many adapters are trained side by side, see `hf_privacy.references.train.train_references`.
    """

    trainer: PrivacyTrainer
    train_pool: TensorDataset
    audit_dataset: TensorDataset
    plan: ReferencePlan
    store: SignalStore
    adversarial: AdversarialInputs | None = None
    curvature: Curvature | None = None
    stack: int | None = None

    def __post_init__(self) -> None:
        """Refuse a store whose models were trained on other halves, or under other seeds, than the plan's."""
        done = [number for number in self.store.completed() if number < self.plan.n_models]
        for number in done:
            membership = self.store.membership(models=[number])[0]
            as_planned = self.plan.membership[number]
            held_out = membership[self.plan.n_examples :]
            same = np.array_equal(membership[: self.plan.n_examples], as_planned) and not held_out.any()
            if not same or self.store.info(number).get("seed") != self.plan.model_seed(number):
                raise InputError(
                    f"reference model {number} in {self.store.folder.name} has another "
                    f"{'seed' if same else 'training set'} than its plan: delete {self.store.folder.name} to train "
                    "its reference models again"
                )

    def train(
        self,
        *,
        batch_size: int = 512,
        keep_weights: bool = False,
        workers: AbstractContextManager | None = None,
        show_progress: bool = False,
    ) -> None:
        """Train until the store is whole: here, and in ``workers`` (see `worker_processes`), side by side.

        Returns when every model is done, those claimed by other processes included. A model whose file was damaged,
        or is another's, is trained again, with a warning that names it.
        """
        damaged = self.store.damaged()
        if damaged:
            numbers = ", ".join(map(str, damaged))
            warnings.warn(
                f"the files of the reference models {numbers} in {self.store.folder.name} are damaged or were copied "
                "from another place: these models are trained again",
                stacklevel=2,
            )
        # A kill just after a model's signals were written leaves its checkpoints behind.
        done = self.store.completed()
        for number in done:
            remove_checkpoints(self.store, number)
        if len(done) == self.plan.n_models:
            return
        with _shown(self.store, enabled=show_progress), workers or nullcontext(), _frozen_heap():
            while len(self.store.completed()) < self.plan.n_models:
                trained = self.train_missing(batch_size=batch_size, keep_weights=keep_weights)
                # What is left is claimed by other processes; should one of them die, its claim falls to us.
                if not trained:
                    time.sleep(0.2)

    def train_missing(
        self, *, batch_size: int = 512, keep_weights: bool = False, numbers: Sequence[int] | None = None
    ) -> int:
        """Train, in this process alone, what no other process is at, of all or of some numbers; how many that were."""
        return train_references(
            self.trainer,
            self.train_pool,
            self.audit_dataset,
            self.plan,
            self.store,
            queries=self.store.queries,
            batch_size=batch_size,
            keep_weights=keep_weights,
            adversarial=self.adversarial,
            curvature=self.curvature,
            numbers=numbers,
            stack=self.stack,
        )

    def first(self, count: int) -> ReferenceRun:
        """The same with its first ``count`` models alone; they come in complementary halves."""
        plan = replace(self.plan, membership=self.plan.membership[:count])
        store = SignalStore(self.store.folder, {**self.store.metadata, "n_models": count})
        return replace(self, plan=plan, store=store)

    def mixed(self) -> str | None:
        """What a reader must know where the reference models were not all trained on one kind of machine."""
        return mixed_sentence([self.store.info(number).get("made_on") for number in range(self.plan.n_models)])

    def kept_model(self, number: int) -> torch.nn.Module | None:
        """Reference model ``number``, or None where its weights were not kept.

        Raises
        ------
        InputError
            When the weights are not those that were trained.
        """
        if not self.keeps_weights(number):
            return None
        folder = model_folder(self.store, number)
        if weights_sha256(folder) != self.store.info(number)["weights_sha256"]:
            raise InputError(
                f"the kept weights of reference model {number} in {self.store.folder.name} are not those that were "
                f"trained: delete {self.store.file_name(number)} there to train it again"
            )
        return load_saved_model(folder)

    def keeps_weights(self, number: int) -> bool:
        """Whether reference model ``number`` is there itself, not its signals alone."""
        return (
            self.store.has(number)
            and self.store.info(number).get("weights_sha256") is not None
            and any(model_folder(self.store, number).glob("*config.json"))
        )


def reference_run(
    trainer: PrivacyTrainer,
    dataset: TensorDataset,
    split: MembershipSplit,
    folder: str | Path,
    *,
    n_models: int,
    fraction: float = 0.5,
    seed: int = 0,
    queries: Sequence[str] = ("identity",),
    adversarial: AdversarialInputs | None = None,
    curvature: Curvature | None = None,
    stack: int | None = None,
) -> ReferenceRun:
    """Plan the references of an audit and open their store.

    References depend on the pool and the population, not on which half of the pool the target was trained on, so
    targets of several splits of one pool share them.

    Parameters
    ----------
    trainer : PrivacyTrainer
        The target's, built with ``model_init``.
    dataset : TensorDataset
        Every row ``split`` counts, without augmentation.
    split : MembershipSplit
    folder : path
        Of the store; made if absent.
    n_models, fraction, seed
        Of `plan_references`.
    queries : sequence of str
        Clean ones.
    adversarial : AdversarialInputs, optional
        Adds the query "adversarial", the last one: each example attacked through the reference itself.
    curvature : Curvature, optional
        Adds the curvature signals.
    stack : int, optional
        How many adapters of one base are trained side by side; by default as many as memory and processes allow, up
        to 8, and 1 for one after another.

    Raises
    ------
    InputError
        If the store in ``folder`` was made with another recipe, dataset, pool, plan, attack, curvature or versions of
        the packages that shape its figures, or ``queries`` hold "adversarial".
    """
    if ADVERSARIAL_QUERY in queries:
        raise InputError(
            f"queries is {list(queries)}: leave 'adversarial' out, it comes with the argument adversarial"
        )
    pool_hash = hashlib.sha256(split.pool.tobytes() + b"|" + split.population.tobytes()).hexdigest()
    classes = dataset.row_classes
    plan = plan_references(
        None if classes is None else classes[split.pool],
        n_models=n_models,
        fraction=fraction,
        seed=seed,
        groups=np.arange(len(split.pool)) if split.groups is None else split.pool_groups,
    )
    rows = np.concatenate([split.pool, split.population])
    metadata = {
        "recipe_hash": recipe_hash(trainer, plan, dataset_fingerprint=split.dataset_fingerprint, pool_hash=pool_hash),
        "dataset_fingerprint": split.dataset_fingerprint,
        "split_hash": pool_hash,
        "example_ids_digest": hashlib.sha256(rows.tobytes()).hexdigest(),
        "encoded_data_digest": dataset.subset(rows).digest(),
        "n_models": n_models,
        "n_examples": len(rows),
        "queries": [*queries, *([] if adversarial is None else [ADVERSARIAL_QUERY])],
        "signals": [
            *trainer.task.signal_names,
            *([] if curvature is None else curvature_signal_names(curvature.method)),
        ],
    }
    audit_dataset = dataset.subset(rows)
    if not trainer.task.has_classes:
        metadata["n_tokens"] = int(scored_offsets(audit_dataset)[-1])
    # Only where there are any: a store from before they existed says nothing of them, and is as good as ever.
    if adversarial is not None:
        metadata["adversarial"] = adversarial.describe()
    if curvature is not None:
        metadata["curvature"] = asdict(curvature)
    train_pool = dataset.subset(split.pool)
    augmentation = trainer.train_dataset.augmentation
    if augmentation is not None:
        train_pool = train_pool.with_augmentation(augmentation)
    store = SignalStore.create(folder, metadata)
    return ReferenceRun(trainer, train_pool, audit_dataset, plan, store, adversarial, curvature, stack)


@contextmanager
def _frozen_heap() -> Iterator[None]:
    """Keep what is loaded by now out of garbage collection, which the Trainer runs in full for every model."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _shown(store: SignalStore, *, enabled: bool) -> Iterator[None]:
    """Show how many references are done, whoever trains them, while the block runs."""
    if not enabled:
        yield
        return
    finished = threading.Event()
    left = store.n_models - len(store.completed())

    def completions() -> Iterator[None]:
        seen = 0
        while seen < left and not finished.is_set():
            done = len(store.completed()) - (store.n_models - left)
            yield from [None] * (done - seen)
            seen = done
            finished.wait(0.5)
        # The last ones may have finished between two looks.
        yield from [None] * (len(store.completed()) - (store.n_models - left) - seen)

    def watch() -> None:
        for _ in progress(completions(), total=left, description="reference models"):
            pass

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
