"""The plot of accuracy, robust accuracy and leakage against memorization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import hf_privacy.reports.style as style
from hf_privacy.hub.headline import percent
from hf_privacy.reports.palette import attack_looks, input_looks
from hf_privacy.reports.report import Report
from hf_privacy.reports.sections.memorization import SETS, MemorizationTable, memorization_table

MEMORIZATION_FILE = "privacy_memorization.png"
_MOST_ATTACKS = 5
_SPREAD = 0.09


def plots(report: Report) -> dict[str, bytes]:
    table = memorization_table(report)
    return {MEMORIZATION_FILE: style.png_bytes(memorization_figure(table))} if table and is_drawn(table) else {}


def shown(report: Report) -> dict[str, Any]:
    return {"memorization_drawn": is_drawn(memorization_table(report))}


@style.our_style()
def memorization_figure(table: MemorizationTable) -> Figure:
    """Draw, for each memorization group, accuracy under each adversarial attack and each membership attack's TPR.

    Filled points are training examples (members), hollow ones held-out examples. Bars are the confidence intervals,
    moved apart sideways a little. A panel is left out where the report has no figures for it.
    """
    drawn = [
        panel for panel, has in ((_accuracy_panel, _has_accuracies(table)), (_rate_panel, _has_rates(table))) if has
    ]
    figure = style.blank(5.9 * max(1, len(drawn)), 4.9)
    for axes, panel in zip(style.panels(figure, max(1, len(drawn))), drawn, strict=False):
        panel(axes, table)
        axes.set_xticks(range(len(table.groups)), [_tick(row) for row in table.groups], fontsize=8)
        axes.set_xlim(-0.5, len(table.groups) - 0.5)
        axes.set_xlabel("memorization; number of members, non-members" if _has_counts(table) else "memorization")
        style.in_percent(axes.yaxis)
        style.frame(axes, grid="y")
        # Below the axes, where no point can lie under it.
        axes.legend(
            **style.ordered_legend(axes, last=lambda label: label == "guessing"), loc="upper center",
            bbox_to_anchor=(0.5, -0.22), ncols=2, fontsize=style.SMALL, frameon=False,
        )  # fmt: skip
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
    looks = input_looks(name for name, _, _ in series)
    for place, (name, title, which) in enumerate(series):
        points = [
            (number, *(row.accuracies[name, which][key] for key in ("value", "low", "high")))
            for number, row in enumerate(table.groups)
            if (name, which) in row.accuracies
        ]
        _series(
            axes, points, place, len(series), filled=which == "members", label=f"{title}, {SETS[which]}",
            linestyle="-" if which == "members" else "--", **looks[name],
        )  # fmt: skip
    axes.set_ylim(-0.03, 1.03)
    axes.set_title("Accuracy", loc="left", fontsize=style.HEADING)


def _rate_panel(axes: Axes, table: MemorizationTable) -> None:
    drawn = [(name, title) for name, title in table.attacks if any(name in row.rates for row in table.groups)]
    drawn = drawn[:_MOST_ATTACKS]
    looks = attack_looks(name for name, _ in drawn)
    for place, (name, title) in enumerate(drawn):
        points = [(number, *row.rates[name]) for number, row in enumerate(table.groups) if name in row.rates]
        _series(axes, points, place, len(drawn), filled=True, label=title, **looks[name])
    style.guess_line(axes, table.fpr, label="guessing", zorder=1)
    highest = max(row.rates[name][2] for name, _ in drawn for row in table.groups if name in row.rates)
    axes.set_ylim(-0.03 * highest, 1.06 * highest)
    axes.set_title(f"Members recognised: TPR at {percent(table.fpr)} FPR", loc="left", fontsize=style.HEADING)


def _series(
    axes: Axes, points: Sequence[tuple[float, ...]], place: int, count: int, *, filled: bool, color: str, **drawn: Any
) -> None:
    at, value, low, high = np.asarray(points, dtype=float).T
    axes.errorbar(
        at + _SPREAD * (place - (count - 1) / 2), value, yerr=style.reach(value, low, high), color=color,
        linewidth=1.2, elinewidth=0.9, capsize=2, markersize=5.5,
        markerfacecolor=color if filled else "white", markeredgecolor=color, **drawn,
    )  # fmt: skip
