"""The gate: no weights leave without the report that was made for them, within the budget the user set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_privacy.arguments import check_choice, check_number, check_switch, check_whole, seen
from hf_privacy.errors import InputError
from hf_privacy.gate_fields import DEPTHS, GateFields
from hf_privacy.hub.evidence import ADVERSARIAL, all_attacks
from hf_privacy.hub.schema import REPORT_NAME, load_report_dict
from hf_privacy.hub.unlearned import perplexity_rise, retained_loss
from hf_privacy.hub.weights import weights_sha256

TprBudget = tuple[float, float] | Mapping[float, float]
# What a budget on leakage asks of the audit where the user says nothing: attacks without reference models find a
# fraction of what those with some find, and a bound that a weak attack stays under says little.
BUDGET_DEPTH, BUDGET_REFERENCES = "full", 8


class GateError(InputError):
    """A push that the gate refuses; the message is the reason in one sentence."""


class OverBudgetError(GateError):
    """The audit is fit to judge by, and the model may leak more than the budget allows."""


# What is usual for extraction: 50 tokens given, 50 asked for (arXiv 2202.07646).
_LEAST_PREFIX, _MOST_SUFFIX = 50, 50


def _tpr_budgets(budget: TprBudget | None) -> dict[float, float]:
    if budget is None:
        return {}
    if isinstance(budget, Mapping):
        pairs = list(budget.items())
    elif isinstance(budget, (tuple, list)) and len(budget) == 2:
        pairs = [(budget[0], budget[1])]
    else:
        raise InputError(
            f"max_tpr_at_fpr is {seen(budget)}: pass a pair (fpr, highest tpr) or a mapping fpr -> highest tpr"
        )
    if not pairs:
        raise InputError("max_tpr_at_fpr is empty: pass at least one fpr with its highest tpr, or None for no budget")
    names = "max_tpr_at_fpr's fpr", "max_tpr_at_fpr's tpr"
    return {check_number(names[0], fpr, 0.0, 1.0): check_number(names[1], tpr, 0.0, 1.0) for fpr, tpr in pairs}


def _named(attack: Mapping[str, Any], inputs: str) -> str:
    sides = " (read from both sides)" if "two_sided" in attack else ""
    return attack["name"] + (" on adversarial inputs" if inputs == ADVERSARIAL else "") + sides


def _strongest(report: dict[str, Any]) -> str:
    """Which attack the report's headline is about: the one with the highest upper end need not be it."""
    found = report["evidence"]["strongest"]
    by = "AUC" if found["fpr"] is None else f"TPR at FPR {found['fpr']:g}"
    return f"the strongest is {_named({'name': found['attack']}, found['inputs'])} by {by}"


def _check_auc(report: dict[str, Any], max_auc: float) -> None:
    inputs, worst = max(all_attacks(report), key=lambda found: found[1]["auc_high"])
    if worst["auc_high"] > max_auc:
        raise OverBudgetError(
            f"the budget is max_auc {max_auc:g} and the highest upper end is that of {_named(worst, inputs)}, "
            f"{worst['auc_high']:.4g} (AUC {worst['auc']:.3f} [{worst['auc_low']:.3f}, {worst['auc_high']:.3f}]); "
            f"{_strongest(report)}: defend the model, or raise the budget"
        )
    # Where a group is the unit, what is to be kept is whose examples were there: all of a group tell more than each.
    attacks = [(found, _named(found, inputs)) for inputs, found in all_attacks(report)]
    grouped = [(found["by_group"], name) for found, name in attacks if "by_group" in found]
    area, who = max(grouped, key=lambda found: found[0]["auc_high"], default=(None, ""))
    if area is not None and area["auc_high"] > max_auc:
        raise OverBudgetError(
            f"the budget is max_auc {max_auc:g} and the highest upper end over whole groups by "
            f"{report['split']['unit']!r} is that of {who}, {area['auc_high']:.4g} (AUC {area['auc']:.3f} "
            f"[{area['auc_low']:.3f}, {area['auc_high']:.3f}]): defend the model, or raise the budget"
        )


