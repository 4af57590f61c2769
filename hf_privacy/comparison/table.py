"""The one table of a comparison: every defence's utility and leakage, with intervals over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.auditing import mean_interval, versions
from hf_privacy.comparison.defended import DEFENDED_OUTPUTS
from hf_privacy.comparison.plan import Comparison
from hf_privacy.comparison.run import require_done
from hf_privacy.errors import InputError
from hf_privacy.hub import load_report_dict
from hf_privacy.reports.explain import tpr_at

FORMAT = "hf_privacy comparison 1"


def comparison_table(comparison: Comparison) -> dict[str, Any]:
    """Gather the reports of a finished comparison.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    dict
        The contents of ``comparison.json``: what was compared, and ``rows``, one a defence and two for one with a
        prediction-time part ("plain" and "defended" outputs). A figure holds ``values`` (one a seed), ``mean``,
        ``low`` and ``high`` (Student's t, not cut to [0, 1]), or is None where a seed could not resolve it.
        ``against`` holds the differences to the host (for weight rewinding) or the baseline, seed by seed: same
        members, same training seed.

    Raises
    ------
    InputError
        If a run is not done, or no report has one of the attacks asked for.
    """
    require_done(comparison)
    reports = {name: _reports(comparison, name, "") for name in comparison.defenses}
    defended = {
        name: _reports(comparison, name, DEFENDED_OUTPUTS)
        for name in comparison.defenses
        if comparison.defends_outputs(name)
    }
    first = next(iter(reports.values()))[0]
    for attack in comparison.attacks:
        if not any(_attack(report, attack) for of_name in reports.values() for report in of_name):
            known = ", ".join(entry["name"] for entry in first["attacks"])
            raise InputError(f"attacks holds {attack!r}, which no report has: known are {known}")
    rows = []
    for name in comparison.defenses:
        rows.append(_row(comparison, name, "plain", reports[name]))
        if name in defended:
            rows.append(_row(comparison, name, "defended", defended[name]))
    confidence = first["attacks"][0]["confidence"]
    add_differences(rows, baseline=comparison.baseline, confidence=confidence)
    return {
        "format": FORMAT,
        "name": comparison.name,
        "model": first["model"]["architecture"],
        "dataset": {key: first["dataset"][key] for key in ("name", "revision", "fingerprint")},
        "split": {key: first["split"][key] for key in ("n_members", "n_nonmembers", "n_population")},
        "references": first["references"]["n_models"],
        "seeds": list(comparison.seeds),
        "attacks": list(comparison.attacks),
        "fpr": comparison.fpr,
        "confidence": confidence,
        "rows": rows,
        "versions": versions(),
    }


def _reports(comparison: Comparison, name: str, below: str) -> list[dict[str, Any]]:
    return [load_report_dict(cell.folder.path / below) for cell in comparison.cells(name)]


def _row(comparison: Comparison, name: str, outputs: str, reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    confidence = reports[0]["attacks"][0]["confidence"]
    accuracy = [report["utility"]["nonmember_accuracy"]["value"] for report in reports]
    member_accuracy = [report["utility"]["member_accuracy"]["value"] for report in reports]
    gap = [member - nonmember for member, nonmember in zip(member_accuracy, accuracy, strict=True)]
    attacks = {}
    for entry in reports[0]["attacks"]:
        found = [_attack(report, entry["name"]) for report in reports]
        if None in found:
            continue
        attacks[entry["name"]] = {
            "title": entry["title"],
            "auc": _figure([attack["auc"] for attack in found], confidence),
            "tpr": _figure([_tpr(attack, comparison.fpr) for attack in found], confidence),
        }
    canaries = [report.get("canaries") for report in reports]
    defense = reports[0]["defense"]
    return {
        "name": name,
        "title": comparison.title_of(name),
        "defense": defense["name"],
        "parameters": defense["parameters"],
        "critical_weight_rewind": comparison.defenses[name].critical_weight_rewind,
        "outputs": outputs,
        "host": comparison.host_of(name),
        "epsilon": reports[0]["epsilon"]["upper"],
        "accuracy": _figure(accuracy, confidence),
        "member_accuracy": _figure(member_accuracy, confidence),
        "gap": _figure(gap, confidence),
        "attacks": attacks,
        "strongest": _strongest(attacks),
        "canary_auc": None if None in canaries else _figure([found["auc"] for found in canaries], confidence),
        "against": None,
    }


def add_differences(rows: list[dict[str, Any]], *, baseline: str | None, confidence: float) -> None:
    """Fill ``against``: each row's differences, seed by seed, to its host or the baseline.

    Defended outputs are set against the host's defended outputs, where it has any.
    """
    by_name = {(row["name"], row["outputs"]): row for row in rows}
    for row in rows:
        other = row["host"] or baseline
        if other is not None and (other != row["name"] or row["outputs"] == "defended"):
            against = by_name.get((other, row["outputs"]), by_name[other, "plain"])
            row["against"] = _difference(row, against, confidence=confidence)


def _attack(report: dict[str, Any], name: str) -> dict[str, Any] | None:
    return next((attack for attack in report["attacks"] if attack["name"] == name), None)


def _tpr(attack: dict[str, Any], fpr: float) -> float | None:
    entry = tpr_at(attack, fpr=fpr)
    return None if entry is None else entry["tpr"]


def _figure(values: Sequence[float | None], confidence: float) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return {"values": known, **mean_interval(known, confidence=confidence)}


def _strongest(attacks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The attack with the largest mean TPR, or AUC where no TPR is resolved."""
    measure = "tpr" if any(attack["tpr"] for attack in attacks.values()) else "auc"
    name = max((name for name in attacks if attacks[name][measure]), key=lambda name: attacks[name][measure]["mean"])
    return {"name": name, "title": attacks[name]["title"], "measure": measure, **attacks[name][measure]}


def _difference(row: dict[str, Any], other: dict[str, Any], *, confidence: float) -> dict[str, Any]:
    def minus(mine: dict[str, Any] | None, theirs: dict[str, Any] | None) -> dict[str, Any] | None:
        if mine is None or theirs is None:
            return None
        return _figure([a - b for a, b in zip(mine["values"], theirs["values"], strict=True)], confidence)

    shared = [name for name in row["attacks"] if name in other["attacks"]]
    return {
        "name": other["name"],
        "outputs": other["outputs"],
        "accuracy": minus(row["accuracy"], other["accuracy"]),
        "gap": minus(row["gap"], other["gap"]),
        "attacks": {
            name: {key: minus(row["attacks"][name][key], other["attacks"][name][key]) for key in ("auc", "tpr")}
            for name in shared
        },
    }
