"""Accuracy, robust accuracy and leakage side by side: of all examples, and by how much an example is memorized."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hf_privacy.hub.evidence import tpr_at
from hf_privacy.reports.report import Report
from hf_privacy.reports.sections.slices import PART, UNRESOLVED
from hf_privacy.reports.shapes import listed, nullable, record
from hf_privacy.reports.titles import attack_words, short_title
from hf_privacy.reports.words import grid, percent, rate, wrapped

SETS = {"members": "members", "nonmembers": "non-members"}
_FPR = 0.01
_SHOWN_ATTACKS = 3
RANGE = "memorization_from signed_unit, memorization_to signed_unit"
FIELDS = {
    "memorization_bins": nullable(
        listed(
            record(
                f"{RANGE}, {PART}",
                optional=UNRESOLVED,
                description="One attack within the examples of like memorization; the TPR is at the FPR among all "
                "non-members, its interval covers the chance in the threshold.",
            ),
            most=1000,
        )
    )
}


@dataclass(frozen=True)
class MemorizationRow:
    """The figures of one group of examples."""

    label: str  # "all examples", or the group's range of memorization
    n_members: int | None  # as the membership attacks count them; None where none was made in this group
    n_nonmembers: int | None
    accuracies: dict[tuple[str, str], dict[str, Any]]  # by the adversarial attack's name and the set
    rates: dict[str, tuple[float, float, float]]  # by the membership attack's name: TPR with its interval


@dataclass(frozen=True)
class MemorizationTable:
    """The columns and rows of the table."""

    accuracies: list[tuple[str, str]]  # name and title: "clean", "PGD-20", …
    attacks: list[tuple[str, str]]  # name and title of each membership attack
    fpr: float  # of the TPRs, at one threshold for all groups
    rows: list[MemorizationRow]  # all examples first, then the groups from the least memorized up

    @property
    def groups(self) -> list[MemorizationRow]:
        """The rows below the one of all examples."""
        return self.rows[1:]


def memorization_table(report: Report) -> MemorizationTable | None:
    """Join the report's robustness and its leakage by memorization into one table."""
    bins = report.memorization_bins or []
    robustness = report.robustness or {"accuracies": [], "memorization_bins": []}
    robust_bins = robustness["memorization_bins"] or []
    if not bins and not robustness["accuracies"]:
        return None
    attacks = list(dict.fromkeys(entry["attack"] for entry in bins))
    fpr = next((entry["fpr"] for entry in bins if "fpr" in entry), _FPR)
    names = dict.fromkeys(entry["name"] for entry in robustness["accuracies"])
    titles = {entry["name"]: entry["title"] for entry in robustness["accuracies"]}
    overall = {
        attack["name"]: (entry["tpr"], entry["low"], entry["high"])
        for attack in report.attacks
        if attack["name"] in attacks and (entry := tpr_at(attack, fpr=fpr))
    }
    everyone = report.attacks[0]["n_members"], report.attacks[0]["n_nonmembers"]
    rows = [MemorizationRow("all examples", *everyone, _by_name_and_set(robustness["accuracies"]), overall)]
    for low, high in sorted({_range(entry) for entry in [*bins, *robust_bins]}):
        inside = [entry for entry in bins if _range(entry) == (low, high)]
        counts = (inside[0]["n_members"], inside[0]["n_nonmembers"]) if inside else (None, None)
        label = memorization_range({"memorization_from": low, "memorization_to": high})
        accuracies = _by_name_and_set([entry for entry in robust_bins if _range(entry) == (low, high)])
        resolved = [entry for entry in inside if "tpr" in entry]
        rates = {entry["attack"]: (entry["tpr"], entry["tpr_low"], entry["tpr_high"]) for entry in resolved}
        rows.append(MemorizationRow(label, *counts, accuracies, rates))
    return MemorizationTable(
        accuracies=[(name, titles[name]) for name in names],
        attacks=[(name, short_title(name, report.attacks)) for name in attacks],
        fpr=fpr,
        rows=rows,
    )