def _check_tpr(report: dict[str, Any], fpr: float, max_tpr: float) -> None:
    worst: dict[str, Any] | None = None
    worst_name = ""
    for inputs, attack in all_attacks(report):
        entries = [entry for entry in attack["tpr_at_fpr"] if math.isclose(entry["fpr"], fpr, rel_tol=1e-9)]
        if not entries:
            raise GateError(
                f"the budget names fpr {fpr:g} and the report has no TPR at that FPR for {attack['name']}: "
                "audit again with this FPR, or set the budget at one the report holds"
            )
        entry = entries[0]
        if entry["tpr"] is None:
            raise GateError(
                f"the budget names fpr {fpr:g} and the report does not resolve it for {attack['name']} "
                f"({entry['reason']}): audit with more non-members, or set the budget at a higher FPR"
            )
        if worst is None or entry["high"] > worst["high"]:
            worst, worst_name = entry, _named(attack, inputs)
    if worst is not None and worst["high"] > max_tpr:
        raise OverBudgetError(
            f"the budget is TPR {max_tpr:g} at FPR {fpr:g} and the highest upper end is that of {worst_name}, "
            f"{worst['high']:.4g} (TPR {worst['tpr']:.3f} [{worst['low']:.3f}, {worst['high']:.3f}]); "
            f"{_strongest(report)}: defend the model, or raise the budget"
        )


def _check_extraction(report: dict[str, Any], most: float) -> None:
    section = report.get("extraction")
    if section is None:
        raise GateError(
            f"the budget is max_extraction {most:g} and the report says nothing of extraction: audit a causal "
            "language model with extraction, or leave max_extraction out"
        )
    prefix, suffix = section["prefix_tokens"], section["suffix_tokens"]
    if suffix > _MOST_SUFFIX or (prefix is not None and prefix < _LEAST_PREFIX):
        raise GateError(
            f"the budget is max_extraction {most:g} and the report asked for {suffix} tokens behind "
            f"{'the prompt' if prefix is None else prefix}: with more than {_MOST_SUFFIX} asked for, or fewer than "
            f"{_LEAST_PREFIX} given, hardly anything comes back word for word; audit with suffix_tokens "
            f"{_MOST_SUFFIX} or fewer and prefix_tokens {_LEAST_PREFIX} or more, or left out"
        )
    found = section["greedy"]["leakage"]
    if found["high"] > most:
        raise OverBudgetError(
            f"the budget is max_extraction {most:g} and the upper end of what the model gives back beyond held-out "
            f"texts, up to {suffix} tokens of each, is {found['high']:.4g} ({found['value']:.3f} "
            f"[{found['low']:.3f}, {found['high']:.3f}]): defend the model, audit more rows, or raise the budget"
        )


def _check_unlearning(report: dict[str, Any], settings: GateSettings) -> None:
    section = report["unlearning"]
    if section is None:
        raise GateError(
            "the report says nothing of unlearning and the push demands it: run `hf-privacy unlearn` and push the "
            "folder it makes"
        )
    max_gap = settings.max_unlearning_gap
    if max_gap is not None and section["gap"] is None:
        raise GateError(
            f"the budget is max_unlearning_gap {max_gap:g} and no model was retrained to compare with: run "
            "`hf-privacy unlearn` with unlearning.retrains of 1 or more"
        )
    method = section["method"]["name"]
    if max_gap is not None and section["gap"]["average"] > max_gap:
        raise GateError(
            f"the budget is max_unlearning_gap {max_gap:g} and {method} is {section['gap']['average']:.4g} from "
            "retraining on average: unlearn by other means, retrain, or raise the budget"
        )
    most, lost = settings.max_retained_loss, retained_loss(section)
    if most is not None and lost > most:
        raise GateError(
            f"the budget is max_retained_loss {most:g} and {method} lost {lost:.4g} of what was to be kept: unlearn "
            "by other means, retrain, or raise the budget"
        )
    most, rise = settings.max_perplexity_rise, perplexity_rise(section)
    if most is not None and rise is None:
        raise GateError(
            f"the budget is max_perplexity_rise {most:g} and the report has no perplexity: set max_retained_loss "
            "for a classifier"
        )
    if most is not None and rise is not None and rise > most:
        raise GateError(
            f"the budget is max_perplexity_rise {most:g} and {method} raised the perplexity of what was to be kept by "
            f"{rise:.4g}: unlearn by other means, retrain, or raise the budget"
        )


