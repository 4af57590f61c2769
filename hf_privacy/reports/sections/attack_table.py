"""Attacks as a plain-text table for terminals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from hf_privacy.hub.evidence import LOW_SCORES, as_read
from hf_privacy.reports.words import MAX_WIDTH, area, percent, rate

_SHOWN_FPRS = (1e-3, 1e-2, 1e-1)


def as_shown(attack: dict[str, Any]) -> dict[str, Any]:
    """Give an attack's figures as they are judged, with the side of its scores in its title where that is the lowest.

    Examples
    --------
    >>> as_shown({"title": "LOSS", "auc": 0.25, "two_sided": {"side": "low", "auc": 0.75}})["title"]
    'LOSS, by the lowest scores'
    """
    read = as_read(attack)
    return {**read, "title": f"{read['title']}, by the lowest scores"} if read.get("side") == LOW_SCORES else read


def attack_table(attacks: Sequence[dict[str, Any]]) -> str:
    """Lay the attacks out as an aligned table of at most 100 columns.

    AUC and TPR (in percent) come with their confidence intervals in brackets. A dash stands where there are too few
    non-members to resolve the false-positive rate. Long titles are wrapped.

    Parameters
    ----------
    attacks : sequence of dict
        The report's ``attacks``, at least one.

    Returns
    -------
    str
        Lines without a closing newline.

    Examples
    --------
    >>> resolved = {"fpr": 0.1, "tpr": 0.42, "low": 0.3961, "high": 0.444}
    >>> attack = {"title": "LOSS", "n_references": 0, "auc": 0.7123, "auc_low": 0.701, "auc_high": 0.722,
    ...           "tpr_at_fpr": [{"fpr": 0.001, "tpr": None, "low": None, "high": None}, resolved]}
    >>> print(attack_table([attack]))
    Attack  Refs  AUC                   TPR@0.1%  TPR@10% (in %)
    ------  ----  --------------------  --------  -----------------
    LOSS       -  0.712 [0.701, 0.722]  -         42.0 [39.6, 44.4]
    """
    fprs = _fprs(attacks)
    headers = ["Attack", "Refs", "AUC", *(f"TPR@{percent(fpr).replace(' ', '')}" for fpr in fprs)]
    if fprs:
        headers[-1] += " (in %)"
    rows = [_cells(attack, fprs) for attack in attacks]
    widths = [max(len(headers[i]), *(len(row[i]) for row in rows)) for i in range(len(headers))]
    widths[0] = min(widths[0], MAX_WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1))
    lines = [_line(headers, widths), "  ".join("-" * width for width in widths)]
    for row in rows:
        title, *rest = textwrap.wrap(row[0], widths[0], subsequent_indent="  ")
        lines.append(_line([title, *row[1:]], widths))
        lines.extend(rest)
    return "\n".join(lines)


def _fprs(attacks: Sequence[dict[str, Any]]) -> list[float]:
    measured = sorted({entry["fpr"] for attack in attacks for entry in attack["tpr_at_fpr"]})
    usual = [fpr for fpr in measured if fpr in _SHOWN_FPRS]
    return (usual or measured)[:3]  # a fourth column does not fit beside its interval


def _cells(attack: dict[str, Any], fprs: Sequence[float]) -> list[str]:
    entries = {entry["fpr"]: entry for entry in attack["tpr_at_fpr"]}
    return [
        attack["title"],
        "" if attack["n_references"] is None else str(attack["n_references"] or "-"),
        area(attack),
        *(_tpr(entries.get(fpr)) for fpr in fprs),
    ]


def _tpr(entry: dict[str, Any] | None) -> str:
    if entry is None or entry["tpr"] is None:
        return "-"
    return " ".join(rate(entry["tpr"], entry["low"], entry["high"]))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    aligned[1] = cells[1].rjust(widths[1])  # the number of references
    return "  ".join(aligned).rstrip()
