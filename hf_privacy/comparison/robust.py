"""What the reports of one defence say of robustness and of memorization, as parts of its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hf_privacy.comparison.figures import Figure, over_examples, over_seeds, over_targets
from hf_privacy.hub.evidence import tpr_at

CLEAN = "clean"
_SETS = ("members", "nonmembers")


def robustness_part(reports: Sequence[dict[str, Any]], *, over: str, fpr: float) -> dict[str, Any] | None:
    """Gather robust accuracy and the membership attacks on adversarial inputs.

    Parameters
    ----------
    reports : sequence of dict
        One a seed, or the one whose targets are meant.
    over : "seeds" or "targets"
        What means are over. What a report has not over its targets is given of the audited model alone, with
        ``over`` "examples".
    fpr : float
        Of the membership attacks' TPR.

    Returns
    -------
    dict or None
        The attack's ``norm``, ``epsilon``, ``n_steps`` and ``space``; ``accuracies``, by name, with ``title``,
        ``members`` and ``nonmembers``; ``membership_attacks``, by name, with ``title``, ``auc`` and ``tpr``. None
        where a report has no robustness.
    """
    found = [report.get("robustness") for report in reports]
    if None in found:
        return None
    first, confidence = found[0], reports[0]["attacks"][0]["confidence"]
    accuracies: dict[str, dict[str, Any]] = {}
    for entry in first["accuracies"]:
        figures = accuracies.setdefault(entry["name"], {"title": entry["title"], **dict.fromkeys(_SETS)})
        figures[entry["set"]] = _accuracy(found, entry["name"], entry["set"], over=over, confidence=confidence)
    attacks = {}
    for entry in first["membership_attacks"] or []:
        made = [_named(robustness["membership_attacks"] or [], entry["name"]) for robustness in found]
        if None not in made:
            attacks[entry["name"]] = {
                "title": entry["title"],
                **_leakage(made, over=over, fpr=fpr, confidence=confidence),
            }
    return {
        **{key: first[key] for key in ("norm", "epsilon", "n_steps", "step_size", "space")},
        "accuracies": accuracies,
        "membership_attacks": attacks,
    }


def memorization_part(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gather leakage and robust accuracy by memorization, as means over the reports that have the group.

    Returns
    -------
    list of dict
        Per group its bounds, ``n_reports`` that have it, mean ``n_members`` and ``n_nonmembers``, ``tpr`` by attack
        and ``accuracies`` by name and set; each with ``values`` and ``mean``. Groups are those of the defence's own
        reference models. Empty where nothing is known by memorization.
    """
    bounds = sorted({_bounds(entry) for report in reports for entry in _all_bins(report)})
    return [_group(reports, at) for at in bounds]


def _group(reports: Sequence[dict[str, Any]], bounds: tuple[float, float]) -> dict[str, Any]:
    leakage = [[e for e in report.get("memorization_bins") or [] if _bounds(e) == bounds] for report in reports]
    robust = [[e for e in _robust_bins(report) if _bounds(e) == bounds] for report in reports]
    counts = [entries[0] for entries in leakage if entries]
    resolved = [entry for entries in leakage for entry in entries if "tpr" in entry]
    accuracies: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(entry["name"] for entries in robust for entry in entries):
        accuracies[name] = {
            which: _mean(e["value"] for entries in robust for e in entries if (e["name"], e["set"]) == (name, which))
            for which in _SETS
        }
    return {
        "memorization_from": bounds[0],
        "memorization_to": bounds[1],
        "n_reports": sum(bool(one or other) for one, other in zip(leakage, robust, strict=True)),
        "n_members": round(float(np.mean([e["n_members"] for e in counts]))) if counts else None,
        "n_nonmembers": round(float(np.mean([e["n_nonmembers"] for e in counts]))) if counts else None,
        "fpr": resolved[0]["fpr"] if resolved else None,
        "tpr": {
            name: _mean(entry["tpr"] for entry in resolved if entry["attack"] == name)
            for name in dict.fromkeys(entry["attack"] for entry in resolved)
        },
        "accuracies": accuracies,
    }


def _accuracy(
    found: Sequence[dict[str, Any]], name: str, which: str, *, over: str, confidence: float
) -> Figure | None:
    entries = [
        next((e for e in robustness["accuracies"] if (e["name"], e["set"]) == (name, which)), None)
        for robustness in found
    ]
    if over == "seeds":
        return over_seeds([None if entry is None else entry["value"] for entry in entries], confidence)
    targets = found[0]["targets"] or {"accuracies": []}
    mean = next((e for e in targets["accuracies"] if (e["name"], e["set"]) == (name, which)), None)
    return over_targets(mean) or over_examples(entries[0])


def _leakage(made: Sequence[dict[str, Any]], *, over: str, fpr: float, confidence: float) -> dict[str, Figure | None]:
    rates = [tpr_at(attack, fpr=fpr) for attack in made]
    if over == "seeds":
        return {
            "auc": over_seeds([attack["auc"] for attack in made], confidence),
            "tpr": over_seeds([None if rate is None else rate["tpr"] for rate in rates], confidence),
        }
    return {"auc": over_examples(made[0], "auc", prefix="auc_"), "tpr": over_examples(rates[0], "tpr")}


def _named(attacks: Sequence[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((attack for attack in attacks if attack["name"] == name), None)


def _mean(values: Iterator[float]) -> dict[str, Any] | None:
    known = list(values)
    return {"values": known, "mean": float(np.mean(known))} if known else None


def _robust_bins(report: dict[str, Any]) -> list[dict[str, Any]]:
    return (report.get("robustness") or {}).get("memorization_bins") or []


def _all_bins(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [*(report.get("memorization_bins") or []), *_robust_bins(report)]


def _bounds(entry: dict[str, Any]) -> tuple[float, float]:
    return entry["memorization_from"], entry["memorization_to"]