def _check_depth(report: dict[str, Any], depth: str, references: int, why: str) -> None:
    if DEPTHS.index(report["depth"]) < DEPTHS.index(depth):
        raise GateError(
            f"the report is of a {report['depth']} audit and {why} asks for a {depth} one: audit at depth {depth!r}, "
            f"or let this depth do with min_depth {report['depth']!r}"
        )
    if references == 0:
        return
    # Both what was trained and what an attack used: a report may name references that no attack looked at.
    trained = 0 if report["references"] is None else report["references"]["n_models"]
    found = min(trained, max(attack["n_references"] for attack in report["attacks"]))
    if found < references:
        raise GateError(
            f"the report's attacks have {found} reference models and {why} asks for at least {references}: audit with "
            f"more references, or let fewer do with min_references {found}"
        )


def _check_confidence(report: dict[str, Any], confidence: float) -> None:
    lowest = min(attack["confidence"] for _, attack in all_attacks(report))
    # An interval cannot be made wider from its ends alone, so a report at less confidence is not judged at all.
    if lowest < confidence - 1e-12:
        raise GateError(
            f"the report's intervals are at confidence {lowest:g} and the gate judges at {confidence:g}: audit again "
            f"with confidence {confidence:g} or more"
        )


@dataclass(kw_only=True)
class GateSettings(GateFields):
    """What the gate asks of a report: the budget, and the audit that must show that it is kept.

    Parameters
    ----------
    max_auc
        The highest AUC allowed, in [0, 1].
    max_tpr_at_fpr
        The highest true-positive rate allowed at a false-positive rate: a pair ``(fpr, tpr)``, or a mapping from
        each FPR to its TPR, all in [0, 1].
    max_extraction
        The largest share of its training texts, in [0, 1], that a language model may give back word for word beyond
        held-out texts and what its base model gives back: the upper end of the report's leakage by greedy decoding.
        The report must have an extraction section.
    max_unlearning_gap
        The largest mean absolute gap of UA, RA, TA and MIA efficacy to those of retraining, in [0, 1]: 0.012 is 1.2
        points. The report must then have an unlearning section with retrained models.
    max_retained_loss
        How much less of what was to be kept may be right than after retraining (than before, where nothing was
        retrained), as a share in [0, 1]: 0.02 is 2 points, from which on the verdict warns by itself.
    max_perplexity_rise
        By what share, 0 or more, a language model's perplexity of what was to be kept may be higher, likewise: 0.05 is
        5 %, from which on the verdict warns by itself.
    require_unlearning
        Refuse a report without an unlearning section.
    min_depth
        The least depth of the audit, "quick" or "full". By default "full" where `max_auc` or `max_tpr_at_fpr` is set
        (an unlearned model is audited quickly: pass "quick" for it), else any.
    min_references
        The fewest reference models, of those trained and of those that an attack used. By default 8 where `max_auc`
        or `max_tpr_at_fpr` is set and the depth is to be full, else 0.
    min_confidence
        The confidence in (0, 1) at which the gate judges; a report whose intervals are at less is refused, one at
        more is judged by its own, wider ones.
    allow_unaudited
        Let a folder *without* a report pass, unjudged by any budget. A report that is there is always judged.

    Raises
    ------
    InputError
        One of them is no rate, depth or count.

    Examples
    --------
    >>> GateSettings(max_auc=0.6).least_audit
    ('full', 8, 'a budget on leakage')
    >>> GateSettings().least_audit
    ('quick', 0, 'the push')
    """

    max_tpr_at_fpr: TprBudget | None = None  # type: ignore[assignment] # pairs too, where no text is read

    def __post_init__(self) -> None:
        for name in ("max_auc", "max_extraction", "max_unlearning_gap", "max_retained_loss"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0.0, 1.0)
        if self.max_perplexity_rise is not None:
            check_number("max_perplexity_rise", self.max_perplexity_rise, 0.0, math.inf, high_open=True)
        _tpr_budgets(self.max_tpr_at_fpr)
        for name in ("require_unlearning", "allow_unaudited"):
            check_switch(name, getattr(self, name))
        if self.min_depth is not None:
            check_choice("min_depth", self.min_depth, DEPTHS)
        if self.min_references is not None:
            check_whole("min_references", self.min_references, at_least=0)
        check_number("min_confidence", self.min_confidence, 0.0, 1.0, low_open=True, high_open=True)

    @property
    def least_audit(self) -> tuple[str, int, str]:
        """The least depth and number of references, and what asks for them."""
        budget = self.max_auc is not None or bool(_tpr_budgets(self.max_tpr_at_fpr))
        depth = self.min_depth or (BUDGET_DEPTH if budget else "quick")
        references = self.min_references
        if references is None:
            references = BUDGET_REFERENCES if budget and depth == "full" else 0
        default = budget and (self.min_depth is None or self.min_references is None)
        return depth, references, "a budget on leakage" if default else "the push"


