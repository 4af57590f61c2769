"""The one plot of a comparison: what each defence leaks against what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from hf_privacy.comparison.labels import place_labels
from hf_privacy.comparison.markdown import attack_title, row_title
from hf_privacy.reports.explain import percent
from hf_privacy.reports.plots import COLOURS, our_style

_GUESSING = "#8A8A8A"
_PLAIN, _REWOUND = "o", "D"


@our_style()
def comparison_figure(table: dict[str, Any]) -> Figure:
    """Draw AUC, and TPR where it is resolved, of the first attack against the accuracy on non-members.

    Every row of the table is a point with its intervals over the seeds, named beside it. A defence with weight
    rewinding has its host's colour, and an arrow leads there from the host. Lower and further right is better.

    Parameters
    ----------
    table : dict
        Of `comparison_table`.

    Returns
    -------
    Figure
    """
    attack = table["attacks"][0]
    name = attack_title(attack, table["rows"])
    rows = [row for row in table["rows"] if attack in row["attacks"]]
    with_rates = any(row["attacks"][attack]["tpr"] for row in rows)
    panels = [("auc", f"{name} AUC", 0.5)]
    if with_rates:
        panels.append(("tpr", f"{name} TPR at {percent(table['fpr'])} FPR", table["fpr"]))
    figure = Figure(figsize=(6.4 * len(panels), 5.4), layout="constrained", facecolor="white")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    figure.suptitle(table["name"] or "Privacy against utility", x=0.01, ha="left", fontsize=12)
    figure.legend(
        handles=_key(rows), loc="outside lower left", ncols=3, fontsize=8.5, frameon=False, handletextpad=0.3,
        title=f"Mean over {len(table['seeds'])} seeds with {percent(table['confidence'])} intervals; lower and "
        "further right is better", title_fontsize=8.5, alignment="left",
    )  # fmt: skip
    for axes, (measure, label, guess) in zip(grid, panels, strict=True):
        _panel(axes, rows, attack, measure=measure, label=label, guess=guess)
    # Labels come last: where they go depends on where everything else is.
    figure.draw_without_rendering()
    for axes, (measure, _, _) in zip(grid, panels, strict=True):
        points = [(row, row["attacks"][attack][measure]) for row in rows if row["attacks"][attack][measure]]
        place_labels(
            axes,
            [(row["accuracy"]["mean"], figures["mean"]) for row, figures in points],
            [row_title(row) for row, _ in points],
            colours=[_colour(row, rows) for row, _ in points],
            lines=_lines(rows, attack, measure),
        )
    return figure


def _panel(axes: Axes, rows: Sequence[dict[str, Any]], attack: str, *, measure: str, label: str, guess: float) -> None:
    points = {
        (row["name"], row["outputs"]): (row["accuracy"], row["attacks"][attack][measure])
        for row in rows
        if row["attacks"][attack][measure]
    }
    for row in rows:
        if (row["name"], row["outputs"]) not in points:
            continue
        accuracy, leakage = points[row["name"], row["outputs"]]
        colour = _colour(row, rows)
        axes.errorbar(
            accuracy["mean"], leakage["mean"], xerr=_reach(accuracy), yerr=_reach(leakage), color=colour,
            marker=_REWOUND if row["critical_weight_rewind"] is not None else _PLAIN, markersize=6.5,
            markerfacecolor="white" if row["outputs"] == "defended" else colour, markeredgecolor=colour,
            elinewidth=0.9, capsize=2, ecolor=(colour, 0.55), zorder=3,
        )  # fmt: skip
        host = points.get((row["host"], row["outputs"]))
        if host is not None:
            axes.annotate(
                "", (accuracy["mean"], leakage["mean"]), (host[0]["mean"], host[1]["mean"]), zorder=2,
                arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.1, "shrinkA": 5, "shrinkB": 5},
            )  # fmt: skip
    axes.axhline(guess, color=_GUESSING, linewidth=1, linestyle=":", zorder=1)
    axes.annotate(
        "guessing", (1, guess), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
        ha="right", va="bottom", fontsize=8, color=_GUESSING,
    )  # fmt: skip
    _limit(axes, list(points.values()), guess)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(max(share, 0.0))))
    if measure == "tpr":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(max(share, 0.0))))
    axes.set_xlabel("accuracy on non-members")
    axes.set_title(label, loc="left", fontsize=11)
    axes.grid(which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def _lines(
    rows: Sequence[dict[str, Any]], attack: str, measure: str
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The error bars and arrows of a panel."""
    middles = {}
    lines = []
    for row in rows:
        x, y = row["accuracy"], row["attacks"][attack][measure]
        if not y:
            continue
        middles[row["name"], row["outputs"]] = (x["mean"], y["mean"])
        lines.append(((x["low"], y["mean"]), (x["high"], y["mean"])))
        lines.append(((x["mean"], y["low"]), (x["mean"], y["high"])))
    for row in rows:
        ends = middles.get((row["host"], row["outputs"])), middles.get((row["name"], row["outputs"]))
        if None not in ends:
            lines.append(ends)
    return lines


def _limit(axes: Axes, points: Sequence[tuple[dict[str, Any], dict[str, Any]]], guess: float) -> None:
    """Around the means and guessing, with their intervals as far as a rate can go; room for the labels."""
    for setter, figures, floor in (
        (axes.set_xlim, [accuracy for accuracy, _ in points], []),
        (axes.set_ylim, [leakage for _, leakage in points], [guess]),
    ):
        low = min([max(figure["low"], 0.0) for figure in figures] + floor)
        high = max([min(figure["high"], 1.0) for figure in figures] + floor)
        room = 0.08 * (high - low) or 0.01
        setter(low - room, high + room)


def _reach(figure: dict[str, Any]) -> list[list[float]]:
    return [[figure["mean"] - figure["low"]], [figure["high"] - figure["mean"]]]


def _colour(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """One for each defence without weight rewinding, shared by what is built on it."""
    families = list(dict.fromkeys(other["host"] or other["name"] for other in rows))
    undefended = [other["name"] for other in rows if other["defense"] == "none"]
    # Black for the baseline, which the others are seen against.
    families.sort(key=lambda name: name not in undefended[:1])
    palette = ("#000000", *(colour for colour in COLOURS if colour != "#000000"))
    return palette[families.index(row["host"] or row["name"]) % len(palette)]


def _key(rows: Sequence[dict[str, Any]]) -> list[Line2D]:
    style: dict[str, Any] = {"linestyle": "", "color": "#333333", "markersize": 6.5}
    key = [Line2D([], [], marker=_PLAIN, label="defence", **style)]
    if any(row["critical_weight_rewind"] is not None for row in rows):
        key.append(
            Line2D([], [], marker=_REWOUND, label="with critical-weight rewinding (arrow: from its host)", **style)
        )
    if any(row["outputs"] == "defended" for row in rows):
        key.append(Line2D([], [], marker=_PLAIN, markerfacecolor="white", label="defended outputs", **style))
    return key
