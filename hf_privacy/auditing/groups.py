"""Groups of examples, and how much an attack finds in each: classes, and bins of memorization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.memorization import BIN_EDGES, feldman_zhang
from hf_privacy.statistics import summarize, tpr_at_fpr

# A group with fewer members would say too much about each of them.
FEWEST = 20
FPR = 0.01
# What `memorization_bin` numbers from 0 up.
BIN_BOUNDS = (-1.0, *BIN_EDGES, 1.0)


def memorization_of(table: SignalTable) -> np.ndarray:
    """Feldman and Zhang's score of each example of the pool, float64 [N], on the first clean query.

    By correctness; of a language model's rows by the geometric mean of their tokens' probabilities. It comes from the
    references alone, so the target's membership plays no part in it.
    """
    assert table.references is not None
    assert table.reference_membership is not None
    n = table.n_pool
    measure = "correct" if table.tokens is None else "probability"
    return feldman_zhang(table.references[measure][0][:, :n], table.reference_membership[:, :n])


def over_groups(
    table: SignalTable, attack: AttackScores, groups: np.ndarray, *, confidence: float
) -> dict[int, dict[str, Any]]:
    """One attack's leakage in each group of at least 20 members and 20 non-members.

    Parameters
    ----------
    table : SignalTable
    attack : AttackScores
    groups : int array of shape [N]
    confidence : float

    Returns
    -------
    dict of int to dict
        "n_members", "n_nonmembers", "auc", "auc_low", "auc_high" within the group; "tpr", "tpr_low", "tpr_high": the
        share of its members found at "fpr", 1 %, over **all** non-members, as an attacker who does not know the groups
        would set the threshold; absent where 1 % is not resolved. The interval covers the chance in that threshold.
    """
    figures = {}
    for group in np.unique(groups):
        inside = groups == group
        members = inside & table.membership
        n_members, n_nonmembers = int(members.sum()), int(inside.sum() - members.sum())
        if min(n_members, n_nonmembers) < FEWEST:
            continue
        units = None if table.groups is None else table.groups[inside]
        summary = summarize(
            attack.scores[inside], table.membership[inside], fprs=(), confidence=confidence, groups=units
        )
        kept = ("auc", "auc_low", "auc_high", "n_members", "n_nonmembers", "confidence")
        figures[int(group)] = {name: summary[name] for name in kept}
        judged = members | ~table.membership
        units = None if table.groups is None else table.groups[judged]
        rate = tpr_at_fpr(
            attack.scores[judged], table.membership[judged], fpr=FPR, confidence=confidence, groups=units
        )
        if rate["tpr"] is not None:
            figures[int(group)] |= {"fpr": FPR, "tpr": rate["tpr"], "tpr_low": rate["low"], "tpr_high": rate["high"]}
    return figures


def spread(positions: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the positions, evenly spaced: of rows sorted by class the first are of one class.

    Examples
    --------
    >>> spread(np.arange(10), 5)
    array([0, 2, 4, 6, 8])
    """
    if len(positions) <= most:
        return positions
    return positions[np.arange(most) * len(positions) // most]


def class_slices(
    table: SignalTable, attack: AttackScores, class_names: Sequence[str], *, confidence: float
) -> list[dict[str, Any]]:
    """Leakage of one attack for each class of at least 20 members and 20 non-members.

    Returns
    -------
    list of dict
        "class", "attack", and what `over_groups` gives.
    """
    assert table.labels is not None
    groups = over_groups(table, attack, table.labels[: table.n_pool], confidence=confidence)
    return [{"class": class_names[label], "attack": attack.name, **figures} for label, figures in groups.items()]
