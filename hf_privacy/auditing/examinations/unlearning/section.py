"""The report's section on unlearning: what was asked, what came of it, and what retraining would have given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_privacy.auditing.examinations.unlearning.language import language_figures, over_models
from hf_privacy.auditing.groups import FEWEST
from hf_privacy.forgetting import unlearning_gap
from hf_privacy.recipe import UnlearningRows
from hf_privacy.unlearning import Relearning, UnlearningEvaluation
from hf_privacy.unlearning.base.evaluation import share_of

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
U_LIRA = ("auc", "auc_low", "auc_high", "tpr_at_fpr", "n_pairs", "n_examples")


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that the section is made of.

    Attributes
    ----------
    rows : UnlearningRows
    method : dict
        "name", "parameters" and "paper", as `UnlearningTrainer.describe_unlearning` gives them.
    before, after : UnlearningEvaluation
        The original and the unlearned model.
    timing : mapping of str to float
        "scoring", "shadows", "training" and "total", in seconds, of all requests served; the cost beside retraining is
        that of scoring and training, and, apart, with the shadow models, whenever these were trained.
    retrained : sequence of UnlearningEvaluation
        Empty where nothing was retrained.
    retrain_seconds : sequence of float
    relearning : Relearning, optional
    retrained_relearning : sequence of Relearning
    relearning_cap : int
    after_edit : mapping of str to float, optional
        Accuracies between the edit and the epochs.
    u_lira : mapping, optional
        The summary of `hf_privacy.forgetting.u_lira`.
    confidence : float
    """

    rows: UnlearningRows
    method: Mapping[str, Any]
    before: UnlearningEvaluation
    after: UnlearningEvaluation
    timing: Mapping[str, float]
    retrained: Sequence[UnlearningEvaluation] = ()
    retrain_seconds: Sequence[float] = ()
    relearning: Relearning | None = None
    retrained_relearning: Sequence[Relearning] = ()
    relearning_cap: int = 0
    after_edit: Mapping[str, float] | None = None
    u_lira: Mapping[str, Any] | None = None
    confidence: float = 0.95


def unlearning_section(outcome: Outcome) -> dict[str, Any]:
    """Put the section together: counts and aggregates, never which examples were forgotten.

    Parameters
    ----------
    outcome : Outcome

    Returns
    -------
    dict
        The report's ``unlearning``. ``figures`` has UA, RA, TA and MIA efficacy before, after and retrained (mean over
        models, Student's t interval; for one model its own exact interval); ``gap`` what
        `hf_privacy.forgetting.unlearning_gap` gives of them, None without retrained models; ``retain_harm`` the
        retained examples that turned wrong and right; ``forget_loss`` quantiles of the loss on the forget set, None
        for fewer than 20 examples; ``language`` what `language_figures` gives; ``relearning``, ``u_lira``, ``cost``.
    """
    split = outcome.rows.split
    return {
        "request": {
            "kind": outcome.rows.kind,
            "unit": outcome.rows.unit,
            "n_units": outcome.rows.n_units,
            "n_requests": outcome.rows.n_requests,
            "n_forget": len(split.forget),
            "n_retain": len(split.retain),
            "n_heldout": len(split.heldout),
            "n_test": len(outcome.rows.test),
        },
        "method": {name: outcome.method[name] for name in ("name", "parameters", "paper")},
        "after_edit": None if outcome.after_edit is None else dict(outcome.after_edit),
        "n_retrained": len(outcome.retrained),
        "figures": _figures(outcome),
        "gap": _gap(outcome),
        "retain_harm": _retain_harm(outcome),
        "forget_loss": _forget_loss(outcome),
        "language": language_figures(outcome.before, outcome.after, outcome.retrained, confidence=outcome.confidence),
        "relearning": _relearning(outcome),
        "u_lira": None if outcome.u_lira is None else {name: outcome.u_lira[name] for name in U_LIRA},
        "cost": _cost(outcome),
    }


def _figures(outcome: Outcome) -> dict[str, Any]:
    before, after, *retrained = (
        model.figures(confidence=outcome.confidence) for model in (outcome.before, outcome.after, *outcome.retrained)
    )
    merged = [over_models(figures, confidence=outcome.confidence) for figures in zip(*retrained, strict=True)]
    return {"before": before, "after": after, "retrained": merged or None}


def _gap(outcome: Outcome) -> dict[str, Any] | None:
    if not outcome.retrained:
        return None
    found = unlearning_gap(
        outcome.after.values(), [model.values() for model in outcome.retrained], confidence=outcome.confidence
    )
    return {
        "average": found["avg_gap"],
        "in_retrain_noise": found["avg_gap_in_noise"],
        "retrain_against_retrain": None if found["null"] is None else found["null"]["avg_gap"],
        "figures": [
            {"name": name, "gap": figure["gap"], "in_retrain_noise": figure["gap_in_noise"]}
            for name, figure in found["figures"].items()
        ],
    }


def _retain_harm(outcome: Outcome) -> dict[str, Any]:
    """Of a language model, rows of which fewer, or more, tokens are right than before."""
    before, after = (model.retain["correct"] for model in (outcome.before, outcome.after))
    return {
        "newly_wrong": share_of(after < before, outcome.confidence),
        "newly_right": share_of(after > before, outcome.confidence),
        "mean_loss_before": float(outcome.before.retain["loss"].mean()),
        "mean_loss_after": float(outcome.after.retain["loss"].mean()),
    }


def _forget_loss(outcome: Outcome) -> dict[str, Any] | None:
    if len(outcome.rows.split.forget) < FEWEST:
        return None
    retrained = None
    if outcome.retrained:
        retrained = np.mean([_quantiles(model.forget["loss"]) for model in outcome.retrained], axis=0).tolist()
    return {
        "quantiles": list(QUANTILES),
        "before": _quantiles(outcome.before.forget["loss"]),
        "after": _quantiles(outcome.after.forget["loss"]),
        "retrained": retrained,
        "test_after": _quantiles(outcome.after.test["loss"]),
    }


def _quantiles(losses: np.ndarray) -> list[float]:
    return np.quantile(losses, QUANTILES).tolist()


def _relearning(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.relearning is None:
        return None
    others = outcome.retrained_relearning
    return {
        "cap": outcome.relearning_cap,
        "steps": outcome.relearning.steps,
        "regained": outcome.relearning.regained,
        "retrained_steps": float(np.mean([one.steps for one in others])) if others else None,
        "retrained_regained": sum(one.regained for one in others) if others else None,
    }


def _cost(outcome: Outcome) -> dict[str, Any]:
    seconds = {f"{name}_seconds": float(outcome.timing[name]) for name in ("scoring", "shadows", "training", "total")}
    retrain = float(np.mean(outcome.retrain_seconds)) if outcome.retrain_seconds else None
    own = seconds["scoring_seconds"] + seconds["training_seconds"]
    return {
        **seconds,
        "retrain_seconds": retrain,
        "share_of_retrain": None if not retrain else own / retrain,
        "share_with_shadows": None if not retrain else (own + seconds["shadows_seconds"]) / retrain,
    }
