"""The plot of accuracy, robust accuracy and leakage against memorization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from hf_privacy.reports.explain import percent
from hf_privacy.reports.sections.attack_plots import COLOURS, LINES, our_style
from hf_privacy.reports.sections.memorization import SETS, MemorizationTable

_GUESSING = "#8A8A8A"
_MOST_ATTACKS = 5
_SPREAD = 0.09


@our_style()
def memorization_figure(table: MemorizationTable) -> Figure:
    """Draw, for each memorization group, accuracy under each adversarial attack and each membership attack's TPR.

    Filled points are training examples (members), hollow ones held-out examples. Bars are the confidence intervals,
    moved apart sideways a little. A panel is left out where the report has no figures for it.

    Parameters
    ----------
    table : MemorizationTable
        With at least one group.

    Returns
    -------
    Figure
    """
    panels = [
        panel for panel, has in ((_accuracy_panel, _has_accuracies(table)), (_rate_panel, _has_rates(table))) if has
    ]
    figure = Figure(figsize=(5.9 * max(1, len(panels)), 4.9), layout="constrained", facecolor="white")
    grid = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
    for axes, panel in zip(grid, panels, strict=False):
        panel(axes, table)
        axes.set_xticks(range(len(table.groups)), [_tick(row) for row in table.groups], fontsize=8)
        axes.set_xlim(-0.5, len(table.groups) - 0.5)
        axes.set_xlabel("memorization; number of members, non-members" if _has_counts(table) else "memorization")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(max(share, 0.0))))
        axes.grid(which="major", axis="y", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        handles, labels = axes.get_legend_handles_labels()
        last = [number for number, label in enumerate(labels) if label == "guessing"]
        order = [*(number for number in range(len(labels)) if number not in last), *last]
        # Below the axes, where no point can lie under it.
        axes.legend(
            [handles[number] for number in order],
            [labels[number] for number in order],
            loc="upper center",
            bbox_to_anchor=(0.5, -0.22),
            ncols=2,
            fontsize=8.5,
            frameon=False,
        )
    return figure


def is_drawn(table: MemorizationTable | None) -> bool:
    """Whether a table holds anything to draw: figures of at least one group."""
    return table is not None and (_has_accuracies(table) or _has_rates(table))


def _has_accuracies(table: MemorizationTable) -> bool:
    return any(row.accuracies for row in table.groups)


def _has_rates(table: MemorizationTable) -> bool:
    return any(row.rates for row in table.groups)


def _has_counts(table: MemorizationTable) -> bool:
    return any(row.n_members is not None for row in table.groups)


def _tick(row: Any) -> str:
    counts = "" if row.n_members is None else f"\n{row.n_members:,}, {row.n_nonmembers:,}"
    return f"{row.label}{counts}"


def _accuracy_panel(axes: Axes, table: MemorizationTable) -> None:
    series = [
        (name, title, which)
        for name, title in table.accuracies
        for which in SETS
        if any((name, which) in row.accuracies for row in table.groups)
    ]
    names = [name for name, _ in table.accuracies]
    for place, (name, title, which) in enumerate(series):
        points = [
            (number, *(row.accuracies[name, which][key] for key in ("value", "low", "high")))
            for number, row in enumerate(table.groups)
            if (name, which) in row.accuracies
        ]
        whose = "members" if which == "members" else "non-members"
        _series(
            axes, points, place, len(series), colour=COLOURS[names.index(name) % len(COLOURS)],
            label=f"{title}, {whose}", line="-" if which == "members" else "--", filled=which == "members",
        )  # fmt: skip
    axes.set_ylim(-0.03, 1.03)
    axes.set_title("Accuracy", loc="left", fontsize=11)


def _rate_panel(axes: Axes, table: MemorizationTable) -> None:
    drawn = [(name, title) for name, title in table.attacks if any(name in row.rates for row in table.groups)]
    drawn = drawn[:_MOST_ATTACKS]
    for place, (name, title) in enumerate(drawn):
        points = [(number, *row.rates[name]) for number, row in enumerate(table.groups) if name in row.rates]
        _series(
            axes, points, place, len(drawn), colour=COLOURS[place % len(COLOURS)], label=title,
            line=LINES[place % len(LINES)], filled=True,
        )  # fmt: skip
    axes.axhline(table.fpr, color=_GUESSING, linewidth=1, linestyle=":", label="guessing", zorder=1)
    highest = max(row.rates[name][2] for name, _ in drawn for row in table.groups if name in row.rates)
    axes.set_ylim(-0.03 * highest, 1.06 * highest)
    axes.set_title(f"Members recognised: TPR at {percent(table.fpr)} FPR", loc="left", fontsize=11)


def _series(
    axes: Axes, points: Sequence[tuple[float, ...]], place: int, count: int, *, colour: str, label: str, line: Any,
    filled: bool,
) -> None:  # fmt: skip
    at, value, low, high = np.asarray(points, dtype=float).T
    axes.errorbar(
        at + _SPREAD * (place - (count - 1) / 2), value, yerr=[value - low, high - value], color=colour,
        linestyle=line, linewidth=1.2, elinewidth=0.9, capsize=2, marker="o", markersize=5, label=label,
        markerfacecolor=colour if filled else "white", markeredgecolor=colour,
    )  # fmt: skip
