"""Figures as words, cells of a table and lines of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from hf_privacy.hub.headline import percent

MAX_WIDTH = 100


def rate(value: float, low: float, high: float) -> tuple[str, str]:
    """Write a rate for a table, in percent without the sign, and its confidence interval with the same digits.

    Examples
    --------
    >>> rate(0.3312, 0.301, 0.36), rate(0.003, 0.0006, 0.0087), rate(1.0, 0.997, 1.0)
    (('33.1', '[30.1, 36.0]'), ('0.30', '[0.06, 0.87]'), ('100', '[99.7, 100]'))
    """
    decimals = 2 if value < 0.00995 else 1
    texts = ["100" if share == 1 else f"{100 * share:.{decimals}f}" for share in (value, low, high)]
    return texts[0], f"[{texts[1]}, {texts[2]}]"


def share(entry: Mapping[str, Any], name: str = "value") -> str:
    """Write a share with its interval inside a sentence.

    Examples
    --------
    >>> share({"value": 0.33, "low": 0.301, "high": 0.36})
    '33 % [30 %, 36 %]'
    """
    return f"{percent(entry[name])} [{percent(entry['low'])}, {percent(entry['high'])}]"


def area(figures: Mapping[str, Any]) -> str:
    """Write an AUC with its interval.

    Examples
    --------
    >>> area({"auc": 0.7123, "auc_low": 0.701, "auc_high": 0.722})
    '0.712 [0.701, 0.722]'
    """
    return f"{figures['auc']:.3f} [{figures['auc_low']:.3f}, {figures['auc_high']:.3f}]"


def unit_words(split: Mapping[str, Any]) -> str:
    """Write whose examples are members or not as a whole, of a split that says so.

    Examples
    --------
    >>> unit_words({"unit": "author", "n_groups": {"members": 30, "non_members": 31, "population": 0}})
    "a group by 'author': 30 of members, 31 of non-members"
    """
    n = split["n_groups"]
    population = f", {n['population']:,} of the population" if n["population"] else ""
    return (
        f"a group by {split['unit']!r}: {n['members']:,} of members, {n['non_members']:,} of non-members{population}"
    )


def points(difference: float) -> str:
    """Write a difference of shares in percentage points, with its sign.

    Examples
    --------
    >>> points(0.0123), points(-0.4)
    ('+1.23', '-40.00')
    """
    return f"{100 * difference:+.2f}"


def duration(seconds: float | None) -> str:
    """Write seconds as seconds, minutes or hours.

    Examples
    --------
    >>> duration(31.2), duration(600), duration(7200), duration(None)
    ('31.2 s', '10.0 min', '2.0 h', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def value_text(value: Any) -> str:
    """Write a scalar, or a list of them, for a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value_text(inner) for inner in value) or "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def value_rows(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Give name and text of every value, of those inside dictionaries too.

    Examples
    --------
    >>> value_rows({"rate": 0.12345678, "by_length": {"short": 3, "long": [1, 2]}, "passed": True})
    [('rate', '0.123457'), ('by_length.short', '3'), ('by_length.long', '1, 2'), ('passed', 'yes')]
    """
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows.extend(value_rows(value, f"{prefix}{name}."))
        else:
            rows.append((f"{prefix}{name}", value_text(value)))
    return rows


def wrapped(text: str) -> list[str]:
    """Give a paragraph as lines of at most 100 columns, the later ones indented."""
    return textwrap.wrap(text, MAX_WIDTH, subsequent_indent="  ")


def grid(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows out in columns as wide as they need be, the last ones left out where 100 do not hold them."""
    widths = [max(len(line[column]) for line in [headers, *rows]) for column in range(len(headers))]
    while sum(widths) + 2 * (len(widths) - 1) > MAX_WIDTH:
        widths.pop()
    lines = [headers, ["-" * width for width in widths], *rows]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip() for line in lines]
