"""The plot of attacks against the number of reference models: which wins at which budget."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from hf_privacy.reports.explain import percent
from hf_privacy.reports.sections.attack_plots import COLOURS, LINES, our_style

_FPR = 0.01
_SHOWN = 8


@our_style()
def budgets_figure(budgets: dict[str, Any]) -> Figure:
    """Draw AUC, and TPR at 1 % FPR where it is resolved, against the number of reference models.

    The eight attacks with the largest mean AUC at any budget are drawn, and as a dotted line the best of those that
    need no reference model. Bars are the intervals over the attacked models, moved apart sideways a little.

    Parameters
    ----------
    budgets : dict
        The report's ``budgets``.

    Returns
    -------
    Figure
    """
    lines: dict[str, list[dict[str, Any]]] = {}
    for entry in budgets["attacks"]:
        lines.setdefault(entry["name"], []).append(entry)
    free = [entries[0] for entries in lines.values() if entries[0]["n_references"] == 0]
    curves = [entries for entries in lines.values() if entries[0]["n_references"] > 0]
    strongest = sorted(curves, key=lambda entries: -max(entry["auc"]["mean"] for entry in entries))[:_SHOWN]
    drawn = [entries for entries in curves if entries in strongest]
    with_rates = any(_rate(entry) for entries in drawn for entry in entries)
    figure = Figure(figsize=(10.5 if with_rates else 6.0, 5.2), layout="constrained", facecolor="white")
    axes = figure.subplots(1, 2 if with_rates else 1, squeeze=False)[0]
    _panel(axes[0], drawn, free, measure=lambda entry: entry["auc"], label="AUC", guess=0.5)
    if with_rates:
        _panel(axes[1], drawn, free, measure=_rate, label=f"TPR at {percent(_FPR)} FPR", guess=_FPR)
        axes[1].yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(max(share, 0.0))))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2, fontsize=8.5, frameon=False)
    return figure


def _rate(entry: dict[str, Any]) -> dict[str, float] | None:
    return next((rate for rate in entry["tpr_at_fpr"] if abs(rate["fpr"] - _FPR) < 1e-12), None)


def _panel(
    axes: Axes, drawn: list[list[dict[str, Any]]], free: list[dict[str, Any]], *, measure, label: str, guess: float
) -> None:
    """One quantity, ``measure(entry)``, with its intervals."""
    counts = sorted({entry["n_references"] for entries in drawn for entry in entries})
    axes.axhline(guess, color="#8A8A8A", linewidth=1, linestyle=":")
    known = [entry for entry in free if measure(entry) is not None]
    if known:
        best = max(known, key=lambda entry: measure(entry)["mean"])
        axes.axhline(measure(best)["mean"], color="#333333", linewidth=1.4, linestyle=":")
        axes.annotate(
            best["title"], (1, measure(best)["mean"]), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=8, color="#333333",
        )  # fmt: skip
    for place, entries in enumerate(drawn):
        points = [(entry["n_references"], measure(entry)) for entry in entries if measure(entry) is not None]
        if not points:
            continue
        shift = 1 + 0.025 * (place - (len(drawn) - 1) / 2)
        at = np.array([count for count, _ in points]) * shift
        mean = np.array([value["mean"] for _, value in points])
        reach = [mean - [value["low"] for _, value in points], [value["high"] for _, value in points] - mean]
        axes.errorbar(
            at, mean, yerr=reach, label=entries[-1]["title"], color=COLOURS[place % len(COLOURS)],
            linestyle=LINES[place % len(LINES)], linewidth=1.6, elinewidth=0.9, capsize=2, marker="o", markersize=3.5,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:g}"))
    axes.minorticks_off()
    axes.set_xlabel("reference models")
    axes.set_title(label, loc="left", fontsize=11)
    axes.grid(which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
