"""Is the best of all attacks better than guessing? The report's section that answers for the choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_privacy.auditing.table import AttackScores
from hf_privacy.hub.evidence import strongest_of
from hf_privacy.statistics import membership_permutation_test

N_PERMUTATIONS = 2000
# A claim of leakage is wrong at most so often, and no confidence asks more than the permutations can tell.
_LEVELS = (0.001, 0.025)


def evidence_of(
    attacks: Sequence[tuple[str, AttackScores, dict[str, Any]]],
    membership: np.ndarray,
    *,
    confidence: float,
    groups: np.ndarray | None = None,
    both_sides: bool = False,
) -> dict[str, Any]:
    """Test all attacks together and name the strongest.

    Parameters
    ----------
    attacks : sequence of (str, AttackScores, dict)
        Inputs ("clean", "adversarial"), scores and summary of every attack the report will show, but its controls.
    membership : bool array of shape [N]
    confidence : float
        Of the report's intervals; the level of the test is what it leaves at one end, from 0.001 to 0.025: better than
        guessing is a claim about one end alone.
    groups : int array of shape [N], optional
        Where whole groups are members, whole groups are permuted.
    both_sides : bool
        Test both sides of each attack's scores, all together; an attack has the smaller of its two p-values.

    Returns
    -------
    dict
        The report's ``evidence``: "method", "n_attacks", "n_permutations", "level", "strongest" (see
        `hf_privacy.hub.evidence.strongest_of`), and "attacks" with "attack", "inputs" and the corrected p-values:
        "auc", and "tpr", one for each false positive rate that the non-members resolve.
    """
    level = float(np.clip(round((1 - confidence) / 2, 12), *_LEVELS))
    fprs = [entry["fpr"] for entry in attacks[0][2]["tpr_at_fpr"] if entry["tpr"] is not None]
    rows = [scores.scores for _, scores, _ in attacks]
    found = membership_permutation_test(
        rows + [-row for row in rows] if both_sides else rows,
        membership,
        fprs=fprs,
        n_permutations=N_PERMUTATIONS,
        groups=groups,
    )
    # Corrected for all rows of the test, so the smaller of an attack's two is corrected for choosing its side.
    tests = [
        {
            "attack": summary["name"],
            "inputs": inputs,
            "auc": min(found["auc"][row :: len(rows)]),
            "tpr": [{"fpr": fpr, "p_value": min(found["tpr"][fpr][row :: len(rows)])} for fpr in fprs],
        }
        for row, (inputs, _, summary) in enumerate(attacks)
    ]
    strongest = strongest_of([(inputs, summary) for inputs, _, summary in attacks], tests, level=level)
    by_groups = "" if groups is None else " by whole groups"
    sides = " and both sides of their scores" if both_sides else ""
    return {
        "method": f"permutation of the membership{by_groups}, largest of all attacks{sides}",
        "n_attacks": len(attacks),
        "n_permutations": found["n_permutations"],
        "level": level,
        "strongest": strongest,
        "attacks": tests,
    }
