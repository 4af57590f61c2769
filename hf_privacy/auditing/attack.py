"""Every attack of an audit: on the target, on its references as further targets, at each budget, in each group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_privacy.auditing.budgets import over_budgets
from hf_privacy.auditing.extras import extra_scores
from hf_privacy.auditing.scores import quick_scores, reference_scores
from hf_privacy.auditing.slices import class_slices, memorization_slices
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.auditing.targets import further_targets, leave_one_out_table, over_targets
from hf_privacy.recipe import AuditSettings
from hf_privacy.reports import strongest_attack
from hf_privacy.statistics import summarize


@dataclass(frozen=True)
class Findings:
    """What the attacks found, as the report's sections.

    Attributes
    ----------
    attacks : list of dict
        One attack's summary each, with name, title and budget.
    scores : list of AttackScores
        The target's, in the same order; private.
    strongest : AttackScores
        The attack that recognises most members at 1 % false positives.
    targets, budgets : dict or None
    class_slices, memorization_bins : list of dict or None
    """

    attacks: list[dict[str, Any]]
    scores: list[AttackScores]
    strongest: AttackScores
    targets: dict[str, Any] | None
    budgets: dict[str, Any] | None
    class_slices: list[dict[str, Any]] | None
    memorization_bins: list[dict[str, Any]] | None


def attack_all(
    table: SignalTable,
    base: Mapping[str, np.ndarray] | None,
    options: AuditSettings,
    *,
    class_names: Sequence[str],
    extras_of: Callable[[int], Mapping[str, np.ndarray]],
) -> Findings:
    """Make every attack the settings ask for.

    Parameters
    ----------
    table : SignalTable
        The target's, with references at full depth.
    base : dict of str to array, optional
        Signals of the base checkpoint.
    options : AuditSettings
    class_names : sequence of str
        By label.
    extras_of : callable
        The extra signals of a reference by its number; empty where its weights were not kept.
    """
    scores = quick_scores(table, base) + extra_scores(table)
    reference_settings = {"lira_variance": options.lira_variance, "gamma": options.gamma}
    if table.n_references:
        scores += reference_scores(table, **reference_settings)
    attacks = [_summary(attack, table, options) for attack in scores]
    strongest = {attack.name: attack for attack in scores}[strongest_attack(attacks)[0]["name"]]
    figures = {"fprs": tuple(options.fprs), "confidence": options.confidence}
    targets = budgets = None
    if options.targets > 1:
        others = [
            leave_one_out_table(table, model, extras=extras_of(model))
            for model in further_targets(table.n_references, options.targets - 1)
        ]
        runs = [(table, scores)] + [
            (other, quick_scores(other) + extra_scores(other) + reference_scores(other, **reference_settings))
            for other in others
        ]
        targets = over_targets(runs, **figures)
        if options.budgets:
            budgets = over_budgets([table, *others], options.budgets, gamma=options.gamma, **figures)
    confidence = options.confidence
    return Findings(
        attacks=attacks,
        scores=scores,
        strongest=strongest,
        targets=targets,
        budgets=budgets,
        class_slices=class_slices(table, strongest, class_names, confidence=confidence)
        if options.class_slices
        else None,
        memorization_bins=memorization_slices(table, strongest, confidence=confidence) if table.n_references else None,
    )


def _summary(attack: AttackScores, table: SignalTable, options: AuditSettings) -> dict[str, Any]:
    summary = summarize(attack.scores, table.membership, fprs=tuple(options.fprs), confidence=options.confidence)
    return {
        "name": attack.name,
        "title": attack.title,
        "n_references": attack.n_references,
        "queries": list(options.queries),
        "parameters": attack.parameters,
        **summary,
    }
