"""The schema of ``privacy_report.json``, put together from the sections.

``python -m hf_privacy.reports.schema`` writes it to where `hf_privacy.hub` reads it, which knows no section.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from hf_privacy.atomic_file import write_atomically
from hf_privacy.reports import shapes
from hf_privacy.reports.sections import SECTIONS

# Earlier reports lack them.
OPTIONAL = (
    "budget levels targets budgets blind_baseline canaries class_slices leakage_share extraction memorization outside"
)


def report_schema() -> dict[str, Any]:
    """Give the schema: the named shapes of all sections, and their fields as the report's.

    Examples
    --------
    >>> report_schema()["$defs"]["report"]["properties"]["depth"]
    {'enum': ['quick', 'full']}
    """
    definitions = dict(shapes.SHAPES)
    fields: dict[str, Any] = {}
    for section in SECTIONS:
        definitions |= getattr(section, "SHAPES", {})
        fields |= getattr(section, "FIELDS", {})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "privacy_report.schema.json",
        "title": "Privacy report",
        "description": "What a published model leaks about its training data, as aggregates only: never an example, a "
        "list of example ids, a path or a token. Free parts hold short scalars and short lists so that no per-example "
        "array fits in.",
        "$ref": "#/$defs/report",
        "$defs": {**definitions, "report": shapes.record(optional=OPTIONAL, **fields)},
    }


def schema_text() -> str:
    """Give the file's content."""
    return json.dumps(report_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_atomically(files("hf_privacy.hub") / "privacy_report.schema.json", schema_text().encode())
