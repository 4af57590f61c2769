"""Where the leakage sits by how much models memorize an example: in bins, and at the top of the ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_privacy.auditing.groups import FEWEST, FPR, over_groups
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.memorization import BIN_EDGES, feldman_zhang, leakage_share, memorization_bin
from hf_privacy.statistics import clopper_pearson
from hf_privacy.statistics.tpr import allowed_false_positives

# What `memorization_bin` numbers from 0 up.
BIN_BOUNDS = (-1.0, *BIN_EDGES, 1.0)
# Shares of the members, most memorized first.
TOPS = (0.01, 0.05)


def memorization_of(table: SignalTable) -> np.ndarray:
    """Feldman and Zhang's score of each example of the pool, float64 [N], on the first clean query.

    It comes from the references alone, so the target's membership plays no part in it.
    """
    assert table.references is not None
    assert table.reference_membership is not None
    n = table.n_pool
    return feldman_zhang(table.references["correct"][0][:, :n], table.reference_membership[:, :n])


def memorization_slices(
    table: SignalTable, attacks: Sequence[AttackScores], *, confidence: float
) -> list[dict[str, Any]]:
    """Leakage of each attack for each memorization bin.

    Returns
    -------
    list of dict
        "memorization_from", "memorization_to", "attack", and what `over_groups` gives; attack by attack, bins
        ascending.
    """
    bins = memorization_bin(memorization_of(table))
    return [
        {
            "memorization_from": BIN_BOUNDS[number],
            "memorization_to": BIN_BOUNDS[number + 1],
            "attack": attack.name,
            **figures,
        }
        for attack in attacks
        for number, figures in over_groups(table, attack, bins, confidence=confidence).items()
    ]


def leakage_at_top(table: SignalTable, attack: AttackScores, *, confidence: float = 0.95) -> dict[str, Any] | None:
    """Share of the members an attack recognises at 1 % false positives that are among the most memorized members.

    Returns
    -------
    dict or None
        The report's ``leakage_share``: "attack", "fpr", "ranked_by", and "shares" with "top" (0.01 and 0.05 of the
        members), "share" with its Clopper-Pearson interval over the recognised members ("low", "high"), and
        "n_examples", the members in that top. None where the non-members do not resolve 1 %, no
        member is recognised, or every top would hold fewer than 20 members, of whom it would say too much.
    """
    if allowed_false_positives(int((~table.membership).sum()), FPR) < 0:
        return None
    found = leakage_share(
        attack.scores, table.membership, memorization_of(table), fpr=FPR, top=TOPS, min_examples=FEWEST
    )
    shares = [
        entry | _interval(entry["share"], found["n_true_positives"], confidence)
        for entry in found["shares"]
        if entry["share"] is not None
    ]
    if not shares:
        return None
    return {"attack": attack.name, "fpr": found["fpr"], "shares": shares, "ranked_by": "memorization"}


def _interval(share: float, n_recognised: int, confidence: float) -> dict[str, float]:
    """Of so many recognised members; a count between two whole ones, from ties at the border, takes the outer ends."""
    count = round(share * n_recognised, 6)
    low, _ = clopper_pearson(math.floor(count), n_recognised, confidence=confidence)
    _, high = clopper_pearson(math.ceil(count), n_recognised, confidence=confidence)
    return {"low": low, "high": high}
