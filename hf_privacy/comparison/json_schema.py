"""The JSON schema of a comparison, as `hf_privacy.recipe.json_schema` makes that of a recipe."""

from __future__ import annotations

from typing import Any

from hf_privacy.comparison.plan import Comparison, Entry
from hf_privacy.recipe.json_schema import DIALECT, class_schema, recipe_schema


def comparison_schema() -> dict[str, Any]:
    """The schema of what `hf-privacy compare` reads.

    Examples
    --------
    >>> comparison_schema()["required"]
    ['recipe', 'defenses']
    """
    made = class_schema(Comparison)
    whole = recipe_schema()
    base = {key: whole[key] for key in ("type", "properties", "additionalProperties", "allOf")}
    entry = class_schema(Entry)
    made["properties"]["recipe"]["anyOf"] = [{"type": "string"}, base]
    made["properties"]["defenses"] |= {"type": "object", "additionalProperties": entry, "minProperties": 1}
    return {
        "$schema": DIALECT,
        "title": "A comparison of hf_privacy",
        **made,
        "type": "object",
        "required": ["recipe", "defenses"],
        "definitions": whole["definitions"],
    }
