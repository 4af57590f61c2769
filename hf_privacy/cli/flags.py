"""Flags named as flags: what a message calls a key of the recipe is what the user typed, where they typed it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_UNKNOWN = re.compile(
    r"unknown key '(?P<key>[^']+)' in (?:section '(?P<section>[^']+)'|(?P<place>the \w+|[\w.]+)): (?P<hint>.*)", re.S
)
_MEANT = re.compile(r"did you mean '([^']+)'\?")
_SAYS = r"(?= (?:is|are|has|have|hold|holds|names) )"


def as_flags(
    message: str,
    overrides: Mapping[str, object],
    flags: Mapping[str, object] | None = None,
    spelled: Mapping[str, str] | None = None,
) -> str:
    """A message with the keys that were set on the command line as they stood there.

    Parameters
    ----------
    message : str
    overrides : mapping
        Dotted keys from the command line.
    flags : mapping, optional
        The command's own switches, by name.
    spelled : mapping, optional
        Flags that are short for a key, by the key.

    Examples
    --------
    >>> as_flags("unknown key 'labl' in section 'data': did you mean 'label_column'?", {"data.labl": "x"})
    'unknown key --data.labl: did you mean --data.label_column?'
    >>> as_flags("references is 1: a full audit needs at least 2", {"audit.references": "1"})
    '--audit.references is 1: a full audit needs at least 2'
    >>> as_flags("references is 1: a full audit needs at least 2", {"audit.fprs": "[0.1]"})
    'references is 1: a full audit needs at least 2'
    >>> as_flags("canaries is -1: pass 0 or more", {"audit.canaries": "-1"}, spelled={"audit.canaries": "canaries"})
    '--canaries is -1: pass 0 or more'
    """
    text = _named(message, overrides, flags or {})
    for key, flag in (spelled or {}).items():
        text = re.sub(rf"--{re.escape(key)}(?!\.?\w)", f"--{flag}", text)
    return text


def _named(message: str, overrides: Mapping[str, object], flags: Mapping[str, object]) -> str:
    unknown = _UNKNOWN.fullmatch(message)
    for key, value in overrides.items():
        found = _valued(message, key) if unknown is None else _unknown(unknown, key, value)
        if found is not None:
            return found
    for name, value in flags.items():
        if value not in (None, False) and message.startswith(f"{name} is {value!r}"):
            return f"--{name.replace('_', '-')}{message[len(name) :]}"
    return message


def _unknown(match: re.Match, key: str, value: object) -> str | None:
    named = match["section"] or match["place"]
    if key == named and value == match["key"]:  # a method that is not there
        return f"--{key} is {value!r}: {match['hint']}"
    parts = key.split(".")
    for place, part in enumerate(parts):
        section = ".".join(parts[:place])
        there = named.startswith("the ") if place == 0 else f".{section}".endswith(f".{named}")
        if part == match["key"] and there:
            meant = _MEANT.search(match["hint"])
            if meant is None:
                return f"unknown key --{key}: {match['hint']}"
            instead = ".".join([*parts[:place], meant[1], *parts[place + 1 :]])
            return f"unknown key --{key}: did you mean --{instead}?"
    return None


def _valued(message: str, key: str) -> str | None:
    parts = key.split(".")
    names = [re.escape(".".join(parts[start:])) for start in range(len(parts))]
    section = rf"section '[^']*' key '{re.escape(parts[-1])}'"
    found = re.match(rf"(?:{'|'.join([section, *names])}){_SAYS}", message)
    return None if found is None else f"--{key}{message[found.end() :]}"
