"""Print a report's attacks at every budget as a Markdown table: python table.py FOLDER [--fpr 0.01]."""

from __future__ import annotations

import argparse

from hf_privacy import PrivacyReport
from hf_privacy.reports.words import percent, rate


def table(budgets: dict, *, fpr: float) -> str:
    """Rows are attacks, columns budgets; each cell an AUC and, below it, the TPR at ``fpr``, with intervals."""
    counts = sorted({entry["n_references"] for entry in budgets["attacks"]} - {0})
    lines: dict[str, dict[int, dict]] = {}
    for entry in budgets["attacks"]:
        # LiRA's title names its variance; the attack is the same at every budget.
        lines.setdefault(entry["title"], {})[entry["n_references"]] = entry
    head = ["Attack", "no references", *(f"{count}" for count in counts)]
    rows = [head, ["---"] * len(head)]
    for title, by_count in lines.items():
        rows.append([title, *(cell(by_count.get(count), fpr) for count in (0, *counts))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell(entry: dict | None, fpr: float) -> str:
    """AUC and TPR with their intervals; empty where the attack cannot be made with so few references."""
    if entry is None:
        return ""
    auc = entry["auc"]
    text = f"{auc['mean']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]"
    for found in entry["tpr_at_fpr"]:
        if found["fpr"] == fpr:
            text += "<br>" + " ".join(rate(found["mean"], found["low"], found["high"]))
    return text


def main() -> None:
    """Read the report and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="the audited model's folder")
    parser.add_argument("--fpr", type=float, default=0.01)
    arguments = parser.parse_args()
    budgets = PrivacyReport.load(arguments.folder).budgets
    if budgets is None:
        parser.error("the report has no budgets: audit with --audit.budgets")
    print(f"AUC, and below it TPR in % at {percent(arguments.fpr)} FPR, by number of reference models: mean over")
    print(f"{budgets['n_targets']} attacked models with {percent(budgets['confidence'])} intervals (Student's t).\n")
    print(table(budgets, fpr=arguments.fpr))


if __name__ == "__main__":
    main()
