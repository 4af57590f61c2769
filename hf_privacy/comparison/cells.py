"""The words and cells of a comparison's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.comparison.robust import CLEAN
from hf_privacy.hub.evidence import LOW_SCORES, as_read
from hf_privacy.reports.titles import short_title
from hf_privacy.reports.words import percent, rate


def row_title(row: dict[str, Any]) -> str:
    """A row's name for readers."""
    return row["title"] + (", defended outputs" if row["outputs"] == "defended" else "")


def attack_title(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """A column's name: short where the attack is well known, else the report's."""
    titles = [row["attacks"][name]["title"] for row in rows if name in row["attacks"]]
    return short_title(name, [{"name": name, "title": title} for title in titles])


def is_over_targets(table: dict[str, Any]) -> bool:
    """Whether means are over the targets of one audit, and not over seeds."""
    return table.get("over") == "targets"


def how_many(table: dict[str, Any]) -> str:
    """What means are over, with its number."""
    return f"{table['n_targets']} targets" if is_over_targets(table) else f"{len(table['seeds'])} seeds"


def robust_columns(table: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and title of each adversarial attack that a row has the accuracy under."""
    found = {
        name: entry["title"]
        for row in table["rows"]
        for name, entry in (row.get("robustness") or {"accuracies": {}})["accuracies"].items()
        if name != CLEAN and entry["nonmembers"] is not None
    }
    return list(found.items())


def robust_figure(row: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A row's accuracy on non-members under an adversarial attack."""
    entry = (row.get("robustness") or {"accuracies": {}})["accuracies"].get(name)
    return None if entry is None else entry["nonmembers"]


def attack_headers(table: dict[str, Any], names: Sequence[str]) -> list[str]:
    """The two columns of each attack."""
    headers = []
    for name in names:
        title = attack_title(name, table["rows"])
        headers += [f"{title} AUC", f"{title} TPR@{percent(table['fpr']).replace(' ', '')}"]
    return headers


def attack_cells(attacks: dict[str, Any], names: Sequence[str], area, share) -> list[str]:
    """The same attacks' figures, written by ``area`` and ``share``; dashes for those not made.

    An arrow marks what was found by the lowest scores, where figures are read two-sided.
    """
    cells = []
    for name in names:
        found = as_read(attacks.get(name) or {})
        for key, write in (("auc", area), ("tpr", share)):
            figure = found.get(key)
            cells.append(write(figure) + side_mark(figure))
    return cells


def side_mark(figure: dict[str, Any] | None) -> str:
    """An arrow behind what was found by the lowest scores, where an attack was read from both sides.

    Examples
    --------
    >>> side_mark({"side": "low"}), side_mark({"side": "high"}), side_mark(None)
    (' ↓', '', '')
    """
    return " ↓" if (figure or {}).get("side") == LOW_SCORES else ""


def rate_cell(figure: dict[str, Any] | None) -> str:
    """A rate in percent with its interval, if it has one."""
    if figure is not None and figure["low"] is None:  # the mean alone is known
        return bare_cell(figure)
    return "–" if figure is None else " ".join(rate(figure["mean"], figure["low"], figure["high"]))


def area_cell(figure: dict[str, Any] | None) -> str:
    """An AUC with its interval."""
    return "–" if figure is None else f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def worth_cell(figure: dict[str, Any] | None, *, is_rate: bool) -> str:
    """What a model is worth, with its interval: a rate in percent, or an amount."""
    if is_rate:
        return rate_cell(figure)
    return "–" if figure is None else amount_text(figure)


def worth_difference_cell(figure: dict[str, Any] | None, *, is_rate: bool) -> str:
    """A difference of two such, with its sign."""
    if is_rate:
        return points_cell(figure)
    return "–" if figure is None else amount_text(figure, sign="+")


def amount_text(figure: dict[str, Any], *, sign: str = "") -> str:
    """An amount with its interval.

    Examples
    --------
    >>> amount_text({"mean": 22.81, "low": 19.4, "high": 26.123})
    '22.8 [19.4, 26.1]'
    """
    mean, low, high = (f"{figure[key]:{sign}.3g}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def points_cell(figure: dict[str, Any] | None) -> str:
    """A difference of rates in percentage points with its interval."""
    if figure is None:
        return "–"
    if figure["low"] is None:
        return f"{100 * figure['mean']:+.1f}"
    return f"{100 * figure['mean']:+.1f} [{100 * figure['low']:+.1f}, {100 * figure['high']:+.1f}]"


def signed_cell(figure: dict[str, Any] | None) -> str:
    """A difference of AUCs with its interval."""
    return "–" if figure is None else f"{figure['mean']:+.3f} [{figure['low']:+.3f}, {figure['high']:+.3f}]"


def bare_cell(figure: dict[str, Any] | None) -> str:
    """A rate in percent."""
    return "–" if figure is None else rate(figure["mean"], figure["mean"], figure["mean"])[0]


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose source is aligned too."""
    widths = [max(len(line[column]) for line in [headers, *rows]) for column in range(len(headers))]
    lines = [headers, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
