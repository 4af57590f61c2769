"""YAML that a user wrote, read without letting a few lines grow into gigabytes."""

from __future__ import annotations

from typing import Any

import yaml

# What aliases may make of a text: so many values, or so many times those that are written out.
MOST_VALUES, MOST_TIMES = 10_000, 10


def load_yaml(text: str) -> Any:
    """Plain values of a YAML text, as `yaml.safe_load` gives them.

    Raises
    ------
    yaml.YAMLError
        Where the text is no YAML; also where aliases multiply its values beyond measure or stand for themselves, or it
        is nested too deeply: reading, copying or writing such values would not end.

    Examples
    --------
    >>> load_yaml("base: &base {a: 1}\\nother: {<<: *base, b: 2}")
    {'base': {'a': 1}, 'other': {'a': 1, 'b': 2}}
    >>> load_yaml("a: &a [*a]")
    Traceback (most recent call last):
    ...
    yaml.error.YAMLError: an alias stands for a value that it is part of
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        sizes: dict[int, int] = {}
        if _size(node, sizes) > max(MOST_VALUES, MOST_TIMES * len(sizes)):
            raise yaml.YAMLError(f"aliases make its {len(sizes):,} values more than {MOST_TIMES} times as many")
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    finally:
        loader.dispose()


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values a node stands for; each node is counted once, however many aliases there are of it."""
    known = sizes.get(id(node))
    if known == 0:
        raise yaml.YAMLError("an alias stands for a value that it is part of")
    if known is None:
        sizes[id(node)] = 0  # being counted
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(_size(part, sizes) for part in parts))
        sizes[id(node)] = known
    return known
