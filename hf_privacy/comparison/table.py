"""The one table of a comparison: every defence's utility and leakage, with intervals over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.auditing import versions
from hf_privacy.comparison.defended import DEFENDED_OUTPUTS
from hf_privacy.comparison.figures import gap, minus, over_examples, over_seeds, over_targets
from hf_privacy.comparison.plan import Comparison
from hf_privacy.comparison.robust import CLEAN, memorization_part, robustness_part
from hf_privacy.comparison.run import require_done
from hf_privacy.errors import InputError
from hf_privacy.hub import load_report_dict
from hf_privacy.hub.evidence import tpr_at

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
        ``low`` and ``high`` (Student's t, within what the figure can be), or is None where a seed could not resolve
        it.
        ``robustness`` and ``memorization_bins`` are what `robustness_part` and `memorization_part` give.
        ``against`` holds the differences to the host or the baseline, seed by seed: same
        members, same training seed.

        With one seed and several targets, ``over`` is "targets" and every mean is over those of the one report;
        ``values`` are there where the report has them, and ``against`` where both sides have.

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
    for attack in comparison.attacks:
        if not any(attack in row["attacks"] for row in rows):
            raise InputError(
                f"attacks holds {attack!r}, which no report has over its targets: set audit.keep_weights, so that "
                "reference models can be its targets, or compare over several seeds"
            )
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
        "over": "targets" if comparison.by_targets else "seeds",
        "n_targets": first["targets"]["n_targets"] if comparison.by_targets else None,
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
    over = "targets" if comparison.by_targets else "seeds"
    figures = (
        _over_targets(reports[0], comparison.fpr)
        if comparison.by_targets
        else _over_seeds(reports, comparison.fpr, confidence)
    )
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
        **figures,
        "gap": gap(figures["member_accuracy"], figures["accuracy"], confidence),
        "strongest": _strongest(figures["attacks"]),
        "robustness": robustness_part(reports, over=over, fpr=comparison.fpr),
        "memorization_bins": memorization_part(reports),
        "against": None,
    }


def _over_seeds(reports: Sequence[dict[str, Any]], fpr: float, confidence: float) -> dict[str, Any]:
    """Accuracies, attacks and canaries of one report a seed."""
    attacks = {}
    for entry in reports[0]["attacks"]:
        found = [_attack(report, entry["name"]) for report in reports]
        if None in found:
            continue
        attacks[entry["name"]] = {
            "title": entry["title"],
            "auc": over_seeds([attack["auc"] for attack in found], confidence),
            "tpr": over_seeds([_tpr(attack, fpr) for attack in found], confidence),
        }
    accuracy, member_accuracy = (
        over_seeds([report["utility"][f"{which}_accuracy"]["value"] for report in reports], confidence)
        for which in ("nonmember", "member")
    )
    canaries = [(report.get("canaries") or {}).get("auc") for report in reports]
    return {
        "accuracy": accuracy,
        "member_accuracy": member_accuracy,
        "attacks": attacks,
        "canary_auc": over_seeds(canaries, confidence),
    }


def _over_targets(report: dict[str, Any], fpr: float) -> dict[str, Any]:
    """The same of one report, over its targets; canaries were put into one model alone."""
    targets = report["targets"]
    attacks = {
        entry["name"]: {
            "title": entry["title"],
            "auc": over_targets(entry["auc"]),
            "tpr": over_targets(next((r for r in entry["tpr_at_fpr"] if abs(r["fpr"] - fpr) < 1e-12), None)),
        }
        for entry in targets["attacks"]
    }
    return {
        "accuracy": over_targets(targets["nonmember_accuracy"]),
        "member_accuracy": over_targets(targets["member_accuracy"]),
        "attacks": attacks,
        "canary_auc": over_examples(report.get("canaries"), "auc", prefix="auc_"),
    }


def add_differences(rows: list[dict[str, Any]], *, baseline: str | None, confidence: float) -> None:
    """Fill ``against``: each row's differences, seed by seed or target by target, to its host or the baseline.

    Defended outputs are set against the host's defended outputs, where it has any. Rows whose means hold no single
    values cannot be set against each other in pairs, and are not.
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


def _strongest(attacks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The attack with the largest mean TPR, or AUC where no TPR is resolved: a mean over runs, and no test.

    What one run shows is in its report's ``evidence``.
    """
    measure = "tpr" if any(attack["tpr"] for attack in attacks.values()) else "auc"
    name = max((name for name in attacks if attacks[name][measure]), key=lambda name: attacks[name][measure]["mean"])
    return {"name": name, "title": attacks[name]["title"], "measure": measure, **attacks[name][measure]}


def _difference(row: dict[str, Any], other: dict[str, Any], *, confidence: float) -> dict[str, Any] | None:
    accuracy = minus(row["accuracy"], other["accuracy"], confidence)
    if accuracy is None:
        return None
    shared = [name for name in row["attacks"] if name in other["attacks"]]
    mine, theirs = ((one.get("robustness") or {"accuracies": {}})["accuracies"] for one in (row, other))
    return {
        "name": other["name"],
        "outputs": other["outputs"],
        "accuracy": accuracy,
        "gap": minus(row["gap"], other["gap"], confidence, within=(-2.0, 2.0)),
        "attacks": {
            name: {
                key: minus(row["attacks"][name][key], other["attacks"][name][key], confidence)
                for key in ("auc", "tpr")
            }
            for name in shared
        },
        "robust_accuracy": {
            name: minus(mine[name]["nonmembers"], theirs[name]["nonmembers"], confidence)
            for name in mine
            if name in theirs and name != CLEAN
        },
    }
