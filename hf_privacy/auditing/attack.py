"""Every attack of an audit: on the target, on its references as further targets, at each budget, in each group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hf_privacy.attack_table import ATTACKS
from hf_privacy.auditing.evidence import evidence_of
from hf_privacy.auditing.examinations.membership.budgets import over_budgets
from hf_privacy.auditing.examinations.memorization import leakage_at_top, memorization_slices
from hf_privacy.auditing.groups import class_slices
from hf_privacy.auditing.scores import attack_scores
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.auditing.targets import further_targets, leave_one_out_table, over_targets
from hf_privacy.hub.evidence import ADVERSARIAL, CLEAN, by_strength
from hf_privacy.outside import is_outside
from hf_privacy.recipe import AuditSettings
from hf_privacy.signals import ADVERSARIAL_QUERY
from hf_privacy.statistics import summarize

ON_ADVERSARIAL_INPUTS = ("loss", "lira", "rmia")


@dataclass(frozen=True)
class Findings:
    """What the attacks found, as the report's sections.

    Attributes
    ----------
    attacks : list of dict
        One attack's summary each, with name, title and budget.
    scores : list of AttackScores
        The target's, in the same order; private.
    evidence : dict
        Whether the best of them is better than guessing, see `hf_privacy.auditing.evidence.evidence_of`.
    strongest : AttackScores
        The first, by the order of `hf_privacy.hub.evidence.by_strength`, of the attacks on the examples as they are:
        what slices, shares and the private scores are of.
    adversarial : list of dict or None
        Summaries of the membership attacks on adversarial inputs.
    targets, budgets : dict or None
    class_slices, memorization_bins : list of dict or None
    leakage_share : dict or None
    """

    attacks: list[dict[str, Any]]
    scores: list[AttackScores]
    evidence: dict[str, Any]
    strongest: AttackScores
    adversarial: list[dict[str, Any]] | None
    targets: dict[str, Any] | None
    budgets: dict[str, Any] | None
    class_slices: list[dict[str, Any]] | None
    memorization_bins: list[dict[str, Any]] | None
    leakage_share: dict[str, Any] | None


def attack_all(
    table: SignalTable,
    base: Mapping[str, np.ndarray] | None,
    options: AuditSettings,
    *,
    class_names: Sequence[str],
    extras_of: Callable[[int], Mapping[str, np.ndarray]],
    adversarial: SignalTable | None = None,
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
    adversarial : SignalTable, optional
        The same target and references on adversarial inputs, where membership attacks are to be made there too.
    """
    scores = _all_scores(table, options, base)
    attacks = [summary_of(attack, table, options) for attack in scores]
    by_name = {attack.name: attack for attack in scores}
    there = None if adversarial is None else adversarial_attacks(adversarial, options)
    made = [(CLEAN, score, summary) for score, summary in zip(scores, attacks, strict=True)]
    made += [(ADVERSARIAL, score, summary) for score, summary in there or []]
    evidence = evidence_of(made, table.membership, confidence=options.confidence)
    figures_of = [(inputs, summary) for inputs, _, summary in made]
    _, ordered = by_strength(figures_of, evidence["attacks"], level=evidence["level"])
    strongest = by_name[next(summary["name"] for inputs, summary, _ in ordered if inputs == CLEAN)]
    figures = {"fprs": tuple(options.fprs), "confidence": options.confidence}
    targets = budgets = None
    if options.targets > 1:
        others = [
            leave_one_out_table(table, model, extras=extras_of(model))
            for model in further_targets(table.n_references, options.targets - 1)
        ]
        runs = [(table, scores)] + [(other, _all_scores(other, options)) for other in others]
        targets = over_targets(runs, **figures)
        if options.budgets:
            own = list(filter(is_outside, options.extra_attacks))
            budgets = over_budgets([table, *others], options.budgets, gamma=options.gamma, own=own, **figures)
    confidence = options.confidence
    bins = share = None
    if table.n_references:
        # The strongest first; then those that papers report, whichever they are here.
        shown = {attack.name: attack for attack in (strongest, by_name["lira"], by_name["rmia"])}
        bins = memorization_slices(table, list(shown.values()), confidence=confidence)
        share = leakage_at_top(table, strongest, confidence=confidence)
    return Findings(
        attacks=attacks,
        scores=scores,
        evidence=evidence,
        strongest=strongest,
        adversarial=None if there is None else [summary for _, summary in there],
        targets=targets,
        budgets=budgets,
        class_slices=class_slices(table, strongest, class_names, confidence=confidence)
        if options.class_slices
        else None,
        memorization_bins=bins,
        leakage_share=share,
    )


def _all_scores(
    table: SignalTable, options: AuditSettings, base: Mapping[str, np.ndarray] | None = None
) -> list[AttackScores]:
    """Every attack the table's signals allow, and the user's own."""
    table = table if base is None else replace(table, base=base)
    names = [*ATTACKS, *filter(is_outside, options.extra_attacks)]
    return attack_scores(table, names, lira_variance=options.lira_variance, gamma=options.gamma)


def adversarial_attacks(table: SignalTable, options: AuditSettings) -> list[tuple[AttackScores, dict[str, Any]]]:
    """Make the membership attacks on adversarial inputs: scores and summaries."""
    scores = attack_scores(table, ON_ADVERSARIAL_INPUTS, lira_variance=options.lira_variance, gamma=options.gamma)
    return [(score, summary_of(score, table, options, queries=[ADVERSARIAL_QUERY])) for score in scores]


def summary_of(
    attack: AttackScores, table: SignalTable, options: AuditSettings, *, queries: Sequence[str] | None = None
) -> dict[str, Any]:
    """One attack's entry in the report; ``queries`` are by default those of the settings."""
    summary = summarize(attack.scores, table.membership, fprs=tuple(options.fprs), confidence=options.confidence)
    return {
        "name": attack.name,
        "title": attack.title,
        "n_references": attack.n_references,
        "queries": list(options.queries if queries is None else queries),
        "parameters": attack.parameters,
        **summary,
    }
