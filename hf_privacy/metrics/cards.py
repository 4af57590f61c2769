"""The card of an `evaluate` module: the header that a Space reads, and the text below it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hf_privacy.errors import InputError
from hf_privacy.yaml_text import load_yaml


def read_card(folder: Path) -> tuple[dict[str, Any], str]:
    """Metadata and text of the ``README.md`` in a module's folder.

    Raises
    ------
    InputError
        If the card has no YAML header.

    Examples
    --------
    >>> metadata, text = read_card(Path(__file__).parent / "lira")
    >>> metadata["title"], text.lstrip().startswith("# LiRA")
    ('LiRA', True)
    """
    parts = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    if len(parts) != 3 or parts[0]:
        raise InputError(f"the card of {folder.name!r} has no YAML header: start README.md with one between two ---")
    return load_yaml(parts[1]), parts[2]
