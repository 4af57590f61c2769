"""The board as one self-contained page: a table of what leaks and one of what was unlearned, with their filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from hf_privacy.reports.rendering import render
from hf_privacy.reports.words import duration, percent, rate

Row = dict[str, Any]
NOTHING = "–"
# What the page's filters ask for, beside the attack.
_FILTERS = {"data": "Data", "model": "Model", "unit": "Unit"}
_KINDS = {
    "compared": "defences and unlearners",
    "undefended": "undefended, nothing forgotten",
    "control": "controls, retrained",
}
_KIND_OF = {
    "undefended": "undefended",
    "nothing forgotten": "undefended",
    "control": "control",
    "retrained": "control",
}


class Cell(NamedTuple):
    """One cell.

    Attributes
    ----------
    text, small : str
        What stands in it, and below it.
    value : float, optional
        What it is sorted by; by default its text.
    marks : tuple of str
        Words in a frame beside the text.
    """

    text: str
    small: str = ""
    value: float | None = None
    marks: tuple[str, ...] = ()


class Column(NamedTuple):
    """One column: its title, what it is sorted by ("text", or a number, "up" or "down" first), and its cells."""

    title: str
    order: str
    cell: Callable[[Row], Cell]


def board_page(rows: Sequence[Row], *, title: str = "Privacy board") -> str:
    """Draw the rows of `board_rows` as one HTML page that needs nothing else.

    Without JavaScript it is a table in the order of its files' data; with it, one that can be sorted and filtered.

    Parameters
    ----------
    rows : sequence of dict
    title : str

    Returns
    -------
    str
    """
    tables = [_table(kind, found) for kind in _TABLES if (found := [row for row in rows if row["table"] == kind])]
    attacks = {row["attack"]: row["attack_title"] for row in rows}
    return render(
        "board.html.jinja",
        None,
        title=title,
        tables=tables,
        n_rows=len(rows),
        sources=list(dict.fromkeys(row["source"] for row in rows)),
        filters={name: (label, _values(row[name] for row in rows)) for name, label in _FILTERS.items()},
        attacks=sorted(attacks.items(), key=lambda item: item[1].lower()),
        kinds=_KINDS,
    ).removesuffix("\n")


def _table(kind: str, rows: Sequence[Row]) -> dict[str, Any]:
    heading, note, columns = _TABLES[kind]
    return {
        "name": kind,
        "heading": heading,
        "note": note,
        "columns": columns,
        "rows": [
            {
                "cells": [column.cell(row) for column in columns],
                "filters": {
                    **{name: row[name] for name in _FILTERS},
                    "attack": row["attack"],
                    "kind": _KIND_OF.get(row["mark"], row["mark"] or "compared"),
                    "strongest": "yes" if row["strongest"] else "no",
                },
            }
            for row in rows
        ],
    }


def _values(found: Iterable[str]) -> list[str]:
    return sorted(set(found), key=str.lower)


# -- cells -----------------------------------------------------------------------------------------------------------


def _name(row: Row) -> Cell:
    text = row["title"] + (", defended outputs" if row.get("outputs") == "defended" else "")
    marks = () if row["mark"] in (None, text) else (row["mark"],)
    return Cell(text, row.get("request") or row["study"], marks=marks)


def _attack(row: Row) -> Cell:
    control = ("control",) if row["attack_control"] else ()
    strongest = ("strongest",) if row["strongest"] and row["table"] == "leakage" else ()
    return Cell(row["attack_title"], marks=(*strongest, *control))


def _share(figure: dict[str, Any] | None, note: str = "") -> Cell:
    if figure is None:
        return Cell(NOTHING)
    if figure["low"] is None:
        return Cell(f"{100 * figure['mean']:.1f} %", note, figure["mean"])
    text, interval = rate(figure["mean"], figure["low"], figure["high"])
    return Cell(f"{text} %{_side(figure)}", f"{interval}{note}", figure["mean"])


def _area(figure: dict[str, Any] | None) -> Cell:
    if figure is None:
        return Cell(NOTHING)
    return Cell(f"{figure['mean']:.3f}{_side(figure)}", _ends(figure, "{:.3f}"), figure["mean"])


def _side(figure: dict[str, Any]) -> str:
    return " ↓" if figure.get("side") == "low" else ""


def _ends(figure: dict[str, Any], form: str, scale: float = 1.0) -> str:
    if figure["low"] is None:
        return ""
    return f"[{form.format(scale * figure['low'])}, {form.format(scale * figure['high'])}]"


def _found(row: Row) -> Cell:
    at = "" if abs(row["fpr"] - 0.01) < 1e-12 else f" at {percent(row['fpr'])}"
    return _share(row["tpr"], at)


def _worth(row: Row) -> Cell:
    worth = row["worth"]
    if worth["measure"] == "accuracy":
        return _share(worth, " accuracy")
    return Cell(f"{worth['mean']:.3g}", f"{_ends(worth, '{:.3g}')} perplexity".strip(), worth["mean"])


def _cost(row: Row) -> Cell:
    cost = row["cost"]
    if cost is None:
        return Cell(NOTHING, "" if row["seconds"] is None else f"{duration(row['seconds'])} in all")
    if row["worth"]["measure"] == "accuracy":
        return Cell(f"{100 * cost['mean']:.1f}", f"{_ends(cost, '{:.1f}', 100)} points".strip(), cost["mean"])
    return Cell(f"{cost['mean']:.3g}", f"{_ends(cost, '{:.3g}')} perplexity".strip(), cost["mean"])


def _epsilon(row: Row) -> Cell:
    epsilon = row["epsilon"]
    if epsilon is None:
        return Cell(NOTHING)
    return Cell(f"{epsilon['epsilon']:.3g}", f"δ = {epsilon['delta']:.1g}", epsilon["epsilon"])


def _data(row: Row) -> Cell:
    unit = "rows" if row["unit"] == "row" else f"groups by {row['unit']!r}"
    return Cell(row["data"], f"{row['model']}; {unit}")


def _measured(row: Row) -> Cell:
    references = f", {row['references']} reference models" if row.get("references") else ""
    commit = f", commit {row['commit']}" if row["commit"] else ""
    return Cell(f"{row['over']}{references}", f"{row['source']}{commit}")


def _distance(row: Row) -> Cell:
    figure = row["distance"]
    if figure is None:
        return Cell("diverged")
    if figure["measure"] == "AvgGap":
        small = f"{_ends(figure, '{:.1f}', 100)} points, AvgGap".strip()
        return Cell(f"{100 * figure['mean']:.1f}", small, figure["mean"])
    return Cell(f"{figure['mean']:.2f}", f"{_ends(figure, '{:.2f}')} {figure['measure']}".strip(), figure["mean"])


def _membership(row: Row) -> Cell:
    figure = row["membership"]
    if figure is None:
        return Cell(NOTHING)
    return _area(figure) if figure["measure"] == "AUC" else _share(figure)


def _kept(row: Row) -> Cell:
    figure = row["kept"]
    return Cell(NOTHING) if figure is None else _share(figure, f" {figure['measure'].split()[0]}")


def _time(row: Row) -> Cell:
    ratio = row["time_ratio"]
    return Cell(NOTHING) if ratio is None else Cell(f"{100 * ratio:.0f} %", value=ratio)


def _forgotten(row: Row) -> Cell:
    return Cell(f"{row['n_forget']:,}", value=row["n_forget"])


_TABLES: dict[str, tuple[str, str, tuple[Column, ...]]] = {
    "leakage": (
        "What attacks find of the training records",
        "A row is one defence under one attack. Found: the share of training records that the attack picks out at 1 % "
        "false alarms; what guessing finds is 1 %, and of the AUC 0.5. Cost: what the model’s users lose against the "
        "undefended row of the same study, in points of accuracy or in perplexity; of a single audited run, its time. "
        "Attacks give lower bounds; only ε is a guarantee.",
        (
            Column("Defence", "text", _name),
            Column("Attack", "text", _attack),
            Column("Found", "down", _found),
            Column("AUC", "down", lambda row: _area(row["auc"])),
            Column("Worth", "down", _worth),
            Column("Cost", "up", _cost),
            Column("Guaranteed ε", "up", _epsilon),
            Column("Data, model, unit", "text", _data),
            Column("Measured over", "text", _measured),
        ),
    ),
    "unlearning": (
        "How far unlearned models are from retrained ones",
        "A row is one method at one request. Distance: from models retrained without what was to be forgotten, 0 at "
        "best; AvgGap is the mean of four differences, KS the Kolmogorov–Smirnov statistic of truth ratios (in "
        "brackets its smallest and largest over pairs of models). Attack on the forgotten: the share that an attack "
        "takes for unseen (MIA efficacy), or the AUC of the loss; the retrained row is what to reach. Kept: accuracy, "
        "or mean probability, of what was to be kept. Cost: time as a share of retraining’s.",
        (
            Column("Method", "text", _name),
            Column("Distance", "up", _distance),
            Column("Attack", "text", _attack),
            Column("Attack on the forgotten", "down", _membership),
            Column("Kept", "down", _kept),
            Column("Cost", "up", _time),
            Column("Forgotten records", "up", _forgotten),
            Column("Data, model, unit", "text", _data),
            Column("Measured over", "text", _measured),
        ),
    ),
}
