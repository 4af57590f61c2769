"""The plot of tofu.yaml's result: how well forgotten rows are told from unseen ones, against what is retained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from tofu_table import JUDGE

import hf_privacy.reports.style as style
from hf_privacy.comparison.labels import place_labels
from hf_privacy.reports.palette import BLACK, COLOURS, GUESSING

_ACROSS, _UP = "retain_probability", "auc"
_OTHERS = [colour for colour in COLOURS if colour != BLACK]
_MARKERS = ("o", "s", "^")
_COLUMNS = 5


@style.our_style()
def tofu_figure(result: dict[str, Any]) -> Figure:
    """Draw a panel for each request: every method's AUC of the forget set by its loss over the retained probability.

    The cross of lines is retraining, which is to be reached; bars are Student's t intervals over the seeds.
    """
    titles = {JUDGE: "retrained", "original": "nothing forgotten"}
    titles |= {name: method["title"] for name, method in result["config"]["methods"].items()}
    figure = style.blank(5.2 * len(result["requests"]), 5.8)
    figure.suptitle("Unlearning on TOFU: membership of the forget set against what is retained", x=0.01, ha="left")
    panels = style.panels(figure, len(result["requests"]))
    numbers = {name: str(number) for number, name in enumerate(titles, start=1)}
    handles = [
        Line2D([], [], linestyle="", markersize=6.5, label=f"{numbers[name]}  {title}", **_look(name, list(titles)))
        for name, title in titles.items()
    ]
    handles.append(Line2D([], [], color=GUESSING, linewidth=1, linestyle=":", label="as retraining has it"))
    style.legend_below(
        figure, handles=handles, ncols=_COLUMNS, handletextpad=0.3, alignment="left", title_fontsize=style.SMALL,
        title="Mean over 3 seeds with 95 % intervals; the nearer to retraining, the better",
    )  # fmt: skip
    drawn = []
    for axes, (request, table) in zip(panels, result["requests"].items(), strict=True):
        rows = {name: table["rows"][name] for name in titles if _UP in table["rows"].get(name, {})}
        _panel(axes, rows, list(titles))
        style.frame(axes, f"{request}: {table['n_forget']} rows")
        drawn.append((axes, rows))
    panels[0].set_ylabel("AUC of the forget set, by its loss")
    figure.draw_without_rendering()
    for axes, rows in drawn:
        points = [(row[_ACROSS]["mean"], row[_UP]["mean"]) for row in rows.values()]
        colours = [_look(name, list(titles))["color"] for name in rows]
        place_labels(axes, points, [numbers[name] for name in rows], colours=colours, lines=_lines(axes, rows))
    return figure


def _panel(axes: Axes, rows: dict[str, Any], names: Sequence[str]) -> None:
    retrained = rows[JUDGE]
    axes.axvline(retrained[_ACROSS]["mean"], color=GUESSING, linewidth=1, linestyle=":", zorder=1)
    style.guess_line(axes, retrained[_UP]["mean"], zorder=1)
    for name, row in rows.items():
        across, up = row[_ACROSS], row[_UP]
        look = _look(name, names)
        axes.errorbar(
            [across["mean"]], [up["mean"]], xerr=style.reach([across["mean"]], across["low"], across["high"]),
            yerr=style.reach([up["mean"]], up["low"], up["high"]), markersize=6.5, elinewidth=0.9, capsize=2,
            ecolor=(look["color"], 0.55), zorder=3, **look,
        )  # fmt: skip
    axes.set_ylim(-0.04, 1.04)
    axes.set_xlabel("probability of the retained answers")


def _look(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Black for what is beside the methods; each method its colour and, where the colours begin anew, its marker."""
    place = list(names).index(name)
    if place < 2:
        return {"color": BLACK, "marker": "*" if name == JUDGE else "X"}
    return {"color": _OTHERS[(place - 2) % len(_OTHERS)], "marker": _MARKERS[(place - 2) // len(_OTHERS)]}


def _lines(axes: Axes, rows: dict[str, Any]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """What a number is not to stand on: the error bars, and the cross."""
    retrained = rows[JUDGE]
    lines = [((axes.get_xlim()[0], retrained[_UP]["mean"]), (axes.get_xlim()[1], retrained[_UP]["mean"]))]
    lines.append(((retrained[_ACROSS]["mean"], 0.0), (retrained[_ACROSS]["mean"], 1.0)))
    for row in rows.values():
        across, up = row[_ACROSS], row[_UP]
        lines.append(((across["low"], up["mean"]), (across["high"], up["mean"])))
        lines.append(((across["mean"], up["low"]), (across["mean"], up["high"])))
    return lines
