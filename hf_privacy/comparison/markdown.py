"""A comparison's table in Markdown: for terminals, for a README, for the eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.reports.explain import percent, rate

_SHORT = {
    "lira": "LiRA",
    "rmia": "RMIA",
    "lira_offline": "LiRA offline",
    "rmia_offline": "RMIA offline",
    "label_only": "Label-only",
}
_LABEL_ONLY = "label_only"


def comparison_markdown(table: dict[str, Any]) -> str:
    """Write the table, the differences seed by seed, and how to read both.

    Parameters
    ----------
    table : dict
        Of `comparison_table`.

    Returns
    -------
    str
    """
    rows, level = table["rows"], percent(table["confidence"])
    split = table["split"]
    parts = [
        f"# {table['name'] or 'Comparison of defences'}",
        f"{table['model']} on {table['dataset']['name']}: {split['n_members']:,} members, {split['n_nonmembers']:,} "
        f"non-members and {split['n_population']:,} of the population; {len(table['seeds'])} seeds, "
        f"{table['references']} reference models for each defence, trained as its targets are. Mean over the seeds "
        f"[{level} interval, Student's t]; rates in %.",
        _aligned(_headers(table), [_cells(row, table) for row in rows]),
    ]
    compared = [row for row in rows if row["against"] is not None]
    if compared:
        headers = ["Defence", "Against", "Accuracy", "Gap", *_attack_headers(table, table["attacks"])]
        lines = [
            [
                row_title(row),
                _title_of(row["against"], rows),
                _points(row["against"]["accuracy"]),
                _points(row["against"]["gap"]),
                *_attack_cells(row["against"]["attacks"], table["attacks"], _signed, _points),
            ]
            for row in compared
        ]
        parts += [
            "Difference to the defence it builds on, or to the baseline, seed by seed (same members, same training "
            "seed); rates in percentage points. An interval that holds 0 shows no difference.",
            _aligned(headers, lines),
        ]
    parts.append("\n".join(f"- {sentence}" for sentence in notes(table)))
    return "\n\n".join(parts) + "\n"


def notes(table: dict[str, Any]) -> list[str]:
    """What a reader must know of these figures."""
    sentences = [
        "The seeds' targets share one pool, their reference models and the population: the intervals speak of "
        "training runs and of who is drawn from this pool, not of other data. They are not cut to [0, 100].",
        "Attacks give lower bounds of leakage. The strongest is the one with the largest mean, picked after seeing "
        "all; its interval is not widened for that choice.",
        "Hyper-parameters chosen by looking at these figures make them look better than they are.",
    ]
    if any(row["outputs"] == "defended" for row in table["rows"]):
        sentences.append(
            "“Defended outputs”: the attacker sees only what the prediction-time part gives out, and passes the "
            "reference models through it too. The other row is of the weights themselves, which is what is published."
        )
    if any(row["attacks"].get(_LABEL_ONLY) for row in table["rows"]) and _LABEL_ONLY not in table["attacks"]:
        sentences.append(
            "Label-only: which of several augmented queries are classified right, an attack that no hiding of scores "
            "stops."
        )
    return sentences


def row_title(row: dict[str, Any]) -> str:
    """A row's name for readers."""
    return row["title"] + (", defended outputs" if row["outputs"] == "defended" else "")


def attack_title(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """A column's name: short where the attack is well known, else the report's."""
    if name in _SHORT:
        return _SHORT[name]
    return next(row["attacks"][name]["title"] for row in rows if name in row["attacks"])


def _headers(table: dict[str, Any]) -> list[str]:
    headers = ["Defence", "Accuracy", "Train–test gap", *_attack_headers(table, _columns(table))]
    headers += [f"Strongest attack ({'TPR' if _by_rate(table) else 'AUC'})"]
    headers += ["Canary AUC"] if any(row["canary_auc"] for row in table["rows"]) else []
    return headers + (["Guaranteed ε"] if any(row["epsilon"] for row in table["rows"]) else [])


def _cells(row: dict[str, Any], table: dict[str, Any]) -> list[str]:
    strongest = row["strongest"]
    shown = _rate(strongest) if strongest["measure"] == "tpr" else _area(strongest)
    cells = [
        row_title(row),
        _rate(row["accuracy"]),
        _rate(row["gap"]),
        *_attack_cells(row["attacks"], _columns(table), _area, _rate),
        f"{shown} {strongest['title']}",
    ]
    if any(other["canary_auc"] for other in table["rows"]):
        cells.append(_area(row["canary_auc"]))
    if any(other["epsilon"] for other in table["rows"]):
        upper = row["epsilon"]
        cells.append("–" if upper is None else f"{upper['epsilon']:.3g} (δ = {upper['delta']:.1g})")
    return cells


def _columns(table: dict[str, Any]) -> list[str]:
    """The attacks asked for, and label-only where a defence was audited with it for being what it is."""
    has_label_only = any(_LABEL_ONLY in row["attacks"] for row in table["rows"])
    return list(dict.fromkeys([*table["attacks"], *([_LABEL_ONLY] if has_label_only else [])]))


def _attack_headers(table: dict[str, Any], names: Sequence[str]) -> list[str]:
    headers = []
    for name in names:
        title = attack_title(name, table["rows"])
        headers += [f"{title} AUC", f"{title} TPR@{percent(table['fpr']).replace(' ', '')}"]
    return headers


def _attack_cells(attacks: dict[str, Any], names: Sequence[str], area, share) -> list[str]:
    cells = []
    for name in names:
        found = attacks.get(name)
        cells += ["–", "–"] if found is None else [area(found["auc"]), share(found["tpr"])]
    return cells


def _by_rate(table: dict[str, Any]) -> bool:
    return all(row["strongest"]["measure"] == "tpr" for row in table["rows"])


def _title_of(against: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    keys = ("name", "outputs")
    return next(row_title(row) for row in rows if all(row[key] == against[key] for key in keys))


def _rate(figure: dict[str, Any] | None) -> str:
    return "–" if figure is None else " ".join(rate(figure["mean"], figure["low"], figure["high"]))


def _area(figure: dict[str, Any] | None) -> str:
    return "–" if figure is None else f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _points(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return "–"
    return f"{100 * figure['mean']:+.1f} [{100 * figure['low']:+.1f}, {100 * figure['high']:+.1f}]"


def _signed(figure: dict[str, Any] | None) -> str:
    return "–" if figure is None else f"{figure['mean']:+.3f} [{figure['low']:+.3f}, {figure['high']:+.3f}]"


def _aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose source is aligned too."""
    widths = [max(len(line[column]) for line in [headers, *rows]) for column in range(len(headers))]
    lines = [headers, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
