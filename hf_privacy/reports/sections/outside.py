"""The sections of examinations that are not this package's: shown as they are, name by name."""

from __future__ import annotations

import textwrap
from typing import Any

from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import nullable, shape
from hf_privacy.reports.words import MAX_WIDTH, value_rows

FIELDS = {
    "outside": nullable(
        {
            "type": "object",
            "maxProperties": 50,
            "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9 _.:-]{0,99}$"},
            "additionalProperties": shape("free"),
        },
        "What examinations that are not this package's found, by their names; absent where there are none.",
    )
}


def lines(report: Report) -> str | None:
    found = [
        "\n".join(
            line
            for text in (name, *(f"  {key}: {value}" for key, value in rows))
            for line in textwrap.wrap(text, MAX_WIDTH, subsequent_indent="    ")
        )
        for name, rows in shown(report)["outside"].items()
    ]
    return "\n\n".join(found) or None


def shown(report: Report) -> dict[str, Any]:
    return {"outside": {name: value_rows(values) for name, values in (report.outside or {}).items()}}
