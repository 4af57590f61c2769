"""The tables and the plot of what a language model memorizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hf_privacy.atomic_file import write_atomically
from hf_privacy.attack_table import ATTACKS
from hf_privacy.reports.link_plots import binned_link_figure, write_figure
from hf_privacy.statistics.t_interval import t_interval


def write_language_page(result: dict[str, Any], folder: Path) -> str:
    """Write tables.md and link.png into the folder, and give the text."""
    runs = result["runs"]
    text = "\n\n".join([memorized(runs), known(runs), by_quarter(runs), f"{result['seconds']:.0f} s"])
    write_atomically(folder / "tables.md", (text + "\n").encode())
    figure = binned_link_figure(runs[0]["bins"], x_label="log curvature of the model, members of the first seed")
    write_figure(folder / "link.png", figure)
    return text


def memorized(runs: list[dict[str, Any]]) -> str:
    """How much there is, seed by seed."""
    rows = [
        ["Seed", "Perplexity, members / others", "Mean memorization", "5 %, median, 95 %", "Standard error of a row",
         "Reliability", "Authors above 0", "Authors, least and most"],
    ]  # fmt: skip
    for run in runs:
        found = run["memorization"]
        rows.append([
            str(run["seed"]),
            " / ".join(f"{value:.1f}" for value in run["perplexity"]),
            f"{found['mean']:.3f}",
            ", ".join(f"{value:.3f}" for value in found["quantiles"]),
            f"{found['mean_standard_error']:.3f}",
            f"{found['reliability']:.2f}",
            f"{found['groups_above']} of {run['n_groups']}",
            " to ".join(f"{value:.3f}" for value in found["group_range"]),
        ])  # fmt: skip
    return table(rows)


def known(runs: list[dict[str, Any]]) -> str:
    """Spearman's correlation of everything with memorization, seed by seed with intervals by author, and the mean."""
    rows = [["What knows memorization (Spearman)", *(f"seed {run['seed']}" for run in runs), "mean over seeds"]]
    parts = [("rows", ""), ("shuffled", "control, memorization shuffled: ")]
    for part, before in parts:
        for name in runs[0][part]:
            found = [run[part][name] for run in runs]
            cells = [interval(one["spearman"], one["spearman_low"], one["spearman_high"]) for one in found]
            rows.append([before + name, *cells, over_seeds([one["spearman"] for one in found], (-1, 1))])
    return table(rows)


def by_quarter(runs: list[dict[str, Any]]) -> str:
    """The attacks' AUC by memorization, as means over the seeds."""
    names = list(dict.fromkeys(entry["attack"] for entry in runs[0]["quarters"]))
    rows = [["AUC within a quarter of the rows by memorization", "least", "second", "third", "most"]]
    for name in names:
        cells = []
        for number in range(4):
            values = [
                entry["auc"]
                for run in runs
                for entry in run["quarters"]
                if entry["attack"] == name and entry["quarter"] == number
            ]
            cells.append(over_seeds(values, (0, 1)) if values else "–")
        rows.append([ATTACKS[name].title, *cells])
    return table(rows)


def over_seeds(values: list[float], within: tuple[float, float]) -> str:
    """Mean and Student's t interval."""
    low, high = t_interval(values, within=within)
    return f"{np.mean(values):.2f}" if low is None else interval(float(np.mean(values)), low, high)


def interval(value: float, low: float, high: float) -> str:
    """A figure with its interval."""
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def table(rows: list[list[str]]) -> str:
    """Rows as a Markdown table."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *body])
