"""Which attack wins at which number of reference models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hf_privacy.attack_table import ATTACKS, WITHOUT_REFERENCES
from hf_privacy.auditing.scores import attack_scores
from hf_privacy.auditing.table import SignalTable
from hf_privacy.auditing.targets import mean_figures

_LIRA = ("lira", "lira_offline")


def over_budgets(
    tables: Sequence[SignalTable],
    budgets: Sequence[int],
    *,
    fprs: tuple[float, ...],
    confidence: float,
    gamma: float = 1.0,
    own: Sequence[str] = (),
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
    own : sequence of str
        Attacks of the user's own, each by ``module:name``.

    Returns
    -------
    dict
        The report's ``budgets``: "n_targets", "confidence", and "attacks", a list of figures with "n_references", 0
        for attacks that use none. LiRA is there under every variance that the budget allows.
    """
    quick_runs = [
        (table, [score for score in attack_scores(table, [*WITHOUT_REFERENCES, *own]) if not score.n_references])
        for table in tables
    ]
    others = [name for name in [*ATTACKS, *own] if name not in (*WITHOUT_REFERENCES, *_LIRA)]
    figures = [{"n_references": 0, **entry} for entry in mean_figures(quick_runs, fprs=fprs, confidence=confidence)]
    for budget in sorted(set(budgets)):
        runs = []
        for table in tables:
            smaller = table.with_references(slice(0, budget))
            # Two references leave an example one value a side, and only the global variance is left.
            variances = ("pooled", "shrunk", "per_example", "global") if budget >= 4 else ("global",)
            scores = [
                replace(score, name=score.name.replace("lira", f"lira_{variance}"))
                for variance in variances
                for score in attack_scores(smaller, _LIRA, lira_variance=variance)
            ]
            scores += [score for score in attack_scores(smaller, others, gamma=gamma) if score.n_references]
            runs.append((smaller, scores))
        figures += [
            {"n_references": budget, **entry} for entry in mean_figures(runs, fprs=fprs, confidence=confidence)
        ]
    return {"n_targets": len(tables), "confidence": confidence, "attacks": figures}
