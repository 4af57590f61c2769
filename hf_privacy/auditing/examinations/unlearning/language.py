"""What the section on unlearning says of a language model besides: perplexity, and membership of the forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_privacy.statistics import t_interval
from hf_privacy.tasks import perplexity
from hf_privacy.unlearning import UnlearningEvaluation


def language_figures(
    before: UnlearningEvaluation,
    after: UnlearningEvaluation,
    retrained: Sequence[UnlearningEvaluation],
    *,
    confidence: float = 0.95,
) -> dict[str, Any] | None:
    """Loss and perplexity of the three sets, and whether forgotten rows can be told from unseen ones.

    Parameters
    ----------
    before, after : UnlearningEvaluation
        Of the original and the unlearned model.
    retrained : sequence of UnlearningEvaluation
    confidence : float

    Returns
    -------
    dict or None
        None of a classifier. "sets" and "membership", each with "before", "after" and "retrained" (None without such
        models): what `UnlearningEvaluation.losses` and `UnlearningEvaluation.membership` say; of several retrained
        models the means, with Student's t intervals over them.
    """
    if before.has_classes:
        return None
    sets, membership = (
        {"before": read(before), "after": read(after), "retrained": [read(model) for model in retrained] or None}
        for read in (
            lambda model: model.losses(confidence=confidence),
            lambda model: model.membership(confidence=confidence),
        )
    )
    if retrained:
        sets["retrained"] = [_mean_loss(one, confidence) for one in zip(*sets["retrained"], strict=True)]
        membership["retrained"] = _mean_membership(membership["retrained"], confidence)
    return {"sets": sets, "membership": membership}


def over_models(
    figures: Sequence[Mapping[str, Any]],
    *,
    confidence: float,
    names: tuple[str, str, str] = ("value", "low", "high"),
    within: tuple[float, float] = (0.0, 1.0),
) -> dict[str, Any]:
    """One figure of several models: its mean and interval over them; a single model's is as it is."""
    if len(figures) == 1:
        return dict(figures[0])
    values = np.array([figure[names[0]] for figure in figures])
    low, high = t_interval(values, within=within, confidence=confidence)
    return {**figures[0], names[0]: float(values.mean()), names[1]: low, names[2]: high}


def _mean_loss(models: Sequence[Mapping[str, Any]], confidence: float) -> dict[str, Any]:
    """Perplexity is averaged as its logarithm is: the exponential of the mean loss."""
    if len(models) == 1:
        return dict(models[0])
    losses = np.array([model["loss"] for model in models])
    low, high = t_interval(losses, within=(0.0, np.inf), confidence=confidence)
    mean = float(losses.mean())
    ends = {"low": perplexity(low), "high": perplexity(high)}
    return {**models[0], "loss": mean, "perplexity": perplexity(mean), **ends}


def _mean_membership(models: Sequence[Mapping[str, Any]], confidence: float) -> dict[str, Any]:
    merged = over_models(models, confidence=confidence, names=("auc", "auc_low", "auc_high"))
    rates = []
    for entries in zip(*(model["tpr_at_fpr"] for model in models), strict=True):
        # Where one is not resolved none is said to be.
        missing = [entry for entry in entries if entry["tpr"] is None]
        rates.append(
            missing[0] if missing else over_models(entries, confidence=confidence, names=("tpr", "low", "high"))
        )
    return {**merged, "tpr_at_fpr": rates}
