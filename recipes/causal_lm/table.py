"""What an audited run found, as a committed result and as the README's rows.

Run: python recipes/causal_lm/table.py runs/tofu_full recipes/causal_lm/tofu_full_result.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

KEPT = (
    "model", "defense", "split", "dataset", "references", "targets", "utility", "extraction", "blind_baseline", "cost",
    "versions",
)  # fmt: skip
FPRS = (0.01, 0.1)
SIDES = ("member", "nonmember")


def result_of(report: dict[str, Any]) -> dict[str, Any]:
    """Everything the README speaks of; without hashes, curves and what a card says."""
    kept = {name: report[name] for name in KEPT}
    kept["attacks"] = [
        {name: attack[name] for name in ("name", "title", "auc", "auc_low", "auc_high", "tpr_at_fpr")}
        for attack in report["attacks"]
    ]
    return kept


def markdown(result: dict[str, Any]) -> str:
    """Every attack: the mean over the targets, or the one target that it was made on."""
    over_targets = {attack["name"]: attack for attack in result["targets"]["attacks"]}
    rows = [["Attack", "AUC", *(f"TPR at {100 * fpr:g} % FPR" for fpr in FPRS)], ["---"] * (2 + len(FPRS))]
    for attack in result["attacks"]:
        found = over_targets.get(attack["name"])
        if found is None:
            auc = [attack["auc"], attack["auc_low"], attack["auc_high"]]
            rates = {entry["fpr"]: [entry["tpr"], entry["low"], entry["high"]] for entry in attack["tpr_at_fpr"]}
            title = f"{attack['title']}, one target"
        else:
            auc = [found["auc"][key] for key in ("mean", "low", "high")]
            rates = {entry["fpr"]: [entry[key] for key in ("mean", "low", "high")] for entry in found["tpr_at_fpr"]}
            title = attack["title"]
        rows.append([title, figures(auc, "{:.3f}"), *(percent(rates.get(fpr)) for fpr in FPRS)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def summary(result: dict[str, Any]) -> str:
    """The row of a recipe in the table of all of them."""
    targets, greedy = result["targets"], result["extraction"]["greedy"]
    perplexity = [[targets[f"{side}_perplexity"][key] for key in ("mean", "low", "high")] for side in SIDES]
    blind = result["blind_baseline"]
    extracted = [[greedy[side][key] for key in ("rate", "low", "high")] for side in ("members", "heldout")]
    sampled = next(
        entry for entry in result["extraction"]["sampling"]["curve"] if (entry["n"], entry["p"]) == (1_000_000, 0.5)
    )
    million = [[sampled[side][key] for key in ("rate", "low", "high")] for side in ("members", "heldout")]
    cells = [
        *(figures(side, "{:.3g}") for side in perplexity),
        figures([blind["auc"], blind["auc_low"], blind["auc_high"]], "{:.3f}"),
        *map(percent, (*extracted, *million)),
    ]
    return f"| {' | '.join(cells)} |"


def figures(values: list[float], form: str) -> str:
    """A figure with its interval."""
    mean, low, high = (form.format(value) for value in values)
    return f"{mean} [{low}, {high}]"


def percent(values: list[float] | None) -> str:
    """A share with its interval; a dash where the rows cannot resolve it."""
    if values is None or values[0] is None:
        return "–"
    return figures([100 * value for value in values], "{:.1f}").replace(" [", " % [")


def main() -> None:
    """Write the result and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of an audited run")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    result = result_of(json.loads((options.folder / "privacy_report.json").read_text(encoding="utf-8")))
    here = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=here)
    result["commit"] = commit.stdout.strip()
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(markdown(result), summary(result), sep="\n\n")


if __name__ == "__main__":
    main()
