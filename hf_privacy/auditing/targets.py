"""Reference models as further targets: how much a figure moves from one training run to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_privacy.attack_table import is_control
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.statistics import summarize, t_interval
from hf_privacy.statistics.two_sided import HIGH, LOW, half_the_risk, two_sided_area


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
    runs: Sequence[tuple[SignalTable, list[AttackScores]]],
    *,
    fprs: tuple[float, ...],
    confidence: float,
    both_sides: bool = False,
) -> list[dict[str, Any]]:
    """AUC and TPR of each attack that every run has: name, title, mean and interval over runs; no controls.

    With ``both_sides`` also "two_sided", the same from the side that tells more on average.
    """
    per_attack: dict[str, list[dict[str, Any]]] = {}
    lowest: dict[str, list[dict[str, Any]]] = {}
    for table, scores in runs:
        for attack in scores:
            summary = summarize(attack.scores, table.membership, fprs=fprs, confidence=confidence)
            per_attack.setdefault(attack.name, []).append(summary)
            if both_sides:
                turned = summarize(-attack.scores, table.membership, fprs=fprs, confidence=confidence)
                lowest.setdefault(attack.name, []).append(turned)
    figures = []
    for attack in runs[0][1]:
        summaries = per_attack[attack.name]
        if len(summaries) < len(runs) or is_control(attack.name):
            continue
        rates, turned_rates = [], []
        for position, fpr in enumerate(fprs):
            values = [summary["tpr_at_fpr"][position]["tpr"] for summary in summaries]
            if None in values:
                continue
            rates.append({"fpr": fpr, **mean_interval(values, confidence=confidence)})
            if both_sides:
                low = [summary["tpr_at_fpr"][position]["tpr"] for summary in lowest[attack.name]]
                turned_rates.append({"fpr": fpr, **two_sided_mean_rate(values, low, confidence=confidence)})
        areas = [summary["auc"] for summary in summaries]
        entry = {
            "name": attack.name,
            "title": attack.title,
            "auc": mean_interval(areas, confidence=confidence),
            "tpr_at_fpr": rates,
        }
        if both_sides:
            read = {"auc": two_sided_mean_area(areas, confidence=confidence), "tpr_at_fpr": turned_rates}
            entry["two_sided"] = {"side": read["auc"]["side"], **read}
        figures.append(entry)
    return figures


def two_sided_mean_area(areas: Sequence[float], *, confidence: float) -> dict[str, Any]:
    """Mean AUC over repeated trainings from the side that tells more on average, one side for all.

    Examples
    --------
    >>> found = two_sided_mean_area([0.25, 0.375], confidence=0.95)
    >>> found["side"], found["mean"], found["values"]
    ('low', 0.6875, [0.75, 0.625])
    """
    found = mean_interval(areas, confidence=confidence)
    side, mean, low, high = two_sided_area(found["mean"], found["low"], found["high"])
    values = [area if side == HIGH else 1.0 - area for area in found["values"]]
    return {"mean": mean, "low": low, "high": high, "values": values, "side": side}


def two_sided_mean_rate(high: Sequence[float], low: Sequence[float], *, confidence: float) -> dict[str, Any]:
    """Mean TPR of the highest or of the lowest scores, whichever find more on average, one tail for all.

    The upper end is the larger of both tails', the lower end the larger of two at half of the risk each: see
    `hf_privacy.statistics.two_sided`.

    Examples
    --------
    >>> found = two_sided_mean_rate([0.1, 0.2], [0.4, 0.6], confidence=0.95)
    >>> found["side"], found["mean"], found["values"]
    ('low', 0.5, [0.4, 0.6])
    """
    tails = [mean_interval(values, confidence=confidence) for values in (high, low)]
    corrected = [mean_interval(values, confidence=half_the_risk(confidence))["low"] for values in (high, low)]
    better = tails[1] if tails[1]["mean"] > tails[0]["mean"] else tails[0]
    ends = {"low": max(corrected), "high": max(tail["high"] for tail in tails)}
    return {**better, **ends, "side": HIGH if better is tails[0] else LOW}


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
