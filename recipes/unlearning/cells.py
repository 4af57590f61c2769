"""From evaluations to the rows of the table, and the table as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_privacy.forgetting import FIGURES, forgetting_rate, memory_retention_rate, unlearning_gap
from hf_privacy.statistics import t_interval


def gaps_of(evaluations: Sequence[Any], judges: Sequence[Any]) -> dict[str, Any]:
    """The gap of some models to the retrained ones."""
    return unlearning_gap([one.values() for one in evaluations], [one.values() for one in judges])


def row_of(
    evaluations: Sequence[Any],
    before: Sequence[Any],
    judges: Sequence[Any],
    timing: Sequence[Any],
    retrain_seconds: float,
) -> dict[str, Any]:
    """One method's figures over the seeds, with the gap to retraining, FR and MRR, and the time."""
    gaps = gaps_of(evaluations, judges)
    is_judge = evaluations is judges
    row: dict[str, Any] = {
        "figures": {
            name: {"mean": gaps["figures"][name]["unlearned"], "low": gaps["figures"][name]["unlearned_low"],
                   "high": gaps["figures"][name]["unlearned_high"]}
            for name in FIGURES
        },
        "avg_gap": gaps["null"]["avg_gap"] if is_judge else gaps["avg_gap"],
        "avg_gap_low": gaps["null"]["avg_gap_low"] if is_judge else gaps["avg_gap_low"],
        "avg_gap_high": gaps["null"]["avg_gap_high"] if is_judge else gaps["avg_gap_high"],
        "avg_gap_in_noise": None if is_judge else gaps["avg_gap_in_noise"],
    }  # fmt: skip
    pairs = list(zip(evaluations, before, strict=True))
    row["forgetting_rate"] = spread(
        [forgetting_rate(a.forget["correct"], b.forget["correct"]) for a, b in pairs], within=(-np.inf, 1.0)
    )
    row["memory_retention_rate"] = spread(
        [memory_retention_rate(a.retain["correct"], b.retain["correct"]) for a, b in pairs], within=(0.0, np.inf)
    )
    seconds = [part["total"] if isinstance(part, dict) else part for part in timing]
    row["time_ratio"] = None if not seconds else float(np.mean(seconds) / retrain_seconds)
    row["seconds"] = None if not seconds else float(np.mean(seconds))
    row["shadow_seconds"] = float(
        np.mean([part["shadows"] if isinstance(part, dict) else 0.0 for part in timing] or [0])
    )
    return row


def spread(values: Sequence[float], *, within: tuple[float, float]) -> dict[str, float | None]:
    """Mean, and the ends of Student's t interval as far as the figure can lie there: None for a single value."""
    low, high = t_interval(values, within=within)
    return {"mean": float(np.mean(values)), "low": low, "high": high}


def markdown(config: dict[str, Any], results: dict[str, Any]) -> str:
    """One table a request."""
    lines: list[str] = []
    for request, table in results.items():
        forget, retain, test = table["sizes"]
        lines += ["", f"### {config['requests'][request].get('title', request)}", ""]
        lines += [f"{forget} examples to forget, {retain} to retain, {test} unseen ones to judge by.", ""]
        lines += ["| Method | UA | RA | TA | MIA efficacy | AvgGap | in retrain noise | FR | MRR | time ÷ retrain |"]
        lines += ["|---|---|---|---|---|---|---|---|---|---|"]
        names = [name for name in table if name != "sizes"]
        for name in sorted(names, key=lambda name: (name not in ("original", "retrained"), table[name]["avg_gap"])):
            row = table[name]
            figures = [percent(row["figures"][figure]) for figure in FIGURES]
            noise = "" if row["avg_gap_in_noise"] is None else f"{row['avg_gap_in_noise']:.1f}"
            time = "" if row["time_ratio"] is None else f"{100 * row['time_ratio']:.1f} %"
            gap = {"mean": row["avg_gap"], "low": row["avg_gap_low"], "high": row["avg_gap_high"]}
            cells = [row.get("title", name), *figures, percent(gap), noise]
            cells += [percent(row["forgetting_rate"]), percent(row["memory_retention_rate"]), time]
            lines.append(f"| {' | '.join(cells)} |")
        searched = [table[name] for name in names if "search_seconds" in table[name]]
        total, tried = sum(row["search_seconds"] for row in searched), sum(row["tried"] for row in searched)
        lines += ["", f"The search tried {tried} settings on another request and original, {total:.0f} s in all."]
        # Absent from older results.
        gaps = {row["title"]: row["search_gap"] for row in searched if "search_gap" in row}
        if gaps:
            best = min(gaps, key=gaps.__getitem__)
            lines += ["", f"Nearest to retraining there: {best}, at an AvgGap of {100 * gaps[best]:.1f} points."]
        for row in searched:
            if row["shadow_seconds"]:
                extra = row["shadow_seconds"] / table["retrained"]["seconds"]
                lines += ["", f"{row['title']} also needs its shadow models, once for all requests: "
                          f"{row['shadow_seconds']:.0f} s, {100 * extra:.0f} % of retraining."]  # fmt: skip
        edits = [row for row in searched if "after_edit" in row]
        for row in edits:
            after = row["after_edit"]
            lines += ["", f"{row['title']}, after the edit alone: {100 * (1 - after['forget_accuracy']):.1f} UA, "
                      f"{100 * after['retain_accuracy']:.1f} RA."]  # fmt: skip
    return "\n".join(lines).strip() + "\n"


def percent(figure: dict[str, float | None]) -> str:
    """A mean and both ends of its interval, in points: half of one that ends where the figure does would be no "±"."""
    text = f"{100 * figure['mean']:.1f}"
    if figure["low"] is None:
        return text
    return f"{text} [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"
