"""What a canary audit is made of, checked and fixed before its model is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_privacy.arguments import check_whole
from hf_privacy.attacks import exposure_by_extrapolation, exposure_by_sampling, exposure_ceiling
from hf_privacy.auditing.examinations.canaries.result import CanaryResult
from hf_privacy.auditing.examinations.canaries.twin import SCORES, train_twin
from hf_privacy.data import MembershipSplit, TensorDataset, WordedCanaries, make_canaries, make_worded_canaries
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models.modes import bare_model
from hf_privacy.recipe.canary_settings import FEWEST_CANARIES, canary_kind
from hf_privacy.recipe.later import check_new_tokens
from hf_privacy.references import ReferencePlan, recipe_hash, require_cloneable
from hf_privacy.signals import SignalStore
from hf_privacy.statistics import auc, auc_interval, epsilon_one_run, epsilon_one_run_fdp
from hf_privacy.statistics.repetitions import epsilon_of_one, gaussian_epsilon_of_one
from hf_privacy.tasks import task_of

_REFERENCES = 2**64  # apart from every seed of canaries


@dataclass(frozen=True)
class CanaryPlan:
    """Canaries, guesses and the store of one canary audit.

    Attributes
    ----------
    trainer : PrivacyTrainer
        Whose recipe the twin follows.
    members, canaries : TensorDataset
    store : SignalStore
        Of the twin; its metadata name the audit's settings.
    guesses : tuple of int
    delta, confidence : float
    repetitions : int
        How often an inserted canary stands in the training set.
    worded : WordedCanaries, optional
        Of a language model: ``canaries`` and their secrets.
    references : WordedCanaries, optional
        Secrets that are not trained on, for the exposure.
    """

    trainer: PrivacyTrainer
    members: TensorDataset
    canaries: TensorDataset
    store: SignalStore
    guesses: tuple[int, ...]
    delta: float
    confidence: float
    repetitions: int = 1
    worded: WordedCanaries | None = None
    references: WordedCanaries | None = None

    def result(self, *, batch_size: int, coin_seed: int | None = None, show_progress: bool = True) -> CanaryResult:
        """Train the twin, unless it is, and bound ε; see `canary_audit`."""
        store, kind, score = self.store, self.store.metadata["kind"], self.store.metadata["score"]
        train_twin(self, coin_seed=coin_seed, batch_size=batch_size, show_progress=show_progress)
        coins = store.membership()[0]
        scores = SCORES[score] * store.read(score)[0]
        info = store.info(0)
        low, high = auc_interval(scores, coins, confidence=self.confidence)
        bounds = {"n_guesses": self.guesses, "confidence": self.confidence}
        of_one = {"delta": self.delta, "repetitions": self.repetitions}
        gaussian = epsilon_one_run_fdp(scores, coins, delta=self.delta, **bounds)
        perfect, halves = np.arange(len(coins)), np.arange(len(coins)) >= len(coins) // 2
        return CanaryResult(
            one_run=epsilon_of_one(lambda delta: epsilon_one_run(scores, coins, delta=delta, **bounds), **of_one),
            one_run_fdp=gaussian_epsilon_of_one(gaussian, **of_one),
            delta=float(self.delta),
            confidence=float(self.confidence),
            n_canaries=len(self.canaries),
            n_inserted=int(coins.sum()),
            n_guesses=self.guesses,
            kind=kind,
            score=score,
            auc=auc(scores, coins),
            auc_low=low,
            auc_high=high,
            epsilon_upper=info["epsilon_upper"],
            seconds=info["seconds"],
            ceiling=epsilon_of_one(lambda delta: epsilon_one_run(perfect, halves, delta=delta, **bounds), **of_one),
            repetitions=self.repetitions,
            exposure=None
            if self.references is None
            else exposure_of(store.read("loss")[0], coins, np.array(info["reference_loss"])),
        )


def plan_canaries(
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
    kind: str | None = None,
    secret_tokens: int = 10,
    repetitions: int = 1,
    exposure_references: int = 1000,
    queries: Sequence[str] = ("identity",),
    seed: int = 0,
) -> CanaryPlan:
    """Check the arguments of `canary_audit`, make the canaries and open the store.

    Raises
    ------
    InputError
        As `canary_audit`.
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
    has_classes = task_of(trainer.model).has_classes
    kind = canary_kind(kind, has_classes=has_classes)
    made = {"members": split.members, "kind": kind, "tokenizer": trainer.processing_class}
    worded = references = None
    if has_classes:
        classes = int(trainer.model.config.num_labels)
        canaries = make_canaries(dataset, n=n_canaries, n_classes=classes, seed=seed, **made)
    else:
        made |= {"vocabulary": _vocabulary(trainer, kind), "secret_tokens": secret_tokens}
        worded = make_worded_canaries(dataset, n=n_canaries, seed=seed, **made)
        canaries = worded.rows
        if exposure_references and not worded.n_new_tokens:  # a new token's own space is the other new ones
            # Of another stream than the canaries', and the same for any number of these.
            references = make_worded_canaries(dataset, n=exposure_references, seed=seed + _REFERENCES, **made)
    metadata = {
        "recipe_hash": recipe_hash(
            trainer,
            ReferencePlan(membership=split.membership[None], fraction=0.5, seed=0),
            dataset_fingerprint=split.dataset_fingerprint,
            pool_hash=split.hash,
        ),
        "dataset_fingerprint": split.dataset_fingerprint,
        "split_hash": split.hash,
        "example_ids_digest": canaries.digest(),
        "n_models": 1,
        "n_examples": n_canaries,
        "queries": list(queries),
        "signals": list(SCORES),
        "n_guesses": list(guesses),
        "score": score,
        "kind": kind,
        **({} if repetitions == 1 else {"repetitions": repetitions}),
        **({} if references is None else {"references_digest": references.secrets.digest()}),
    }
    store = _open_store(Path(output_dir) / "private" / "canaries", metadata)
    return CanaryPlan(
        trainer=trainer,
        members=dataset.subset(split.members),
        canaries=canaries,
        store=store,
        guesses=guesses,
        delta=delta,
        confidence=confidence,
        repetitions=check_whole("repetitions", repetitions, at_least=1),
        worded=worded,
        references=references,
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


def exposure_of(loss: np.ndarray, coins: np.ndarray, reference_loss: np.ndarray) -> dict[str, Any]:
    """The report's ``exposure``: means in bits over inserted and left-out canaries, by sampling and, where the fit
    holds, by extrapolation.

    Examples
    --------
    >>> found = exposure_of(np.array([0.0, 5.5]), np.array([True, False]), np.arange(1.0, 9.0))
    >>> found["inserted"], found["ceiling"], found["extrapolated"]
    (3.0, 3.0, None)
    """
    bits = exposure_by_sampling(loss, reference_loss)
    ceiling = exposure_ceiling(len(reference_loss))
    try:
        extrapolated = float(exposure_by_extrapolation(loss[coins], reference_loss).mean())
    except InputError:  # too few references, or a bad fit
        extrapolated = None
    return {
        "inserted": min(float(bits[coins].mean()), ceiling),  # a mean of ceilings may be rounded above them
        "inserted_median": float(np.median(bits[coins])),
        "left_out": float(bits[~coins].mean()),
        "ceiling": ceiling,
        "n_references": len(reference_loss),
        "extrapolated": extrapolated,
    }


def _vocabulary(trainer: PrivacyTrainer, kind: str) -> int:
    """Number of tokens that the model has embeddings for; a new one needs an embedding and a head that are trained.

    Raises
    ------
    InputError
        For no tokenizer, or new tokens for a model whose embedding or head is frozen.
    """
    if trainer.processing_class is None:
        raise InputError("the trainer has no processing_class: canaries are worded with the model's tokenizer")
    check_new_tokens(trainer.model, kind)
    return int(bare_model(trainer.model).get_input_embeddings().weight.shape[0])


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
