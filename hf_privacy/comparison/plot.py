"""The one plot of a comparison: what each defence leaks against what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import hf_privacy.reports.style as style
from hf_privacy.comparison.cells import attack_title, how_many, robust_columns, robust_figure, row_title
from hf_privacy.comparison.labels import place_labels
from hf_privacy.comparison.robust import CLEAN
from hf_privacy.comparison.worth import ACCURACY, Worth, worth_of
from hf_privacy.hub.evidence import as_read
from hf_privacy.reports.palette import BLACK, COLOURS, GUESSING, INK
from hf_privacy.reports.titles import epsilon_text, norm_title
from hf_privacy.reports.words import percent

_PLAIN, _REWOUND = "o", "D"
_MORE = ("o", "s", "^", "v", "P", "X")  # of defences that stand alone, where the colours begin anew
_OTHERS = [colour for colour in COLOURS if colour != BLACK]
_CROWD = 8  # rows; with more the points are numbered, and the names stand below
_KEY_COLUMNS, _LINE_INCHES = 4, 0.17


def robust_attack(table: dict[str, Any]) -> str | None:
    """Name the adversarial attack that most rows have a mean under; PGD before AutoAttack where as many have."""
    names = [name for name, _ in robust_columns(table)]
    if not names:
        return None
    found = {name: [robust_figure(row, name) for row in table["rows"]] for name in names}
    # One model's own accuracy, which says what it is over, is no mean.
    return max(names, key=lambda name: sum(figure is not None and "over" not in figure for figure in found[name]))


@style.our_style()
def comparison_figure(table: dict[str, Any], *, across: str = CLEAN) -> Figure:
    """Draw AUC, and TPR where it is resolved, of the first attack against the accuracy on non-members.

    Every row of the table is a point with its intervals, named beside it, or numbered where there are many. What is
    built on another defence, such as weight rewinding, has its host's colour, and an arrow leads there from the host.
    Lower and further right is better; of language models lower and further left, since there it is perplexity, by its
    logarithm. Attacks on a defended model that were read from both sides are drawn so.

    Parameters
    ----------
    table : dict
        Of `comparison_table`.
    across : str
        Worth on clean inputs, or the name of an adversarial attack ("pgd", "autoattack"): accuracy under it. Rows
        without it are left out.

    Returns
    -------
    Figure
    """
    attack = table["attacks"][0]
    name = attack_title(attack, table["rows"])
    worth = worth_of(table) if across == CLEAN else ACCURACY
    rows = [
        {**row, "worth": figure, "leakage": as_read(row["attacks"][attack])}
        for row in table["rows"]
        if attack in row["attacks"] and (figure := _across(row, across, worth)) is not None
    ]
    with_rates = any(row["leakage"]["tpr"] for row in rows)
    measures = [("auc", f"{name} AUC", 0.5)]
    if with_rates:
        measures.append(("tpr", f"{name} TPR at {percent(table['fpr'])} FPR", table["fpr"]))
    key, names = _key(rows), [row_title(row) for row in rows]
    columns, lines = len(key), 1
    if len(rows) > _CROWD:
        names = [str(number) for number in range(1, len(rows) + 1)]
        key, columns = _by_columns([*_numbered(rows), *key], _KEY_COLUMNS), _KEY_COLUMNS
        lines = len(key) // columns
    figure = style.blank(6.4 * len(measures), 5.4 + _LINE_INCHES * (lines - 1))
    grid = style.panels(figure, len(measures))
    heading = "Privacy against utility" if across == CLEAN else "Privacy against robustness"
    figure.suptitle(table["name"] or heading, x=0.01, ha="left", fontsize=12)
    means = f"Mean over {how_many(table)} with {percent(table['confidence'])} intervals"
    style.legend_below(
        figure,
        ncols=columns,
        handles=key,
        title=f"{means}; lower and further {worth.better} is better",
        title_fontsize=style.SMALL,
        alignment="left",
        handletextpad=0.3,
    )
    for axes, (measure, label, guess) in zip(grid, measures, strict=True):
        _panel(axes, rows, worth, measure=measure, label=label, guess=guess)
        axes.set_xlabel(_axis_label(table, across, worth))
    # Labels come last: where they go depends on where everything else is.
    figure.draw_without_rendering()
    for axes, (measure, _, _) in zip(grid, measures, strict=True):
        points = [
            (row, row["leakage"][measure], name)
            for row, name in zip(rows, names, strict=True)
            if row["leakage"][measure]
        ]
        place_labels(
            axes,
            [(row["worth"]["mean"], figures["mean"]) for row, figures, _ in points],
            [label for _, _, label in points],
            colours=[_colour(row, rows) for row, _, _ in points],
            lines=_lines(rows, measure),
        )
    return figure


def _across(row: dict[str, Any], across: str, worth: Worth) -> dict[str, Any] | None:
    return row[worth.name] if across == CLEAN else robust_figure(row, across)


def _axis_label(table: dict[str, Any], across: str, worth: Worth) -> str:
    if across == CLEAN:
        return worth.axis
    made = next(row["robustness"] for row in table["rows"] if robust_figure(row, across))
    title = made["accuracies"][across]["title"]
    return f"robust accuracy on non-members ({title}, {norm_title(made['norm'])}, ε = {epsilon_text(made)})"


def _panel(
    axes: Axes, rows: Sequence[dict[str, Any]], worth: Worth, *, measure: str, label: str, guess: float
) -> None:
    points = {
        (row["name"], row["outputs"]): (row["worth"], row["leakage"][measure])
        for row in rows
        if row["leakage"][measure]
    }
    if not worth.is_rate:
        axes.set_xscale("log")
    for row in rows:
        if (row["name"], row["outputs"]) not in points:
            continue
        across, leakage = points[row["name"], row["outputs"]]
        colour = _colour(row, rows)
        axes.errorbar(
            [across["mean"]], [leakage["mean"]], xerr=_arms(across, worth.within), yerr=_arms(leakage), color=colour,
            marker=_marker(row, rows), markersize=6.5,
            markerfacecolor="white" if row["outputs"] == "defended" else colour, markeredgecolor=colour,
            elinewidth=0.9, capsize=2, ecolor=(colour, 0.55), zorder=3,
        )  # fmt: skip
        host = points.get((row["host"], row["outputs"]))
        if host is not None:
            axes.annotate(
                "", (across["mean"], leakage["mean"]), (host[0]["mean"], host[1]["mean"]), zorder=2,
                arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.1, "shrinkA": 5, "shrinkB": 5},
            )  # fmt: skip
    style.guess_line(axes, guess, zorder=1)
    _limit(axes, list(points.values()), guess, worth)
    if worth.is_rate:
        style.in_percent(axes.xaxis)
    else:
        style.in_numbers(axes.xaxis)
    if measure == "tpr":
        style.in_percent(axes.yaxis)
    style.frame(axes, label)


def _lines(rows: Sequence[dict[str, Any]], measure: str) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The error bars and arrows of a panel."""
    middles = {}
    lines = []
    for row in rows:
        x, y = row["worth"], row["leakage"][measure]
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


