"""A comparison's tables of adversarial inputs and of memorization, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.comparison.cells import (
    aligned,
    area_cell,
    attack_cells,
    attack_headers,
    attack_title,
    bare_cell,
    is_over_targets,
    rate_cell,
    robust_columns,
    row_title,
)
from hf_privacy.comparison.robust import CLEAN
from hf_privacy.reports.sections.memorization import memorization_range
from hf_privacy.reports.words import percent


def adversarial_part(table: dict[str, Any]) -> list[str]:
    """The membership attacks on adversarial inputs, where a report has any."""
    made = [(row, (row.get("robustness") or {}).get("membership_attacks") or {}) for row in table["rows"]]
    names = [name for name in table["attacks"] if any(name in attacks for _, attacks in made)]
    if not names:
        return []
    lines = [[row_title(row), *attack_cells(attacks, names, area_cell, rate_cell)] for row, attacks in made]
    alone = "; of the trained model alone, with intervals over its examples" if is_over_targets(table) else ""
    return [
        f"Membership attacks on adversarial inputs: each model asked about the example as attacked on it{alone}.",
        aligned(["Defence", *attack_headers(table, names)], lines),
    ]


def by_memorization_part(table: dict[str, Any]) -> list[str]:
    """Leakage and robust accuracy by memorization, of every defence for which they are known."""
    rows = [(row, group) for row in table["rows"] for group in row.get("memorization_bins") or []]
    if not rows:
        return []
    attacks = [name for name in table["attacks"] if any(name in group["tpr"] for _, group in rows)]
    names = {name for _, group in rows for name in group["accuracies"]}
    robust = [column for column in [(CLEAN, "Clean"), *robust_columns(table)] if column[0] in names]
    fpr = next((group["fpr"] for _, group in rows if group["fpr"] is not None), table["fpr"])
    headers = ["Defence", "Memorization", "Members / non-members"]
    headers += [f"{attack_title(name, table['rows'])} TPR@{percent(fpr).replace(' ', '')}" for name in attacks]
    headers += [title for _, title in robust]
    n_reports = len(table["seeds"])
    several = n_reports > 1
    lines = [
        _group_cells(row, group, attacks, [name for name, _ in robust], n_reports=n_reports) for row, group in rows
    ]
    how = "means over the seeds" if several else "the trained model alone"
    fewer = (
        ". A number of seeds in brackets: the others have too few such examples"
        if any(group["n_reports"] < n_reports for _, group in rows)
        else ""
    )
    accuracies = "; accuracy of members / non-members" if robust else ""
    return [
        f"By memorization ({how}, in %{accuracies}). Groups are by each defence's own reference models, so that "
        f"they do not hold the same examples from one defence to the next{fewer}.",
        aligned(headers, lines),
    ]


def _group_cells(
    row: dict[str, Any], group: dict[str, Any], attacks: Sequence[str], robust: Sequence[str], *, n_reports: int
) -> list[str]:
    counts = "–" if group["n_members"] is None else f"{group['n_members']:,} / {group['n_nonmembers']:,}"
    fewer = "" if group["n_reports"] == n_reports else f" ({group['n_reports']})"
    return [
        row_title(row),
        memorization_range(group) + fewer,
        counts,
        *(bare_cell(group["tpr"].get(name)) for name in attacks),
        *(
            " / ".join(bare_cell(group["accuracies"].get(name, {}).get(which)) for which in ("members", "nonmembers"))
            for name in robust
        ),
    ]
