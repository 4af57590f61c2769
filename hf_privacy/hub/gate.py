"""The gate: no weights leave without the report that was made for them, within the budget the user set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_privacy.arguments import check_number, check_switch, seen
from hf_privacy.errors import InputError
from hf_privacy.hub.evidence import ADVERSARIAL, all_attacks
from hf_privacy.hub.schema import REPORT_NAME, load_report_dict
from hf_privacy.hub.weights import weights_sha256

TprBudget = tuple[float, float] | Mapping[float, float]


class GateError(InputError):
    """A push that the gate refuses; the message is the reason in one sentence."""


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
    names = "the fpr of max_tpr_at_fpr", "the tpr of max_tpr_at_fpr"
    return {check_number(names[0], fpr, 0.0, 1.0): check_number(names[1], tpr, 0.0, 1.0) for fpr, tpr in pairs}


def _named(attack: Mapping[str, Any], inputs: str) -> str:
    return attack["name"] + (" on adversarial inputs" if inputs == ADVERSARIAL else "")


def _strongest(report: dict[str, Any]) -> str:
    """Which attack the report's headline is about: the one with the highest upper end need not be it."""
    found = report["evidence"]["strongest"]
    by = "AUC" if found["fpr"] is None else f"TPR at FPR {found['fpr']:g}"
    return f"the strongest is {_named({'name': found['attack']}, found['inputs'])} by {by}"


def _check_auc(report: dict[str, Any], max_auc: float) -> None:
    inputs, worst = max(all_attacks(report), key=lambda found: found[1]["auc_high"])
    if worst["auc_high"] > max_auc:
        raise GateError(
            f"the budget is max_auc {max_auc:g} and the highest upper end is that of {_named(worst, inputs)}, "
            f"{worst['auc_high']:.4g} (AUC {worst['auc']:.3f} [{worst['auc_low']:.3f}, {worst['auc_high']:.3f}]); "
            f"{_strongest(report)}: defend the model, or raise the budget"
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
        raise GateError(
            f"the budget is TPR {max_tpr:g} at FPR {fpr:g} and the highest upper end is that of {worst_name}, "
            f"{worst['high']:.4g} (TPR {worst['tpr']:.3f} [{worst['low']:.3f}, {worst['high']:.3f}]); "
            f"{_strongest(report)}: defend the model, or raise the budget"
        )


def _check_unlearning(report: dict[str, Any], max_gap: float | None) -> None:
    section = report["unlearning"]
    if section is None:
        raise GateError(
            "the report says nothing of unlearning and the push demands it: run `hf-privacy unlearn` and push the "
            "folder it makes"
        )
    if max_gap is None:
        return
    if section["gap"] is None:
        raise GateError(
            f"the budget is max_unlearning_gap {max_gap:g} and no model was retrained to compare with: run "
            "`hf-privacy unlearn` with unlearning.retrains of 1 or more"
        )
    if section["gap"]["average"] > max_gap:
        raise GateError(
            f"the budget is max_unlearning_gap {max_gap:g} and {section['method']['name']} is "
            f"{section['gap']['average']:.4g} from retraining on average: unlearn by other means, retrain, or raise "
            "the budget"
        )


def check_gate(
    folder: str | Path,
    *,
    max_auc: float | None = None,
    max_tpr_at_fpr: TprBudget | None = None,
    max_unlearning_gap: float | None = None,
    require_unlearning: bool = False,
    allow_unaudited: bool = False,
) -> dict[str, Any] | None:
    """Judge a saved model by its report; return the report, or raise with the reason.

    The budget is held against the highest upper end of all attacks' intervals, those on adversarial inputs included: a
    model passes when the audit shows that it leaks little, not when the audit was too small to see. The report is not
    signed: the gate keeps an honest user from mistakes, not a dishonest one from writing figures.

    Parameters
    ----------
    folder
        The saved model's folder with ``*.safetensors`` and ``privacy_report.json``.
    max_auc
        The highest AUC allowed, in [0, 1].
    max_tpr_at_fpr
        The highest true-positive rate allowed at a false-positive rate: a pair ``(fpr, tpr)``, or a mapping from
        each FPR to its TPR, all in [0, 1].
    max_unlearning_gap
        The largest mean absolute gap of UA, RA, TA and MIA efficacy to those of retraining, in [0, 1]: 0.012 is 1.2
        points. The report must then have an unlearning section with retrained models.
    require_unlearning
        Refuse a report without an unlearning section.
    allow_unaudited
        Let a folder *without* a report pass, unjudged by any budget. A report that is there is always judged.

    Returns
    -------
    dict or None
        The valid report; None for a folder let pass without one.

    Raises
    ------
    GateError
        There is no report, the report is not valid, is for other weights, is over the budget, does not resolve an
        FPR of the budget, or lacks the unlearning that is demanded.
    InputError
        The budget is no rate, or there are no weights.

    Examples
    --------
    >>> check_gate(".", max_auc=55)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: max_auc is 55: pass a number in [0, 1]
    """
    check_switch("require_unlearning", require_unlearning)
    check_switch("allow_unaudited", allow_unaudited)
    for name, budget in (("max_auc", max_auc), ("max_unlearning_gap", max_unlearning_gap)):
        if budget is not None:
            check_number(name, budget, 0.0, 1.0)
    tpr_budgets = _tpr_budgets(max_tpr_at_fpr)
    actual = weights_sha256(folder)
    if not (Path(folder) / REPORT_NAME).is_file():
        if allow_unaudited:
            return None
        raise GateError(
            f"there is no {REPORT_NAME} in {folder}: run `hf-privacy audit` first, or pass allow_unaudited to publish "
            "a model that says it was not audited"
        )
    try:
        report = load_report_dict(folder)
    except InputError as error:
        raise GateError(str(error)) from error
    audited = report["model"]["weights_sha256"]
    if audited != actual:
        raise GateError(
            f"the report is for other weights: it was made for {audited[:12]} and the folder {folder} holds "
            f"{actual[:12]}: run `hf-privacy audit` on these weights"
        )
    if max_auc is not None:
        _check_auc(report, max_auc)
    for fpr, max_tpr in tpr_budgets.items():
        _check_tpr(report, fpr, max_tpr)
    if require_unlearning or max_unlearning_gap is not None:
        _check_unlearning(report, max_unlearning_gap)
    return report
