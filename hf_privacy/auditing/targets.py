"""Reference models as further targets: how much a figure moves from one training run to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_privacy.attack_table import is_control
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.statistics import summarize, t_interval


def leave_one_out_table(
    table: SignalTable, model: int, *, extras: Mapping[str, np.ndarray] | None = None
) -> SignalTable:
    """Reference model ``model`` as the target, the others as its references.

    The model trained on the exact complement of its training set is left out too: with it, the number of IN models of
    an example would tell whether the attacked model holds it (see `hf_privacy.references.plan_references`).
    ``extras`` are that model's own; those of the table are the target's. All start from the same checkpoint.
    """
    assert table.references is not None
    assert table.reference_membership is not None
    n = table.n_pool
    membership = table.reference_membership[model, :n]
    complement = (table.reference_membership[:, :n] == ~membership).all(axis=1)
    kept = ~complement
    kept[model] = False
    return SignalTable(
        target={name: values[:, model] for name, values in table.references.items()},
        membership=membership,
        labels=table.labels,
        groups=table.groups,
        references={name: values[:, kept] for name, values in table.references.items()},
        reference_membership=table.reference_membership[kept],
        extras=extras or {},
        base=None if table.tokens is None else table.base,
        tokens=None if table.tokens is None else table.tokens.with_target(model, kept),
    )


def further_targets(n_references: int, count: int) -> list[int]:
    """Which references serve as further targets: one of each complementary pair first, then the other halves."""
    order = [*range(0, n_references, 2), *range(1, n_references, 2)]
    return order[:count]


def mean_figures(
    runs: Sequence[tuple[SignalTable, list[AttackScores]]], *, fprs: tuple[float, ...], confidence: float
) -> list[dict[str, Any]]:
    """AUC and TPR of each attack that every run has: name, title, mean and interval over runs; no controls."""
    per_attack: dict[str, list[dict[str, Any]]] = {}
    for table, scores in runs:
        for attack in scores:
            summary = summarize(attack.scores, table.membership, fprs=fprs, confidence=confidence)
            per_attack.setdefault(attack.name, []).append(summary)
    figures = []
    for attack in runs[0][1]:
        summaries = per_attack[attack.name]
        if len(summaries) < len(runs) or is_control(attack.name):
            continue
        rates = []
        for position, fpr in enumerate(fprs):
            values = [summary["tpr_at_fpr"][position]["tpr"] for summary in summaries]
            if None not in values:
                rates.append({"fpr": fpr, **mean_interval(values, confidence=confidence)})
        auc = mean_interval([summary["auc"] for summary in summaries], confidence=confidence)
        figures.append({"name": attack.name, "title": attack.title, "auc": auc, "tpr_at_fpr": rates})
    return figures


def mean_interval(
    values: Sequence[float], *, within: tuple[float, float] = (0.0, 1.0), confidence: float = 0.95
) -> dict[str, Any]:
    """Mean of repeated figures and its Student t interval, see `hf_privacy.statistics.t_interval`.

    Parameters
    ----------
    values : list of float
        One a training run, at least 2.
    within : (float, float), default (0, 1)
        Where the figure can lie.
    confidence : float

    Returns
    -------
    dict
        "mean", "low", "high" and the "values" themselves: differences between two recipes that share their targets'
        splits rest on pairs of them.

    Examples
    --------
    >>> mean_interval([0.5, 0.7])["mean"]
    0.6
    """
    low, high = t_interval(values, within=within, confidence=confidence)
    return {"mean": float(np.mean(values)), "low": low, "high": high, "values": [float(value) for value in values]}
