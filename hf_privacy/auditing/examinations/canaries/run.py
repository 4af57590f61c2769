"""The canary audit: a lower bound of ε for the training recipe, from one more training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_privacy.auditing.examinations.canaries.plan import CanaryPlan, plan_canaries
from hf_privacy.auditing.examinations.canaries.result import CanaryResult
from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError

if TYPE_CHECKING:
    from hf_privacy.auditing.case import AuditCase


class Canaries:
    """The examination that trains a second model of the recipe."""

    name = "canaries"

    def __init__(self) -> None:
        """With nothing planned."""
        self._plan: CanaryPlan | None = None

    def check(self, case: AuditCase) -> None:
        """Refuse a recipe without a trainer, canaries that cannot be made, and a folder with those of others."""
        settings = case.settings
        if not settings.canaries.n:
            return
        if case.trainer is None:
            raise InputError(
                "an audit of a saved model with canaries needs trainer: a PrivacyTrainer with the recipe the model "
                "was trained with, since a second model is trained with the canaries"
            )
        self._plan = plan_canaries(
            case.trainer,
            case.data,
            case.split,
            output_dir=case.output_dir,
            n_canaries=settings.canaries.n,
            n_guesses=settings.canaries.guesses,
            delta=settings.canaries.delta,
            confidence=settings.confidence,
            kind=settings.canaries.kind,
            secret_tokens=settings.canaries.secret_tokens,
            repetitions=settings.canaries.repetitions,
            exposure_references=settings.canaries.exposure_references,
            queries=settings.queries,
            seed=settings.reference_seed,
        )

    def run(self, case: AuditCase) -> dict[str, Any] | None:
        """The report's ``canaries`` and ``epsilon``, and a caveat where they break a guarantee."""
        if self._plan is None:
            return None
        found = self._plan.result(batch_size=case.settings.batch_size, show_progress=case.show_progress)
        if found.contradiction is not None:
            case.caveats.insert(0, found.contradiction)
        return {"canaries": found.section, "epsilon": {"upper": case.guarantee, "lower": found.epsilon_lower}}


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
    kind: str | None = None,
    secret_tokens: int = 10,
    repetitions: int = 1,
    exposure_references: int = 1000,
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
        Signal of the canary under its canary label: log odds of that label, or minus its loss. Of a language model's
        canary the log-probability of its secret tokens, less that under the model that training started from, or as
        it is.
    kind : str, optional
        With classes "mislabelled" (default) or "random", see `hf_privacy.data.make_canaries`; of a language model
        "random_tokens" (default), "suffix" or "new_last_token", see `hf_privacy.data.make_worded_canaries`.
    secret_tokens : int
        Of a language model's canary.
    repetitions : int
        How often an inserted canary stands in the training set. The bounds are brought back to one example, at
        ``delta``.
    exposure_references : int
        Secrets that are not trained on, for the exposure of a language model's canaries; 0 for none.
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
    plan = plan_canaries(
        trainer,
        dataset,
        split,
        output_dir=output_dir,
        n_canaries=n_canaries,
        n_guesses=n_guesses,
        delta=delta,
        confidence=confidence,
        score=score,
        kind=kind,
        secret_tokens=secret_tokens,
        repetitions=repetitions,
        exposure_references=exposure_references,
        queries=queries,
        seed=seed,
    )
    return plan.result(batch_size=batch_size, coin_seed=coin_seed, show_progress=show_progress)
