"""The one table of a comparison: every defence's utility and leakage, with intervals over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.auditing import versions
from hf_privacy.comparison.defended import DEFENDED_OUTPUTS
from hf_privacy.comparison.extraction import extraction_difference, extraction_part
from hf_privacy.comparison.figures import minus, over_examples, over_seeds, over_targets
from hf_privacy.comparison.own_intervals import over_groups, own_figures
from hf_privacy.comparison.plan import FORMAT, Comparison
from hf_privacy.comparison.robust import CLEAN, memorization_part, robustness_part
from hf_privacy.comparison.run import require_done
from hf_privacy.comparison.two_sided import two_sided_figures, two_sided_over_targets
from hf_privacy.comparison.worth import (
    ACCURACY,
    Worth,
    gap_of,
    measured_by,
    worth_over_seeds,
    worth_over_targets,
)
from hf_privacy.errors import InputError
from hf_privacy.hub import load_report_dict
from hf_privacy.hub.evidence import as_read, tpr_at

_SIZES = ("n_members", "n_nonmembers", "n_population", "unit", "n_groups")


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

        Language models have ``perplexity`` in place of ``accuracy`` (``worth`` of the table says so), the gap in
        nats, ``extraction`` (see `extraction_part`), and of each attack ``audits`` (each audit's own figures and
        intervals), ``by_group`` (AUC of whole groups, where groups are the unit) and, where the defence's reports
        have it, ``two_sided`` (see `two_sided_figures`).

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
    confidence, worth = first["attacks"][0]["confidence"], measured_by(first)
    add_differences(rows, baseline=comparison.baseline, confidence=confidence, worth=worth)
    return {
        "format": FORMAT,
        "name": comparison.name,
        "model": first["model"]["architecture"],
        "dataset": {key: first["dataset"][key] for key in ("name", "revision", "fingerprint")},
        "split": {key: first["split"][key] for key in _SIZES if key in first["split"]},
        "references": first["references"]["n_models"],
        "seeds": list(comparison.seeds),
        "over": "targets" if comparison.by_targets else "seeds",
        "n_targets": first["targets"]["n_targets"] if comparison.by_targets else None,
        "attacks": list(comparison.attacks),
        "fpr": comparison.fpr,
        "confidence": confidence,
        **({} if worth is ACCURACY else {"worth": worth.name}),
        "rows": rows,
        "versions": versions(),
    }


def _reports(comparison: Comparison, name: str, below: str) -> list[dict[str, Any]]:
    return [load_report_dict(cell.folder.path / below) for cell in comparison.cells(name)]


def _row(comparison: Comparison, name: str, outputs: str, reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    confidence, worth = reports[0]["attacks"][0]["confidence"], measured_by(reports[0])
    by_targets, over = comparison.by_targets, "targets" if comparison.by_targets else "seeds"
    figures = (
        _over_targets(reports[0], worth, comparison.fpr)
        if by_targets
        else _over_seeds(reports, worth, comparison.fpr, confidence)
    )
    if worth is not ACCURACY:
        figures["extraction"] = extraction_part(reports, confidence, by_targets=by_targets)
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
        "gap": gap_of(figures, reports, worth, confidence, by_targets=by_targets),
        "strongest": _strongest(figures["attacks"]),
        "robustness": robustness_part(reports, over=over, fpr=comparison.fpr),
        "memorization_bins": memorization_part(reports),
        "against": None,
    }


def _over_seeds(reports: Sequence[dict[str, Any]], worth: Worth, fpr: float, confidence: float) -> dict[str, Any]:
    """Worth, attacks and canaries of one report a seed."""
    attacks = {}
    for entry in reports[0]["attacks"]:
        found = [attack for report in reports if (attack := _attack(report, entry["name"])) is not None]
        if len(found) < len(reports):
            continue
        attacks[entry["name"]] = {
            "title": entry["title"],
            "auc": over_seeds([attack["auc"] for attack in found], confidence),
            "tpr": over_seeds([_tpr(attack, fpr) for attack in found], confidence),
            **({} if worth is ACCURACY else _of_language_models(found, fpr, confidence)),
        }
    canaries = [(report.get("canaries") or {}).get("auc") for report in reports]
    return {
        **worth_over_seeds(reports, worth, confidence),
        "attacks": attacks,
        "canary_auc": over_seeds(canaries, confidence),
    }


def _of_language_models(found: Sequence[dict[str, Any]], fpr: float, confidence: float) -> dict[str, Any]:
    """What the table says more of one attack: by group, two-sided where that is how it is read, audit by audit."""
    grouped, two_sided = over_groups(found, confidence), two_sided_figures(found, fpr, confidence)
    return {
        **({} if grouped is None else {"by_group": grouped}),
        **({} if two_sided is None else {"two_sided": two_sided}),
        "audits": own_figures([as_read(attack) for attack in found], fpr),
    }


def _over_targets(report: dict[str, Any], worth: Worth, fpr: float) -> dict[str, Any]:
    """The same of one report, over its targets; canaries were put into one model alone."""
    targets = report["targets"]
    attacks = {
        entry["name"]: {
            "title": entry["title"],
            "auc": over_targets(entry["auc"]),
            "tpr": over_targets(next((r for r in entry["tpr_at_fpr"] if abs(r["fpr"] - fpr) < 1e-12), None)),
            **({} if (read := two_sided_over_targets(entry, fpr)) is None else {"two_sided": read}),
        }
        for entry in targets["attacks"]
    }
    return {
        **worth_over_targets(targets, worth),
        "attacks": attacks,
        "canary_auc": over_examples(report.get("canaries"), "auc", prefix="auc_"),
    }


def add_differences(
    rows: list[dict[str, Any]], *, baseline: str | None, confidence: float, worth: Worth = ACCURACY
) -> None:
    """Fill ``against``: each row's differences, seed by seed or target by target, to its host or the baseline.

    Defended outputs are set against the host's defended outputs, where it has any. Rows whose means hold no single
    values cannot be set against each other in pairs, and are not.
    """
    by_name = {(row["name"], row["outputs"]): row for row in rows}
    for row in rows:
        other = row["host"] or baseline
        if other is not None and (other != row["name"] or row["outputs"] == "defended"):
            against = by_name.get((other, row["outputs"]), by_name[other, "plain"])
            row["against"] = _difference(row, against, worth, confidence=confidence)


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
    figures = {name: as_read(attack)[measure] for name, attack in attacks.items() if attack[measure]}
    name = max(figures, key=lambda name: figures[name]["mean"])
    return {"name": name, "title": attacks[name]["title"], "measure": measure, **figures[name]}


def _difference(
    row: dict[str, Any], other: dict[str, Any], worth: Worth, *, confidence: float
) -> dict[str, Any] | None:
    difference = minus(row[worth.name], other[worth.name], confidence, within=worth.differences_within)
    if difference is None:
        return None
    shared = [name for name in row["attacks"] if name in other["attacks"]]
    mine, theirs = ((one.get("robustness") or {"accuracies": {}})["accuracies"] for one in (row, other))
    gaps = tuple(2 * end for end in worth.gap_within)
    return {
        "name": other["name"],
        "outputs": other["outputs"],
        worth.name: difference,
        "gap": minus(row["gap"], other["gap"], confidence, within=(gaps[0], gaps[1])),
        "attacks": {
            name: {
                key: minus(as_read(row["attacks"][name])[key], as_read(other["attacks"][name])[key], confidence)
                for key in ("auc", "tpr")
            }
            for name in shared
        },
        "robust_accuracy": {
            name: minus(mine[name]["nonmembers"], theirs[name]["nonmembers"], confidence)
            for name in mine
            if name in theirs and name != CLEAN
        },
        **({} if worth is ACCURACY else {"extraction": extraction_difference(row, other, confidence)}),
    }
