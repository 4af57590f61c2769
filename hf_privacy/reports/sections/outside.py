"""The sections of examinations that are not this package's: shown as they are, name by name."""

from __future__ import annotations

import textwrap
from typing import Any

_WIDTH = 100


def outside_rows(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Give name and text of every value, of those inside dictionaries too.

    Examples
    --------
    >>> outside_rows({"rate": 0.12345678, "by_length": {"short": 3, "long": [1, 2]}, "passed": True})
    [('rate', '0.123457'), ('by_length.short', '3'), ('by_length.long', '1, 2'), ('passed', 'yes')]
    """
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows.extend(outside_rows(value, f"{prefix}{name}."))
        else:
            rows.append((f"{prefix}{name}", value_text(value)))
    return rows


def outside_lines(sections: dict[str, dict[str, Any]] | None) -> list[str]:
    """Give each section as plain text of at most 100 columns: its name, and a line a value.

    Examples
    --------
    >>> print(*outside_lines({"token_length": {"mean": 12.5}}))
    token_length
      mean: 12.5
    """
    return [
        "\n".join(
            line
            for text in (name, *(f"  {key}: {value}" for key, value in outside_rows(values)))
            for line in textwrap.wrap(text, _WIDTH, subsequent_indent="    ")
        )
        for name, values in (sections or {}).items()
    ]


def value_text(value: Any) -> str:
    """Write a scalar, or a list of them, for a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value_text(inner) for inner in value) or "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
