"""Reference models as further targets: how much a figure moves from one training run to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from hf_privacy.auditing.scores import AttackScores, SignalTable, quick_scores, reference_scores
from hf_privacy.statistics import summarize


def leave_one_out_table(table: SignalTable, model: int) -> SignalTable:
    """Reference model ``model`` as the target, the others as its references.

    The model trained on the exact complement of its training set is left out too: with it, the number of IN models of
    an example would tell whether the attacked model holds it (see `hf_privacy.references.plan_references`).
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
        references={name: values[:, kept] for name, values in table.references.items()},
        reference_membership=table.reference_membership[kept],
    )


def further_targets(n_references: int, count: int) -> list[int]:
    """Which references serve as further targets: one of each complementary pair first, then the other halves."""
    order = [*range(0, n_references, 2), *range(1, n_references, 2)]
    return order[:count]


def over_targets(
    table: SignalTable,
    scores: list[AttackScores],
    *,
    n_targets: int,
    fprs: tuple[float, ...],
    confidence: float,
    **settings: Any,
) -> dict[str, Any]:
    """Attack the target and ``n_targets - 1`` of its references; mean and interval of each figure over them.

    Parameters
    ----------
    table : SignalTable
        The target's, with references that hold every signal.
    scores : list of AttackScores
        The target's own, already computed.
    n_targets : int
        At least 2.
    fprs, confidence
        As in `hf_privacy.statistics.summarize`; the interval over targets is Student's t.
    **settings
        Of `reference_scores`.

    Returns
    -------
    dict
        The "targets" section of the report. Targets share their pool, and each other's signals as references, so the
        interval speaks of training runs on this pool, not of other data.
    """
    n = table.n_pool
    per_attack: dict[str, list[dict[str, Any]]] = {}
    member_accuracy, nonmember_accuracy = [], []
    runs = [(table, scores)]
    assert table.reference_membership is not None
    for model in further_targets(len(table.reference_membership), n_targets - 1):
        other = leave_one_out_table(table, model)
        runs.append((other, quick_scores(other) + reference_scores(other, **settings)))
    for run, run_scores in runs:
        correct = run.target["correct"][0][:n]
        member_accuracy.append(float(correct[run.membership].mean()))
        nonmember_accuracy.append(float(correct[~run.membership].mean()))
        for attack in run_scores:
            summary = summarize(attack.scores, run.membership, fprs=fprs, confidence=confidence)
            per_attack.setdefault(attack.name, []).append(summary)
    attacks = []
    for attack in scores:
        summaries = per_attack[attack.name]
        # Calibration by the base checkpoint has no reference signals to speak of: the target's figure alone.
        if len(summaries) < len(runs):
            continue
        rates = []
        for position, fpr in enumerate(fprs):
            values = [summary["tpr_at_fpr"][position]["tpr"] for summary in summaries]
            if None not in values:
                rates.append({"fpr": fpr, **mean_interval(values, confidence=confidence)})
        auc = mean_interval([summary["auc"] for summary in summaries], confidence=confidence)
        attacks.append({"name": attack.name, "title": attack.title, "auc": auc, "tpr_at_fpr": rates})
    return {
        "n_targets": len(runs),
        "confidence": confidence,
        "attacks": attacks,
        "member_accuracy": mean_interval(member_accuracy, confidence=confidence),
        "nonmember_accuracy": mean_interval(nonmember_accuracy, confidence=confidence),
    }


def mean_interval(values: list[float], *, confidence: float = 0.95) -> dict[str, float]:
    """Mean of repeated figures and its Student t interval.

    Parameters
    ----------
    values : list of float
        One a training run, at least 2.
    confidence : float

    Returns
    -------
    dict
        "mean", "low", "high", not cut to [0, 1].

    Examples
    --------
    >>> mean_interval([0.5, 0.7])["mean"]
    0.6
    """
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return {"mean": mean, "low": mean - half, "high": mean + half}
