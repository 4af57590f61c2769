"""The attacks as a plain-text table for terminals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hf_privacy.reports.explain import percent, rate
from hf_privacy.reports.sections.memorization import SETS, MemorizationRow, MemorizationTable, fewer_examples
from hf_privacy.reports.titles import attack_words

MAX_WIDTH = 100
_SHOWN_FPRS = (1e-3, 1e-2, 1e-1)
_SHOWN_ATTACKS = 3


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


def targets_table(targets: dict[str, Any]) -> str:
    """Lay the means over several training runs out in the same way.

    Parameters
    ----------
    targets : dict
        The report's ``targets``.

    Returns
    -------
    str
        A heading line, the attacks with their t intervals, and a line with the accuracies.
    """
    rows = [
        {
            "title": attack["title"],
            "n_references": None,
            **{f"auc{end}": attack["auc"][key] for end, key in (("", "mean"), ("_low", "low"), ("_high", "high"))},
            "tpr_at_fpr": [{**entry, "tpr": entry["mean"]} for entry in attack["tpr_at_fpr"]],
        }
        for attack in targets["attacks"]
    ]
    member, nonmember = (
        " ".join(rate(values["mean"], values["low"], values["high"]))
        for values in (targets["member_accuracy"], targets["nonmember_accuracy"])
    )
    return (
        f"Mean over {targets['n_targets']} training runs, with {percent(targets['confidence'])} intervals (Student's "
        "t): this model, and reference models attacked by the others\n"
        f"{attack_table(rows)}\n"
        f"Accuracy in %: members {member}, non-members {nonmember}"
    )


def canaries_line(canaries: dict[str, Any], upper: dict[str, Any] | None) -> str:
    """Say what the canaries showed of ε, beside the accountant's bound, in lines of at most 100 columns.

    Parameters
    ----------
    canaries : dict
        The report's ``canaries``.
    upper : dict or None
        The report's ``epsilon["upper"]``.

    Returns
    -------
    str

    Examples
    --------
    >>> found = {"n_canaries": 400, "n_inserted": 203, "kind": "mislabelled", "one_run": 1.234, "delta": 1e-5,
    ...          "confidence": 0.95, "auc": 0.8, "auc_low": 0.76, "auc_high": 0.84}
    >>> print(canaries_line(found, None))
    Canaries (400 mislabelled, 203 inserted into a second model of the recipe): ε ≥ 1.23 at δ = 1e-05,
      95 % confidence; AUC 0.800 [0.760, 0.840]; no guarantee
    """
    guarantee = (
        "no guarantee" if upper is None else f"guaranteed ε ≤ {upper['epsilon']:.3g} at δ = {upper['delta']:.3g}"
    )
    text = (
        f"Canaries ({canaries['n_canaries']:,} {canaries['kind']}, {canaries['n_inserted']:,} inserted into a second "
        f"model of the recipe): ε ≥ {canaries['one_run']:.3g} at δ = {canaries['delta']:.3g}, "
        f"{percent(canaries['confidence'])} confidence; AUC {canaries['auc']:.3f} [{canaries['auc_low']:.3f}, "
        f"{canaries['auc_high']:.3f}]; {guarantee}"
    )
    return "\n".join(textwrap.wrap(text, MAX_WIDTH, subsequent_indent="  "))


def memorization_lines(table: MemorizationTable, robustness: dict[str, Any] | None) -> str:
    """Lay accuracy, robust accuracy and TPR out by memorization, without intervals, in at most 100 columns.

    Parameters
    ----------
    table : MemorizationTable
    robustness : dict or None
        The report's ``robustness``.

    Returns
    -------
    str
        A heading, the table, and the means over several training runs where there are any.
    """
    table = replace(table, attacks=table.attacks[:_SHOWN_ATTACKS])
    rates = [f"{title} TPR@{percent(table.fpr).replace(' ', '')}" for _, title in table.attacks]
    headers = ["Memorization", "Examples", *(title for _, title in table.accuracies), *rates]
    heading = "By how much an example is memorized: members / non-members, and TPR in %"
    if robustness is not None:
        heading = f"Accuracy of members / non-members in %, TPR in %; attack: {attack_words(robustness)}"
    lines = textwrap.wrap(heading, MAX_WIDTH, subsequent_indent="  ")
    lines += _grid(headers, [memorization_cells(row, table) for row in table.rows])
    if part := fewer_examples(table):
        lines += textwrap.wrap(part, MAX_WIDTH, subsequent_indent="  ")
    if robustness is not None and robustness["targets"] is not None:
        lines += textwrap.wrap(_over_targets(table, robustness["targets"]), MAX_WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def memorization_cells(row: MemorizationRow, table: MemorizationTable) -> list[str]:
    """Write a row: its name, its examples, its accuracies (members / non-members) and its TPRs, in percent.

    A dash stands for what was not measured.
    """
    counts = "-" if row.n_members is None else f"{row.n_members:,} / {row.n_nonmembers:,}"
    cells = [row.label, counts]
    for name, _ in table.accuracies:
        found = [row.accuracies.get((name, which)) for which in SETS]
        cells.append(" / ".join("-" if entry is None else _bare(entry["value"]) for entry in found))
    return [*cells, *(_bare(row.rates[name][0]) if name in row.rates else "-" for name, _ in table.attacks)]


def adversarial_attack_table(robustness: dict[str, Any]) -> str:
    """Lay the membership attacks on adversarial inputs out, under a heading; see `attack_table`."""
    return f"Membership attacks on adversarial inputs\n{attack_table(robustness['membership_attacks'])}"


def _over_targets(table: MemorizationTable, targets: dict[str, Any]) -> str:
    titles = dict(table.accuracies)
    found = [
        f"{titles.get(entry['name'], entry['name'])}, {'members' if entry['set'] == 'members' else 'non-members'} "
        f"{' '.join(rate(entry['mean'], entry['low'], entry['high']))}"
        for entry in targets["accuracies"]
    ]
    return f"Mean accuracy over {targets['n_targets']} training runs, in %: {'; '.join(found)}"


def _bare(share: float) -> str:
    return rate(share, share, share)[0]


def _grid(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they need be, the last ones left out where they do not fit."""
    widths = [max(len(line[column]) for line in [headers, *rows]) for column in range(len(headers))]
    while sum(widths) + 2 * (len(widths) - 1) > MAX_WIDTH:
        widths.pop()
    lines = [headers, ["-" * width for width in widths], *rows]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip() for line in lines]


def _fprs(attacks: Sequence[dict[str, Any]]) -> list[float]:
    measured = sorted({entry["fpr"] for attack in attacks for entry in attack["tpr_at_fpr"]})
    usual = [fpr for fpr in measured if fpr in _SHOWN_FPRS]
    return (usual or measured)[:3]  # a fourth column does not fit beside its interval


def _cells(attack: dict[str, Any], fprs: Sequence[float]) -> list[str]:
    entries = {entry["fpr"]: entry for entry in attack["tpr_at_fpr"]}
    return [
        attack["title"],
        "" if attack["n_references"] is None else str(attack["n_references"] or "-"),
        f"{attack['auc']:.3f} [{attack['auc_low']:.3f}, {attack['auc_high']:.3f}]",
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
