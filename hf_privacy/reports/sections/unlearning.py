"""The report's section on unlearning in words and rows: for the terminal, the page and the card."""

from __future__ import annotations

import textwrap
from typing import Any

from hf_privacy.reports.explain import percent, rate

TITLES = {
    "UA": "Forget set: wrong (UA)",
    "RA": "Retain set: right (RA)",
    "TA": "Unseen: right (TA)",
    "MIA": "Forget set: judged unseen (MIA)",
}
_KINDS = {
    "rows": "named rows",
    "ids": "named examples",
    "label": "one class",
    "where": "one column's value",
    "fraction": "a random share",
    "queue": "a queue of requests",
}
_WIDTH = 100


def unlearning_headers(section: dict[str, Any]) -> list[str]:
    """Columns of the table: the gap only where models were retrained."""
    retrained = [] if section["gap"] is None else [f"Retrained ({section['n_retrained']})", "Gap"]
    return ["Figure (in %)", "Before", "After", *retrained]


def unlearning_table_rows(section: dict[str, Any]) -> list[list[str]]:
    """Each figure before, after and retrained, in percent with its interval, and the gap in points.

    Parameters
    ----------
    section : dict
        The report's ``unlearning``.

    Returns
    -------
    list of list of str
        Cells in the order of `unlearning_headers`.
    """
    stages = [section["figures"]["before"], section["figures"]["after"]]
    if section["figures"]["retrained"] is not None:
        stages.append(section["figures"]["retrained"])
    rows = [
        [TITLES[figures[0]["name"]], *(" ".join(rate(f["value"], f["low"], f["high"])) for f in figures)]
        for figures in zip(*stages, strict=True)
    ]
    if section["gap"] is not None:
        for row, gap in zip(rows, section["gap"]["figures"], strict=True):
            row.append(points(gap["gap"]))
    return rows


def points(difference: float) -> str:
    """Write a difference of shares in percentage points, with its sign.

    Examples
    --------
    >>> points(0.0123), points(-0.4)
    ('+1.23', '-40.00')
    """
    return f"{100 * difference:+.2f}"


def unlearning_request_words(section: dict[str, Any]) -> str:
    """Say what was asked and by which method it was done.

    Examples
    --------
    >>> request = {"kind": "label", "n_requests": 1, "n_forget": 120, "n_retain": 1080}
    >>> unlearning_request_words({"request": request, "method": {"name": "salun"}})
    'salun forgot 120 of 1,200 training examples (one class)'
    """
    request = section["request"]
    kind = _KINDS[request["kind"]]
    if request["kind"] == "queue":
        kind = f"{request['n_requests']:,} request{'s' * (request['n_requests'] != 1)} of a queue"
    total = request["n_forget"] + request["n_retain"]
    return f"{section['method']['name']} forgot {request['n_forget']:,} of {total:,} training examples ({kind})"


def unlearning_sentences(section: dict[str, Any]) -> list[str]:
    """What the figures say, one sentence or two each: the gap, harm, relearning, U-LiRA, cost.

    Parameters
    ----------
    section : dict
        The report's ``unlearning``.
    """
    return [*_gap(section), _harm(section["retain_harm"]), *_relearning(section), *_u_lira(section), _cost(section)]


def unlearning_lines(section: dict[str, Any]) -> str:
    """The section as plain text of at most 100 columns."""
    headers, rows = unlearning_headers(section), unlearning_table_rows(section)
    widths = [max(len(line[column]) for line in [headers, *rows]) for column in range(len(headers))]
    table = [headers, ["-" * width for width in widths], *rows]
    lines = [f"Unlearning: {unlearning_request_words(section)}"]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    for sentence in unlearning_sentences(section):
        lines += textwrap.wrap(sentence, _WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def _gap(section: dict[str, Any]) -> list[str]:
    gap = section["gap"]
    if gap is None:
        return [
            "No model was retrained without the forget set, so whether these figures are those of a model that never "
            "saw it is not known."
        ]
    said = f"The figures are {100 * gap['average']:.2f} points from those of retraining, on average"
    null = gap["retrain_against_retrain"]
    if null is None:
        return [f"{said}; a single retrained model does not say how far retraining is from itself."]
    said += f"; retrained models are {100 * null:.2f} points from each other"
    if gap["in_retrain_noise"] is not None:
        said += f" (the gap is {gap['in_retrain_noise']:.1f} times that)"
    return [f"{said}."]


def _harm(harm: dict[str, Any]) -> str:
    wrong, right = harm["newly_wrong"], harm["newly_right"]
    return (
        f"Of the retained examples {percent(wrong['value'])} [{percent(wrong['low'])}, {percent(wrong['high'])}] "
        f"turned wrong and {percent(right['value'])} right."
    )


def _relearning(section: dict[str, Any]) -> list[str]:
    found = section["relearning"]
    if found is None:
        return []
    own = (
        f"in {found['steps']} step{'s' * (found['steps'] != 1)}"
        if found["regained"]
        else f"not within {found['cap']} steps"
    )
    if found["retrained_steps"] is None:
        return [f"The forget set is learnt again {own}."]
    others = (
        f"retrained models take {found['retrained_steps']:.3g} on average"
        if found["retrained_regained"] == section["n_retrained"]
        else f"of {section['n_retrained']} retrained models {found['retrained_regained']} learn it within "
        f"{found['cap']} steps"
    )
    return [f"The forget set is learnt again {own}; {others}. Far fewer steps mean that it was not forgotten."]


def _u_lira(section: dict[str, Any]) -> list[str]:
    found = section["u_lira"]
    if found is None:
        return []
    said = "tells" if found["auc_low"] > 0.5 else "was not shown to tell"
    return [
        f"U-LiRA {said} unlearned from never-seen examples: its AUC is {found['auc']:.3f} [{found['auc_low']:.3f}, "
        f"{found['auc_high']:.3f}], over {found['n_pairs']} pairs of reference models; 0.5 is guessing."
    ]


def _cost(section: dict[str, Any]) -> str:
    cost = section["cost"]
    said = f"It took {cost['scoring_seconds']:.3g} s of scoring and {cost['training_seconds']:.3g} s of training"
    if cost["shadows_seconds"]:
        said += f", with shadow models of {cost['shadows_seconds']:.3g} s"
    if cost["share_of_retrain"] is None:
        return f"{said}."
    said += f": {cost['share_of_retrain']:.3g} times a retraining ({cost['retrain_seconds']:.3g} s)"
    return (
        f"{said}, {cost['share_with_shadows']:.3g} with the shadow models." if cost["shadows_seconds"] else f"{said}."
    )
