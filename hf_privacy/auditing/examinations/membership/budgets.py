"""Which attack wins at which number of reference models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.auditing.curvature import quick_curvature_scores, reference_curvature_scores
from hf_privacy.auditing.extras import extra_scores
from hf_privacy.auditing.scores import lira_scores, other_reference_scores, quick_scores
from hf_privacy.auditing.table import SignalTable
from hf_privacy.auditing.targets import mean_figures


def over_budgets(
    tables: Sequence[SignalTable],
    budgets: Sequence[int],
    *,
    fprs: tuple[float, ...],
    confidence: float,
    gamma: float = 1.0,
) -> dict[str, Any]:
    """Every attack with the first K of the references, for each K, as means over the attacked models.

    Parameters
    ----------
    tables : sequence of SignalTable
        One a target, at least 2, each with at least ``max(budgets)`` references that are complementary pairs in
        order, so that the first K are pairs too.
    budgets : sequence of int
        Even numbers, at least 2.
    fprs, confidence
        As in `hf_privacy.auditing.targets.over_targets`.
    gamma : float
        RMIA's.

    Returns
    -------
    dict
        The report's ``budgets``: "n_targets", "confidence", and "attacks", a list of figures with "n_references", 0
        for attacks that use none. LiRA is there under every variance that the budget allows.
    """
    quick_runs = [
        (table, quick_scores(table) + quick_curvature_scores(table) + extra_scores(table)) for table in tables
    ]
    figures = [{"n_references": 0, **entry} for entry in mean_figures(quick_runs, fprs=fprs, confidence=confidence)]
    for budget in sorted(set(budgets)):
        runs = []
        for table in tables:
            smaller = table.with_references(slice(0, budget))
            # Two references leave an example one value a side, and only the global variance is left.
            variances = ("pooled", "shrunk", "per_example", "global") if budget >= 4 else ("global",)
            scores = [score for name in variances for score in lira_scores(smaller, name, name=f"lira_{name}")]
            scores += other_reference_scores(smaller, gamma=gamma) + reference_curvature_scores(smaller)
            runs.append((smaller, scores))
        figures += [
            {"n_references": budget, **entry} for entry in mean_figures(runs, fprs=fprs, confidence=confidence)
        ]
    return {"n_targets": len(tables), "confidence": confidence, "attacks": figures}
