"""The JSON schema of a recipe, for editors that complete and check YAML: made of the same keys as `hf-privacy keys`.

It says which keys there are, of which kind and with which choices. What depends on the data, on other keys or on a
range is said when the recipe is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any

from hf_privacy.defenses import DEFENSES
from hf_privacy.recipe.keys import REQUIRED, Key, keys_of, section_keys, sections
from hf_privacy.recipe.unlearning_section import RETRAIN
from hf_privacy.unlearning import UNLEARNERS

DIALECT = "http://json-schema.org/draft-07/schema#"
OUTSIDE = {"type": "string", "pattern": ":"}  # module:Name, or a file beside the recipe
# What YAML 1.1 reads as text is a number to a recipe.
_NUMBER = {"type": ["number", "string"], "pattern": r"^[+-]?\d+(\.\d*)?[eE][+-]?\d+$"}
_TYPES: dict[type, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: _NUMBER,
    str: {"type": "string"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    dict: {"type": "object"},
    type(None): {"type": "null"},
}


def recipe_schema() -> dict[str, Any]:
    """The schema of a recipe, in draft 7, which editors know.

    The keys of ``training`` are those of the defence that the recipe names, those of ``unlearning.training`` of its
    method; where it names one of the user's own, anything.

    Examples
    --------
    >>> schema = recipe_schema()
    >>> schema["properties"]["audit"]["properties"]["depth"]["enum"]
    ['quick', 'full']
    """
    properties = {key.leaf: key_schema(key) for key in section_keys("")}
    # Parents stand before their children.
    for name in sections():
        *parents, leaf = name.split(".")
        place = properties
        for parent in parents:
            place = _mapping_of(place[parent])["properties"]
        made = mapping_schema(section_keys(name))
        if name.endswith("training"):  # whose keys are told apart below
            made["additionalProperties"] = True
        place[leaf] = _beside(place.get(leaf), made)
    names = {section: [key.leaf for key in section_keys(section)] for section in ("training", "unlearning.training")}
    return {
        "$schema": DIALECT,
        "title": "A recipe of hf_privacy",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "definitions": {section: {"enum": known} for section, known in names.items()},
        "allOf": [
            *(_when(["defense"], name, ["training"], section_keys(name), "training") for name in DEFENSES),
            _without(["defense"], ["training"], "training"),
            *(
                _when(
                    ["unlearning", "method"],
                    name,
                    ["unlearning", "training"],
                    section_keys(name),
                    "unlearning.training",
                )
                for name in UNLEARNERS
            ),
            _when(["unlearning", "method"], RETRAIN, ["unlearning", "training"], [], "unlearning.training"),
        ],
    }


def mapping_schema(keys: Iterable[Key]) -> dict[str, Any]:
    """The schema of a mapping with these keys and no others."""
    keys = list(keys)
    required = [key.leaf for key in keys if isinstance(key.default, str) and key.default == REQUIRED]
    made = {
        "type": ["object", "null"],
        "properties": {key.leaf: key_schema(key) for key in keys},
        "additionalProperties": False,
    }
    return {**made, "required": required} if required else made


def class_schema(kind: type) -> dict[str, Any]:
    """The schema of a mapping that is made into a dataclass."""
    return mapping_schema(keys_of(kind))


def key_schema(key: Key) -> dict[str, Any]:
    """The schema of one key: what it takes, its default and its meaning."""
    made: dict[str, Any] = {"description": key.details or key.meaning}
    default = plain(key.default)
    if key.default != REQUIRED:
        made["default"] = default
    if key.choices and not key.is_list:
        enum: dict[str, Any] = {"enum": [*key.choices, *([None] if type(None) in key.kinds else [])]}
        others = [_TYPES[kind] for kind in key.kinds if kind in (bool, dict, list)]
        return made | (_any_of([enum, *([OUTSIDE] if key.is_open else []), *others]))
    options = []
    for kind in key.kinds:
        if kind in (list, tuple) and key.choices:
            entries: dict[str, Any] = {"enum": list(key.choices)}
            options.append({"type": "array", "items": _any_of([entries, OUTSIDE]) if key.is_open else entries})
        elif is_dataclass(kind):
            options.append(_TYPES[dict])
        elif kind is object or (kind not in _TYPES and not issubclass(kind, Enum)):
            return made
        elif kind in _TYPES:
            options.append(_TYPES[kind])
    return made | _any_of(options)


def _any_of(options: list[dict[str, Any]]) -> dict[str, Any]:
    return options[0] if len(options) == 1 else {"anyOf": options}


def _beside(before: Mapping[str, Any] | None, mapping: dict[str, Any]) -> dict[str, Any]:
    """A section's mapping, with what else the key takes and what it means."""
    before = dict(before or {})
    others = before.pop("anyOf", [{"type": before.pop("type")}] if "type" in before else [])
    others = [option for option in others if option.get("type") not in ("object", "null")]
    return {**before, **({"anyOf": [mapping, *others]} if others else mapping)}


def _mapping_of(schema: dict[str, Any]) -> dict[str, Any]:
    return schema if "properties" in schema else schema["anyOf"][0]


def _within(path: list[str], schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    for name in reversed(path):
        schema = {"properties": {name: schema}, **({"required": [name]} if required else {})}
    return schema


def _when(path: list[str], value: str, where: list[str], keys: list[Key], common: str) -> dict[str, Any]:
    """Where a method is named, what its training takes: what all take, and its own keys."""
    known = {"anyOf": [{"$ref": f"#/definitions/{common}"}, {"enum": [key.leaf for key in keys]}]}
    training = {"propertyNames": known, "properties": {key.leaf: key_schema(key) for key in keys}}
    return {"if": _within(path, {"const": value}, required=True), "then": _within(where, training)}


def _without(path: list[str], where: list[str], common: str) -> dict[str, Any]:
    """Where none is named, what all take."""
    training = {"propertyNames": {"$ref": f"#/definitions/{common}"}}
    return {"if": {"not": {"required": path}}, "then": _within(where, training)}


def plain(value: Any) -> Any:
    """A default as JSON and YAML write it."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
