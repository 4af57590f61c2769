"""The strongest attack of a report: the one definition that page, card, commit, gate, tables and plots read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hf_privacy.attack_table import is_control

# Where a TPR decides which attack is the strongest, in this order: 10 % where there are too few non-members for 1 %.
HEADLINE_FPRS = (0.01, 0.1)
CLEAN, ADVERSARIAL = "clean", "adversarial"
LOW_SCORES = "low"  # the side of `hf_privacy.statistics.two_sided` on which members score lowest


def tpr_at(attack: Mapping[str, Any], *, fpr: float) -> dict[str, Any] | None:
    """Give an attack's entry for one false-positive rate, or None where it was not measured or not resolvable."""
    for entry in attack["tpr_at_fpr"]:
        if abs(entry["fpr"] - fpr) < 1e-12 and entry["tpr"] is not None:
            return entry
    return None


def as_read(attack: dict[str, Any]) -> dict[str, Any]:
    """Give an attack's figures as they are judged: from both sides where the model is defended, else as they are.

    Examples
    --------
    >>> as_read({"name": "loss", "auc": 0.25, "two_sided": {"side": "low", "auc": 0.75}})["auc"]
    0.75
    """
    return {**attack, **attack["two_sided"]} if "two_sided" in attack else attack


def all_attacks(report: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Give every membership attack of a report, as read, with its inputs, "clean" or "adversarial"; no controls."""
    robustness = report["robustness"] or {}
    return [
        *((CLEAN, as_read(attack)) for attack in report["attacks"] if not is_control(attack["name"])),
        *((ADVERSARIAL, attack) for attack in robustness.get("membership_attacks") or []),
    ]


def p_value_of(test: Mapping[str, Any], fpr: float | None) -> float | None:
    """Give the corrected p-value of an attack's TPR at a false-positive rate, of its AUC for None."""
    if fpr is None:
        return test["auc"]
    return next((entry["p_value"] for entry in test["tpr"] if abs(entry["fpr"] - fpr) < 1e-12), None)


def by_strength(
    attacks: Sequence[tuple[str, dict[str, Any]]], tests: Sequence[Mapping[str, Any]], *, level: float
) -> tuple[float | None, list[tuple[str, dict[str, Any], Mapping[str, Any]]]]:
    """Order attacks, the strongest first.

    What decides is the TPR at 1 % false positives, or at 10 %, or at another rate of the report, or the AUC: the
    first of these by which any attack is better than guessing at the level, corrected for the choice. Where none is
    by any, the first that is resolved. Attacks that are better than guessing by it come first, the largest value
    before the others.

    Parameters
    ----------
    attacks : sequence of (str, dict)
        Inputs and figures, as `all_attacks` gives them.
    tests : sequence of mapping
        The ``attacks`` of the report's ``evidence``, in the same order.
    level : float

    Returns
    -------
    fpr : float or None
        What decided; None for the AUC.
    ordered : list of (str, dict, mapping)
        Inputs, figures and p-values.
    """
    measured = sorted({entry["fpr"] for test in tests for entry in test["tpr"]})
    usual = [fpr for wanted in HEADLINE_FPRS for fpr in measured if abs(fpr - wanted) < 1e-12]
    measures: list[float | None] = [*usual, *(fpr for fpr in measured if fpr not in usual), None]
    shown = (fpr for fpr in measures if any((p_value_of(test, fpr) or 1.0) <= level for test in tests))
    decides = next(shown, usual[0] if usual else None)

    def weakness(candidate: tuple[str, dict[str, Any], Mapping[str, Any]]) -> tuple[bool, float, float]:
        _, attack, test = candidate
        entry = None if decides is None else tpr_at(attack, fpr=decides)
        value = attack["auc"] if decides is None else -1.0 if entry is None else entry["tpr"]
        p_value = p_value_of(test, decides)
        return p_value is None or p_value > level, -value, -attack["auc"]

    candidates = [(inputs, attack, test) for (inputs, attack), test in zip(attacks, tests, strict=True)]
    return decides, sorted(candidates, key=weakness)


def strongest_of(
    attacks: Sequence[tuple[str, dict[str, Any]]], tests: Sequence[Mapping[str, Any]], *, level: float
) -> dict[str, Any]:
    """Describe the first of `by_strength` as ``evidence["strongest"]`` does.

    Examples
    --------
    >>> attack = {"name": "loss", "auc": 0.6, "auc_low": 0.55, "auc_high": 0.65, "tpr_at_fpr": []}
    >>> test = {"attack": "loss", "inputs": "clean", "auc": 0.0005, "tpr": []}
    >>> found = strongest_of([("clean", attack)], [test], level=0.05)
    >>> found["attack"], found["measure"], found["value"], found["p_value"]
    ('loss', 'auc', 0.6, 0.0005)
    """
    fpr, ordered = by_strength(attacks, tests, level=level)
    inputs, attack, test = ordered[0]
    entry = None if fpr is None else tpr_at(attack, fpr=fpr)
    if entry is None:
        fpr, found = None, {"value": attack["auc"], "low": attack["auc_low"], "high": attack["auc_high"]}
    else:
        found = {"value": entry["tpr"], "low": entry["low"], "high": entry["high"]}
    return {
        "attack": attack["name"],
        "inputs": inputs,
        "measure": "auc" if fpr is None else "tpr",
        "fpr": fpr,
        **found,
        "p_value": p_value_of(test, fpr),
    }


def strength_order(report: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Give inputs and figures of every attack of a report, the strongest first."""
    evidence = report["evidence"]
    _, ordered = by_strength(all_attacks(report), evidence["attacks"], level=evidence["level"])
    return [(inputs, attack) for inputs, attack, _ in ordered]


def strongest_attack(report: Mapping[str, Any]) -> dict[str, Any]:
    """Give the figures of the attack that ``evidence["strongest"]`` names."""
    found = report["evidence"]["strongest"]
    return next(
        attack
        for inputs, attack in all_attacks(report)
        if (attack["name"], inputs) == (found["attack"], found["inputs"])
    )


def disagreements(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say where a report's evidence and its other figures disagree: the path and the reason, one after the other."""
    evidence, attacks = report["evidence"], all_attacks(report)
    tests = evidence["attacks"]
    if evidence["n_attacks"] != len(tests):
        yield "$.evidence.n_attacks", f"it is {evidence['n_attacks']} and p-values are given of {len(tests)}"
    wanted = [(attack["name"], inputs) for inputs, attack in attacks]
    if [(test["attack"], test["inputs"]) for test in tests] != wanted:
        yield "$.evidence.attacks", "it must hold every attack of the report but its controls once, in the same order"
        return
    smallest = 1 / (evidence["n_permutations"] + 1)
    for index, ((_, attack), test) in enumerate(zip(attacks, tests, strict=True)):
        path = f"$.evidence.attacks[{index}]"
        resolved = [entry["fpr"] for entry in attack["tpr_at_fpr"] if entry["tpr"] is not None]
        if [entry["fpr"] for entry in test["tpr"]] != resolved:
            yield f"{path}.tpr", f"it must hold a p-value for each resolved false-positive rate of {attack['name']}"
            return
        if min([test["auc"], *(entry["p_value"] for entry in test["tpr"])]) < smallest * (1 - 1e-9):
            yield path, f"{evidence['n_permutations']:,} permutations give no p-value below {smallest:.3g}"
    strongest = strongest_of(attacks, tests, level=evidence["level"])
    if evidence["strongest"] != strongest:
        yield (
            "$.evidence.strongest",
            f"by the figures it is {strongest['attack']} ({strongest['measure']})",
        )
