"""Every attack of an audit on one target: scores, summaries, and which of them is the strongest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_privacy.attack_table import ATTACKS, is_control
from hf_privacy.auditing.evidence import evidence_of
from hf_privacy.auditing.scores import attack_scores
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.hub.evidence import ADVERSARIAL, CLEAN, as_read, by_strength
from hf_privacy.outside import is_outside
from hf_privacy.recipe import AuditSettings
from hf_privacy.signals import ADVERSARIAL_QUERY
from hf_privacy.statistics import auc, auc_interval, summarize, two_sided
from hf_privacy.statistics.two_sided import two_sided_area

ON_ADVERSARIAL_INPUTS = ("loss", "lira", "rmia")


@dataclass(frozen=True)
class Findings:
    """What the attacks found.

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
    """

    attacks: list[dict[str, Any]]
    scores: list[AttackScores]
    evidence: dict[str, Any]
    strongest: AttackScores
    adversarial: list[dict[str, Any]] | None


def attack_all(
    table: SignalTable,
    options: AuditSettings,
    *,
    adversarial: SignalTable | None = None,
    both_sides: bool = False,
) -> Findings:
    """Make every attack the settings ask for.

    Parameters
    ----------
    table : SignalTable
        The target's, with references at full depth.
    options : AuditSettings
    adversarial : SignalTable, optional
        The same target and references on adversarial inputs, where membership attacks are to be made there too.
    both_sides : bool
        Read each attack from both sides of its scores too (see `hf_privacy.statistics.two_sided`), and judge it so:
        for a defended model, of which members may score lowest.
    """
    scores = all_scores(table, options)
    attacks = [summary_of(attack, table, options) for attack in scores]
    if both_sides:
        attacks = [
            {**summary, "two_sided": two_sided_summary(attack, table, options)}
            for attack, summary in zip(scores, attacks, strict=True)
        ]
    there = None if adversarial is None else adversarial_attacks(adversarial, options)
    made = [
        (CLEAN, score, as_read(summary))
        for score, summary in zip(scores, attacks, strict=True)
        if not is_control(score.name)  # a row of the report, and no evidence
    ]
    made += [(ADVERSARIAL, score, summary) for score, summary in there or []]
    evidence = evidence_of(
        made, table.membership, confidence=options.confidence, groups=table.groups, both_sides=both_sides
    )
    figures_of = [(inputs, summary) for inputs, _, summary in made]
    _, ordered = by_strength(figures_of, evidence["attacks"], level=evidence["level"])
    strongest = next(summary["name"] for inputs, summary, _ in ordered if inputs == CLEAN)
    return Findings(
        attacks=attacks,
        scores=scores,
        evidence=evidence,
        strongest=next(attack for attack in scores if attack.name == strongest),
        adversarial=None if there is None else [summary for _, summary in there],
    )


def all_scores(table: SignalTable, options: AuditSettings) -> list[AttackScores]:
    """Every attack the table's signals allow, and the user's own."""
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
    summary = summarize(
        attack.scores,
        table.membership,
        fprs=tuple(options.fprs),
        confidence=options.confidence,
        groups=table.groups,
    )
    return {
        "name": attack.name,
        "title": attack.title,
        "n_references": attack.n_references,
        "queries": list(options.queries if queries is None else queries),
        "parameters": attack.parameters,
        **summary,
        **({} if table.groups is None else {"by_group": by_group(attack.scores, table, options.confidence)}),
    }


def two_sided_summary(attack: AttackScores, table: SignalTable, options: AuditSettings) -> dict[str, Any]:
    """The same attack's figures from the side that tells more, whole groups included."""
    drawn: dict[str, Any] = {"confidence": options.confidence, "groups": table.groups}
    found = two_sided(attack.scores, table.membership, fprs=tuple(options.fprs), **drawn)
    if table.groups is not None:
        one_sided = by_group(attack.scores, table, options.confidence)
        _, *turned = two_sided_area(*one_sided.values())
        found["by_group"] = dict(zip(one_sided, turned, strict=True))
    return found


def by_group(scores: np.ndarray, table: SignalTable, confidence: float) -> dict[str, float]:
    """How well whole groups are told apart, each by the mean score of its rows: "auc", "auc_low", "auc_high"."""
    _, first, unit = np.unique(table.groups, return_index=True, return_inverse=True)
    means, membership = np.bincount(unit, weights=scores) / np.bincount(unit), table.membership[first]
    low, high = auc_interval(means, membership, confidence=confidence)
    return {"auc": auc(means, membership), "auc_low": low, "auc_high": high}