def lines(report: Report) -> str | None:
    """Lay accuracy, robust accuracy and TPR out by memorization, without intervals, in at most 100 columns."""
    table, robustness = memorization_table(report), report.robustness
    if table is None:
        return None
    table = replace(table, attacks=table.attacks[:_SHOWN_ATTACKS])
    rates = [f"{title} TPR@{percent(table.fpr).replace(' ', '')}" for _, title in table.attacks]
    headers = ["Memorization", "Examples", *(title for _, title in table.accuracies), *rates]
    heading = "By how much an example is memorized: members / non-members, and TPR in %"
    if robustness is not None:
        heading = f"Accuracy of members / non-members in %, TPR in %; attack: {attack_words(robustness)}"
    found = wrapped(heading)
    found += grid(headers, [memorization_cells(row, table) for row in table.rows])
    if part := fewer_examples(table):
        found += wrapped(part)
    if robustness is not None and robustness["targets"] is not None:
        found += wrapped(_over_targets(table, robustness["targets"]))
    return "\n".join(found)


def memorization_cells(row: MemorizationRow, table: MemorizationTable) -> list[str]:
    """Write a row: its name, its examples, its accuracies (members / non-members) and its TPRs, in percent.

    A dash stands for what was not measured.
    """
    counts = "-" if row.n_members is None else f"{row.n_members:,} / {row.n_nonmembers:,}"
    cells = [row.label, counts]
    for name, _ in table.accuracies:
        found = [row.accuracies.get((name, which)) for which in SETS]
        cells.append(" / ".join("-" if entry is None else _bare(entry["value"]) for entry in found))
    return [*cells, *(_bare(row.rates[name][0]) if name in row.rates else "-" for name, _ in table.attacks)]


def shown(report: Report) -> dict[str, Any]:
    table, bins = memorization_table(report), report.memorization_bins or []
    attacks = dict.fromkeys(entry["attack"] for entry in bins)
    return {
        "by_memorization": table,
        "by_memorization_cells": [memorization_cells(row, table) for row in table.rows] if table else [],
        "fewer": fewer_examples(table) if table else None,
        "memorization_of": {name: [entry for entry in bins if entry["attack"] == name] for name in attacks},
        "memorization_range": memorization_range,
        "sets": SETS,
    }


def fewer_examples(table: MemorizationTable) -> str | None:
    """Say which accuracies were measured on fewer examples than the membership attacks; None where none was."""
    everyone = table.rows[0]
    audited = {"members": everyone.n_members, "nonmembers": everyone.n_nonmembers}
    found = []
    for name, title in table.accuracies:
        counts = {
            which: everyone.accuracies[name, which]["n_examples"]
            for which in SETS
            if (name, which) in everyone.accuracies
        }
        if any(count != audited[which] for which, count in counts.items()):
            found.append(f"{title}, {' and '.join(f'{count:,} {SETS[which]}' for which, count in counts.items())}")
    return f"Measured on part of the examples: {'; '.join(found)}." if found else None


def memorization_range(entry: dict[str, Any]) -> str:
    """Write a memorization bin's bounds.

    Examples
    --------
    >>> memorization_range({"memorization_from": 0.1, "memorization_to": 0.25})
    '0.1 to 0.25'
    """
    low, high = _range(entry)
    return f"below {high:g}" if low == -1 else f"{low:g} to {high:g}"


def _by_name_and_set(entries: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(entry["name"], entry["set"]): entry for entry in entries}


def _range(entry: dict[str, Any]) -> tuple[float, float]:
    return entry["memorization_from"], entry["memorization_to"]


def _over_targets(table: MemorizationTable, targets: dict[str, Any]) -> str:
    titles = dict(table.accuracies)
    found = [
        f"{titles.get(entry['name'], entry['name'])}, {SETS[entry['set']]} "
        f"{' '.join(rate(entry['mean'], max(entry['low'], 0.0), min(entry['high'], 1.0)))}"
        for entry in targets["accuracies"]
    ]
    return f"Mean accuracy over {targets['n_targets']} training runs, in %: {'; '.join(found)}"


def _bare(share: float) -> str:
    return rate(share, share, share)[0]
