"""The plot of attacks against reference models, from the tables that the README has of `table.py`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hf_privacy.attack_table import ATTACKS

README = Path(__file__).parent / "README.md"
_FIGURE = re.compile(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]")


def budgets_of(heading: str, *, readme: Path = README) -> dict[str, Any]:
    """A report's ``budgets`` as far as the table under a heading prints them: AUC, and TPR at 1 % FPR."""
    section = readme.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in _first_table(section)
    )  # fmt: skip
    counts = [0, *map(int, head[2:])]
    attacks = []
    for title, *cells in rows:
        for count, cell in zip(counts, cells, strict=True):
            found = [[float(number) for number in figure] for figure in _FIGURE.findall(cell)]
            if found:
                area, share = (dict(zip(("mean", "low", "high"), figure, strict=True)) for figure in found)
                rate = {"fpr": 0.01, **{key: value / 100 for key, value in share.items()}}
                entry = {"name": attack_name(title), "title": title, "auc": area, "tpr_at_fpr": [rate]}
                attacks.append({"n_references": count, **entry})
    return {"n_targets": 5, "confidence": 0.95, "attacks": attacks}


def attack_name(title: str) -> str:
    """An attack's name from the title that a table prints.

    >>> attack_name("LiRA (offline, shrunk variance)"), attack_name("RMIA (online)"), attack_name("Label-only (6 …)")
    ('lira_shrunk_offline', 'rmia', 'label_only')
    """
    plain, _, variant = title.partition(" (")
    if plain in ("LiRA", "RMIA"):
        variance = re.search(r"(\S+) variance", variant)
        kind = "" if variance is None else f"_{variance[1].replace('-', '_')}"
        return plain.lower() + kind + ("_offline" if variant.startswith("offline") else "")
    return next(name for wanted in (title, plain) for name, attack in ATTACKS.items() if attack.title == wanted)


def _first_table(section: str) -> list[str]:
    lines = section.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    last = next(number for number in range(first, len(lines)) if not lines[number].startswith("|"))
    return lines[first:last]
