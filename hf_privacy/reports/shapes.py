"""The building blocks of the report's schema, a JSON Schema of which each section gives its piece."""

from __future__ import annotations

from typing import Any

Shape = dict[str, Any]

# Named once in the schema's `$defs`; the sections add theirs.
SHAPES: dict[str, Shape] = {
    "text": {"type": "string", "minLength": 1, "maxLength": 1000},
    "optional_text": {"type": ["string", "null"], "maxLength": 1000},
    # Ours, or module:name of a user's own.
    "name": {"type": "string", "pattern": r"^([a-z][a-z0-9_]{0,63}|[\w.]{1,200}:\w{1,200})$"},
    "boolean": {"type": "boolean"},
    "count": {"type": "integer", "minimum": 0},
    "positive_count": {"type": "integer", "minimum": 1},
    "several": {"type": "integer", "minimum": 2},
    "optional_count": {"type": ["integer", "null"], "minimum": 0},
    "optional_size": {"type": ["integer", "null"], "minimum": 1},
    "number": {"type": "number"},
    "optional_number": {"type": ["number", "null"]},
    "amount": {"type": "number", "minimum": 0},
    "perplexity": {"type": "number", "minimum": 1},
    "optional_amount": {"type": ["number", "null"], "minimum": 0},
    "unit": {"type": "number", "minimum": 0, "maximum": 1},
    "optional_unit": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "open_unit": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "signed_unit": {"type": "number", "minimum": -1, "maximum": 1},
    "scalar": {"type": ["string", "number", "boolean", "null"], "maxLength": 1000},
    "free": {
        "description": "Free keys; values are scalars, short lists of scalars, or the same again.",
        "type": "object",
        "maxProperties": 200,
        "additionalProperties": {
            "anyOf": [
                {"$ref": "#/$defs/scalar"},
                {"type": "array", "maxItems": 64, "items": {"$ref": "#/$defs/scalar"}},
                {"$ref": "#/$defs/free"},
            ]
        },
    },
}
# Fields that come together: an estimate with its interval, an area with its own, one over several training runs.
ESTIMATE = "value unit, low unit, high unit"
AUC = "auc unit, auc_low unit, auc_high unit"
MEAN = "mean unit, low number, high number, values target_values"
SIDES = ("member", "nonmember")


def of_sides(**worth: str) -> str:
    """Give the fields of what a model is worth on members and on non-members.

    Examples
    --------
    >>> of_sides(loss="number")
    'member_loss number, nonmember_loss number'
    """
    return ", ".join(f"{side}_{name} {kind}" for side in SIDES for name, kind in worth.items())


def shape(of: str | Shape) -> Shape:
    """Give a shape, or the one of that name in the schema's `$defs`."""
    return {"$ref": f"#/$defs/{of}"} if isinstance(of, str) else of


def record(fields: str = "", *, optional: str = "", description: str | None = None, **more: Shape) -> Shape:
    """Give the shape of an object of some keys and no others.

    Parameters
    ----------
    fields : str
        Each key and the name of its shape: "hash text, n_members count".
    optional : str
        The keys that may be absent, with a space between them.
    description : str, optional
    **more
        Keys whose shape has no name.

    Examples
    --------
    >>> record("hash text, n count", optional="n")["required"]
    ['hash']
    """
    pairs = (field.split() for field in fields.split(", ") if field)
    properties = {**{name: shape(kind) for name, kind in pairs}, **more}
    return {
        **({"description": description} if description else {}),
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in properties if name not in optional.split()],
        "properties": properties,
    }


def listed(items: str | Shape, *, most: int, least: int = 0) -> Shape:
    """Give the shape of a list of so many items: short ones, so that no per-example array fits in."""
    return {"type": "array", **({"minItems": least} if least else {}), "maxItems": most, "items": shape(items)}


def nullable(value: str | Shape, description: str | None = None) -> Shape:
    """Give the shape of a value that may be null."""
    return {**({"description": description} if description else {}), "anyOf": [{"type": "null"}, shape(value)]}


def either(key: str, with_it: Shape, without: Shape) -> Shape:
    """Give the shape of an object that has a key and then is one thing, and else another."""
    return {"type": "object", "if": {"required": [key]}, "then": with_it, "else": without}


def one_of(*values: str) -> Shape:
    """Give the shape of one of a few words."""
    return {"enum": list(values)}