def _limit(axes: Axes, points: Sequence[tuple[dict[str, Any], dict[str, Any]]], guess: float, worth: Worth) -> None:
    """Around the means and guessing, with their intervals as far as a figure can go; room for the labels."""
    least, most = worth.within
    ends = [(max(across["low"], least), min(across["high"], most)) for across, _ in points]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if worth.is_rate:
        room = 0.08 * (high - low) or 0.01
        axes.set_xlim(low - room, high + room)
    else:
        room = (high / low) ** 0.08 if high > low else 1.01
        axes.set_xlim(low / room, high * room)
    low = min([max(leakage["low"], 0.0) for _, leakage in points] + [guess])
    high = max([min(leakage["high"], 1.0) for _, leakage in points] + [guess])
    room = 0.08 * (high - low) or 0.01
    axes.set_ylim(low - room, high + room)


def _arms(figure: dict[str, Any], within: tuple[float, float] = (0.0, 1.0)) -> list[Any]:
    return style.reach([figure["mean"]], figure["low"], figure["high"], within=within)


def _colour(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """One for each defence that stands alone, shared by what is built on it."""
    place = _family(row, rows)
    return BLACK if place == 0 else _OTHERS[(place - 1) % len(_OTHERS)]


def _marker(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    place = _family(row, rows)
    again = 0 if place == 0 else (place - 1) // len(_OTHERS)
    return _REWOUND if _is_built_on(row) else _MORE[again % len(_MORE)]


def _family(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> int:
    families = list(dict.fromkeys(other["host"] or other["name"] for other in rows))
    undefended = [other["name"] for other in rows if other["defense"] == "none"]
    # First, and black, the baseline, which the others are seen against.
    families.sort(key=lambda name: name not in undefended[:1])
    return families.index(row["host"] or row["name"])


def _is_built_on(row: dict[str, Any]) -> bool:
    return row["critical_weight_rewind"] is not None or row["host"] is not None


def _numbered(rows: Sequence[dict[str, Any]]) -> list[Line2D]:
    """The names that the numbers beside the points stand for, each with its point."""
    return [
        Line2D(
            [], [], linestyle="", markersize=6.5, marker=_marker(row, rows),
            color=_colour(row, rows), label=f"{number}  {row_title(row)}",
            markerfacecolor="white" if row["outputs"] == "defended" else _colour(row, rows),
        )
        for number, row in enumerate(rows, start=1)
    ]  # fmt: skip


def _by_columns(handles: list[Line2D], columns: int) -> list[Line2D]:
    """In the order in which a legend, which fills its columns first, shows them row by row."""
    height = -(-len(handles) // columns)
    blank = Line2D([], [], linestyle="", label=" ")
    filled = [*handles, *[blank] * (height * columns - len(handles))]
    return [filled[row * columns + column] for column in range(columns) for row in range(height)]


def _key(rows: Sequence[dict[str, Any]]) -> list[Line2D]:
    drawn: dict[str, Any] = {"linestyle": "", "color": INK, "markersize": 6.5}
    key = [Line2D([], [], marker=_PLAIN, label="defence", **drawn)]
    built = [row for row in rows if _is_built_on(row)]
    if built:
        rewound = all(row["critical_weight_rewind"] is not None for row in built)
        what = "with critical-weight rewinding" if rewound else "built on another"
        key.append(Line2D([], [], marker=_REWOUND, label=f"{what} (arrow: from its host)", **drawn))
    if any(row["outputs"] == "defended" for row in rows):
        key.append(Line2D([], [], marker=_PLAIN, markerfacecolor="white", label="defended outputs", **drawn))
    key.append(Line2D([], [], color=GUESSING, linewidth=1, linestyle=":", label="guessing"))
    return key