def check_gate(folder: str | Path, **settings: Any) -> dict[str, Any] | None:
    """Judge a saved model by its report; return the report, or raise with the reason.

    The budget is held against the highest upper end of all attacks' intervals, those on adversarial inputs included: a
    model passes when the audit shows that it leaks little, not when the audit was too small, too shallow or at too
    little confidence to see. Attacks on a defended language model count from whichever side of their scores tells
    more. The report is not signed: the gate keeps an honest user from mistakes, not a dishonest
    one from writing figures.

    Parameters
    ----------
    folder
        The saved model's folder with ``*.safetensors`` and ``privacy_report.json``.
    **settings
        Those of `GateSettings`: ``max_auc``, ``max_tpr_at_fpr``, ``min_depth``, ``min_references``, …

    Returns
    -------
    dict or None
        The valid report; None for a folder let pass without one.

    Raises
    ------
    GateError
        There is no report, the report is not valid, is for other weights, is of too shallow an audit, is over the
        budget, does not resolve an FPR of the budget, or lacks the unlearning that is demanded.
    InputError
        A setting is no rate, depth or count, or there are no weights.

    Examples
    --------
    >>> check_gate(".", max_auc=55)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: max_auc is 55: pass a number in [0, 1]
    """
    return judge(folder, GateSettings(**settings))


def judge(folder: str | Path, settings: GateSettings) -> dict[str, Any] | None:
    """`check_gate` with its settings in one."""
    report, invalid = None, None
    if (Path(folder) / REPORT_NAME).is_file():
        try:
            report = load_report_dict(folder)
        except InputError as error:
            invalid = error
    if report is not None:
        refuse_unopened(report)
    actual = weights_sha256(folder)
    if invalid is not None:
        raise GateError(str(invalid)) from invalid
    if report is None:
        if settings.allow_unaudited:
            return None
        raise GateError(
            f"there is no {REPORT_NAME} in {folder}: run `hf-privacy audit` first, or pass allow_unaudited to publish "
            "a model that says it was not audited"
        )
    audited = report["model"]["weights_sha256"]
    if audited != actual:
        raise GateError(
            f"the report is for other weights: it was made for {audited[:12]} and the folder {folder} holds "
            f"{actual[:12]}: run `hf-privacy audit` on these weights"
        )
    judge_report(report, settings)
    return report


def refuse_unopened(report: Mapping[str, Any]) -> None:
    """Raise `GateError` for a report of a table of scores, which can be held against no weights."""
    if report["model"]["weights_sha256"] is None:
        raise GateError(
            "the report was made from a table of scores, and no weights can be held against it: audit the saved model "
            "itself with `hf-privacy audit --model`, then push that"
        )


def judge_report(report: dict[str, Any], settings: GateSettings) -> None:
    """Raise `GateError` with the first reason why a valid report does not keep the budget."""
    _check_confidence(report, settings.min_confidence)
    _check_depth(report, *settings.least_audit)
    if settings.max_auc is not None:
        _check_auc(report, settings.max_auc)
    for fpr, max_tpr in _tpr_budgets(settings.max_tpr_at_fpr).items():
        _check_tpr(report, fpr, max_tpr)
    if settings.max_extraction is not None:
        _check_extraction(report, settings.max_extraction)
    bounds = (settings.max_unlearning_gap, settings.max_retained_loss, settings.max_perplexity_rise)
    if settings.require_unlearning or any(bound is not None for bound in bounds):
        _check_unlearning(report, settings)
