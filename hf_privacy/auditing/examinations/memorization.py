"""Where the leakage sits by how much models memorize an example: in bins, and at the top of the ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_privacy.auditing.groups import BIN_BOUNDS, FEWEST, FPR, memorization_of, over_groups
from hf_privacy.auditing.memorized import memorization_summary
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.memorization import leakage_share, memorization_bin
from hf_privacy.statistics import clopper_pearson
from hf_privacy.statistics.tpr import allowed_false_positives

if TYPE_CHECKING:
    from hf_privacy.auditing.case import AuditCase

# Shares of the members, most memorized first.
TOPS = (0.01, 0.05)


class Memorization:
    """The examination; it needs references."""

    name = "memorization"

    def check(self, case: AuditCase) -> None:
        """Nothing can be wrong that the attacks would not refuse."""

    def run(self, case: AuditCase) -> dict[str, Any] | None:
        """The report's ``memorization_bins`` and ``leakage_share``, and ``memorization`` of a language model."""
        table, strongest, confidence = case.table, case.findings.strongest, case.settings.confidence
        if not table.n_references:
            return None
        by_name = {attack.name: attack for attack in case.findings.scores}
        with case.timed("attacks"):
            # The strongest first; then those that papers report, whichever they are here.
            shown = {attack.name: attack for attack in (strongest, by_name["lira"], by_name["rmia"])}
            whole = None if table.tokens is None else memorization_summary(table, confidence=confidence)
            return {
                **({} if whole is None else {"memorization": whole}),
                "memorization_bins": memorization_slices(table, list(shown.values()), confidence=confidence),
                "leakage_share": leakage_at_top(table, strongest, confidence=confidence),
            }


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
    n_drawn = found["n_true_positives"]
    if table.groups is not None:  # no group of recognised rows says more than one draw does
        n_drawn = min(n_drawn, len(np.unique(table.groups[table.membership])))
    shares = [
        entry | _interval(entry["share"], n_drawn, confidence)
        for entry in found["shares"]
        if entry["share"] is not None
    ]
    if not shares:
        return None
    return {"attack": attack.name, "fpr": found["fpr"], "shares": shares, "ranked_by": "memorization"}


def _interval(share: float, n_recognised: int, confidence: float) -> dict[str, float]:
    """Of so many recognised members; a count between two whole ones, from ties or groups, takes the outer ends."""
    count = round(share * n_recognised, 6)
    low, _ = clopper_pearson(math.floor(count), n_recognised, confidence=confidence)
    _, high = clopper_pearson(math.ceil(count), n_recognised, confidence=confidence)
    return {"low": low, "high": high}
