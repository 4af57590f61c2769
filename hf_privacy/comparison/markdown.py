"""A comparison's table in Markdown: for terminals, for a README, for the eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.comparison.cells import (
    aligned,
    area_cell,
    attack_cells,
    attack_headers,
    attack_title,
    how_many,
    is_over_targets,
    points_cell,
    rate_cell,
    robust_columns,
    robust_figure,
    row_title,
    side_mark,
    signed_cell,
    worth_cell,
    worth_difference_cell,
)
from hf_privacy.comparison.extraction import extraction_cells, extraction_headers, extraction_note
from hf_privacy.comparison.memorization_tables import adversarial_part, by_memorization_part
from hf_privacy.comparison.own_intervals import own_intervals_part
from hf_privacy.comparison.worth import worth_of
from hf_privacy.hub.evidence import as_read
from hf_privacy.reports.titles import attack_words
from hf_privacy.reports.words import percent, unit_words

_LABEL_ONLY = "label_only"


def comparison_markdown(table: dict[str, Any]) -> str:
    """Write the table, the differences, what is known of adversarial inputs and of memorization, and how to read it.

    Parameters
    ----------
    table : dict
        Of `comparison_table`.

    Returns
    -------
    str
    """
    rows, level, worth = table["rows"], percent(table["confidence"]), worth_of(table)
    split = table["split"]
    parts = [
        f"# {table['name'] or 'Comparison of defences'}",
        f"{table['model']} on {table['dataset']['name']}: {split['n_members']:,} members, {split['n_nonmembers']:,} "
        f"non-members and {split['n_population']:,} of the population{_unit(split)}; {how_many(table)}, "
        f"{table['references']} reference models for each defence, trained as its targets are. {_means(table, level)}"
        f"{_robust_caption(table)}",
        aligned(_headers(table), [_cells(row, table) for row in rows]),
    ]
    compared = [row for row in rows if row["against"] is not None]
    if compared:
        robust = robust_columns(table)
        headers = [
            "Defence", "Against", worth.title, *(title for _, title in robust), "Gap",
            *attack_headers(table, table["attacks"]), *extraction_headers(table)[1:],
        ]  # fmt: skip
        lines = [
            [
                row_title(row),
                _title_of(row["against"], rows),
                worth_difference_cell(row["against"][worth.name], is_rate=worth.is_rate),
                *(points_cell(row["against"].get("robust_accuracy", {}).get(name)) for name, _ in robust),
                worth_difference_cell(row["against"]["gap"], is_rate=worth.is_rate),
                *attack_cells(row["against"]["attacks"], table["attacks"], signed_cell, points_cell),
                *([points_cell(row["against"]["extraction"])] if extraction_headers(table) else []),
            ]
            for row in compared
        ]
        parts += [
            f"Difference to the defence it builds on, or to the baseline, {_pairs(table)}; rates in percentage "
            "points. An interval that holds 0 leaves open whether there is a difference; of many that do "
            "not, some do so by chance.",
            aligned(headers, lines),
        ]
    parts += own_intervals_part(table) + adversarial_part(table) + by_memorization_part(table)
    parts.append("\n".join(f"- {sentence}" for sentence in notes(table)))
    return "\n\n".join(parts) + "\n"


def notes(table: dict[str, Any]) -> list[str]:
    """What a reader must know of these figures."""
    whose = (
        "The targets share one pool, each other's signals as references"
        if is_over_targets(table)
        else "The seeds' targets share one pool, their reference models"
    )
    sentences = [
        f"{whose} and the population: the intervals speak of training runs and of who is drawn from this pool, not "
        "of other data.",
        "Attacks give lower bounds of leakage. The largest mean of all attacks is picked row by row after seeing all: "
        "its interval is not widened for that and is no test against guessing, which each run's report has.",
        "Hyper-parameters chosen by looking at these figures make them look better than they are.",
    ]
    if robust_columns(table):
        sentences.append(
            "Robust accuracy is an upper bound: what these adversarial attacks could not break on non-members. A "
            "stronger attack can only lower it."
        )
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
    sentences += extraction_note(table)
    if any("two_sided" in found for row in table["rows"] for found in row["attacks"].values()):
        sentences.append(
            "Attacks on a defended model are read from both sides: a defence can make members score lowest (↓), and "
            "whoever knows it calls those members. AUC is then the larger of itself and 1 less it, TPR that of the "
            "tail that finds more, with one side for all seeds, and intervals cover the choice. The larger of two "
            "estimates lies a little above guessing where nothing leaks."
        )
    return sentences


def _unit(split: dict[str, Any]) -> str:
    return f" ({unit_words(split)})" if split.get("unit") else ""


def _means(table: dict[str, Any], level: str) -> str:
    if is_over_targets(table):
        return (
            "Mean over the targets of one audit (the trained model, and reference models each attacked by the others) "
            f"[{level} interval, Student's t]; rates in %."
        )
    return f"Mean over the seeds [{level} interval, Student's t]; rates in %."


def _pairs(table: dict[str, Any]) -> str:
    if is_over_targets(table):
        return "target by target (same members, same training seed)"
    return "seed by seed (same members, same training seed)"


def _robust_caption(table: dict[str, Any]) -> str:
    """What the adversarial attack was, and which of its columns are of one model alone."""
    columns = robust_columns(table)
    if not columns:
        return ""
    said = dict.fromkeys(attack_words(row["robustness"]) for row in table["rows"] if row.get("robustness"))
    alone = [
        title
        for name, title in columns
        if any((robust_figure(row, name) or {}).get("over") == "examples" for row in table["rows"])
    ]
    text = f" {' and '.join(title for _, title in columns)}: accuracy on adversarial non-members ({'; '.join(said)})."
    if alone:
        text += f" {' and '.join(alone)}: of the trained model alone, with the interval over its examples."
    return text


def _headers(table: dict[str, Any]) -> list[str]:
    robust, worth = [title for _, title in robust_columns(table)], worth_of(table)
    headers = ["Defence", worth.title, *robust, worth.gap, *attack_headers(table, _columns(table))]
    headers += [f"{attack_title(table['attacks'][0], table['rows'])} AUC, whole groups"] if _grouped(table) else []
    headers += [f"Largest mean {'TPR' if _by_rate(table) else 'AUC'} of all attacks", *extraction_headers(table)]
    headers += ["Canary AUC"] if any(row["canary_auc"] for row in table["rows"]) else []
    return headers + (["Guaranteed ε"] if any(row["epsilon"] for row in table["rows"]) else [])


def _cells(row: dict[str, Any], table: dict[str, Any]) -> list[str]:
    strongest, worth = row["strongest"], worth_of(table)
    shown = rate_cell(strongest) if strongest["measure"] == "tpr" else area_cell(strongest)
    cells = [
        row_title(row),
        worth_cell(row[worth.name], is_rate=worth.is_rate),
        *(rate_cell(robust_figure(row, name)) for name, _ in robust_columns(table)),
        worth_cell(row["gap"], is_rate=worth.is_rate),
        *attack_cells(row["attacks"], _columns(table), area_cell, rate_cell),
        *([_group_cell(row, table["attacks"][0])] if _grouped(table) else []),
        f"{shown}{side_mark(strongest)} {strongest['title']}",
        *extraction_cells(row, table),
    ]
    if any(other["canary_auc"] for other in table["rows"]):
        cells.append(area_cell(row["canary_auc"]))
    if any(other["epsilon"] for other in table["rows"]):
        upper = row["epsilon"]
        cells.append("–" if upper is None else f"{upper['epsilon']:.3g} (δ = {upper['delta']:.1g})")
    return cells


def _columns(table: dict[str, Any]) -> list[str]:
    """The attacks asked for, and label-only where a defence was audited with it for being what it is."""
    has_label_only = any(_LABEL_ONLY in row["attacks"] for row in table["rows"])
    return list(dict.fromkeys([*table["attacks"], *([_LABEL_ONLY] if has_label_only else [])]))


def _grouped(table: dict[str, Any]) -> bool:
    """Whether the first attack tells whole groups apart too."""
    return any("by_group" in row["attacks"].get(table["attacks"][0], {}) for row in table["rows"])


def _group_cell(row: dict[str, Any], name: str) -> str:
    figure = as_read(row["attacks"].get(name) or {}).get("by_group")
    return area_cell(figure) + side_mark(figure)


def _by_rate(table: dict[str, Any]) -> bool:
    return all(row["strongest"]["measure"] == "tpr" for row in table["rows"])


def _title_of(against: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    keys = ("name", "outputs")
    return next(row_title(row) for row in rows if all(row[key] == against[key] for key in keys))
