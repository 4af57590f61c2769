"""The report's section on unlearning in words and rows: for the terminal, the page and the card."""

from __future__ import annotations

from typing import Any

from hf_privacy.reports.report import Report
from hf_privacy.reports.sections.defense import method_facts
from hf_privacy.reports.shapes import AUC, ESTIMATE, listed, nullable, one_of, record, shape
from hf_privacy.reports.words import area, grid, percent, points, rate, share, value_text, wrapped

TITLES = {
    "UA": "Forget set: wrong (UA)",
    "RA": "Retain set: right (RA)",
    "TA": "Unseen: right (TA)",
    "MIA": "Forget set: judged unseen (MIA)",
}
# What the figures of a language model are called: an example has many tokens.
TOKEN_TITLES = {
    "UA": "Forget set: tokens wrong (UA)",
    "RA": "Retain set: tokens right (RA)",
    "TA": "Unseen: tokens right (TA)",
    "MIA": TITLES["MIA"],
}
SETS = {"forget": "Forget set", "retain": "Retain set", "test": "Unseen"}
_ATTACKS = {"window_comparison": "window comparison with the base model", "loss": "loss"}
_KINDS = {
    "rows": "named rows",
    "ids": "named examples",
    "label": "one class",
    "where": "one column's value",
    "group": "named groups",
    "fraction": "a random share",
    "queue": "a queue of requests",
}

SHAPES = {
    "figure": one_of(*TITLES),
    "unlearning_figures": listed(record(f"name figure, {ESTIMATE}, n_examples positive_count"), least=4, most=4),
    "loss_quantiles": listed("amount", least=1, most=16),
    "unlearning_losses": listed(
        record(
            "loss amount, perplexity perplexity, low optional_number, high optional_number, "
            "n_examples positive_count, n_tokens positive_count",
            name=one_of(*SETS),
        ),
        least=len(SETS),
        most=len(SETS),
    ),
    "forget_membership": record(
        f"attack name, {AUC}",
        tpr_at_fpr=listed(
            record("fpr unit, tpr optional_unit, low optional_unit, high optional_unit"), least=1, most=8
        ),
    ),
}
FIELDS = {
    "unlearning": nullable(
        record(
            "method defense, n_retrained count",
            request=record(
                "n_requests positive_count, n_forget positive_count, n_retain positive_count, n_heldout count, "
                "n_test positive_count, unit text, n_units positive_count",
                optional="unit n_units",
                kind=one_of(*_KINDS),
            ),
            after_edit=nullable(
                {"type": "object", "maxProperties": 16, "additionalProperties": shape("amount")},
                "What the model is worth after the edit of the weights, before any epoch.",
            ),
            figures=record(
                "before unlearning_figures, after unlearning_figures", retrained=nullable("unlearning_figures")
            ),
            gap=nullable(
                record(
                    "average unit, in_retrain_noise optional_amount, retrain_against_retrain optional_unit",
                    figures=listed(
                        record("name figure, gap signed_unit, in_retrain_noise optional_number"), least=4, most=4
                    ),
                ),
                "To the mean of the retrained models; in units of how far these are from each other.",
            ),
            retain_harm=record(
                "newly_wrong estimate, newly_right estimate, mean_loss_before amount, mean_loss_after amount"
            ),
            forget_loss=nullable(
                record(
                    "before loss_quantiles, after loss_quantiles, test_after loss_quantiles",
                    quantiles=listed("open_unit", least=1, most=16),
                    retrained=nullable("loss_quantiles"),
                ),
                "Quantiles of the loss, for 20 forgotten examples or more.",
            ),
            language=nullable(
                record(
                    sets=record(
                        "before unlearning_losses, after unlearning_losses", retrained=nullable("unlearning_losses")
                    ),
                    membership=record(
                        "before forget_membership, after forget_membership", retrained=nullable("forget_membership")
                    ),
                ),
                "Of a language model: perplexity, and whether forgotten rows are told from unseen ones.",
            ),
            relearning=nullable(
                record(
                    "cap positive_count, steps count, regained boolean, retrained_steps optional_amount, "
                    "retrained_regained optional_count"
                ),
                "Optimizer steps on the forget set until its loss is the original's again.",
            ),
            u_lira=nullable(
                record(
                    f"{AUC}, n_pairs positive_count, n_examples positive_count",
                    tpr_at_fpr=listed("tpr_at_fpr", most=16),
                )
            ),
            cost=record(
                "scoring_seconds amount, shadows_seconds amount, training_seconds amount, total_seconds amount, "
                "retrain_seconds optional_amount, share_of_retrain optional_amount, share_with_shadows optional_amount"
            ),
            optional="language",
            description="Counts and aggregates; never which examples were forgotten. Figures are shares of 0 to 1.",
        ),
        "What the model was made to forget, beside models retrained without it.",
    )
}


def unlearning_headers(section: dict[str, Any]) -> list[str]:
    """Columns of the table: the gap only where models were retrained."""
    retrained = [] if section["gap"] is None else [f"Retrained ({section['n_retrained']})", "Gap"]
    return ["Figure (in %)", "Before", "After", *retrained]


def unlearning_table_rows(section: dict[str, Any]) -> list[list[str]]:
    """Each figure before, after and retrained, in percent with its interval, and the gap in points.

    Of a language model perplexity and membership too, which have no part in the gap.
    """
    titles = TITLES if section.get("language") is None else TOKEN_TITLES
    rows = [
        [titles[figures[0]["name"]], *(" ".join(rate(f["value"], f["low"], f["high"])) for f in figures)]
        for figures in zip(*_stages(section["figures"]), strict=True)
    ]
    if section["gap"] is not None:
        for row, gap in zip(rows, section["gap"]["figures"], strict=True):
            row.append(points(gap["gap"]))
    return rows + _language_rows(section)


def _stages(values: dict[str, Any]) -> list[Any]:
    return [values[stage] for stage in ("before", "after", "retrained") if values[stage] is not None]


def _language_rows(section: dict[str, Any]) -> list[list[str]]:
    language = section.get("language")
    if language is None:
        return []
    no_gap = [] if section["gap"] is None else [""]
    rows = [
        [f"{SETS[sets[0]['name']]}: perplexity", *(_perplexity(one) for one in sets), *no_gap]
        for sets in zip(*_stages(language["sets"]), strict=True)
    ]
    stages = _stages(language["membership"])
    rows.append(["Told apart: AUC", *(area(one) for one in stages), *no_gap])
    for rates in zip(*(one["tpr_at_fpr"] for one in stages), strict=True):
        if all(entry["tpr"] is not None for entry in rates):
            title = f"Told apart: TPR at {percent(rates[0]['fpr'])} FPR"
            rows.append(
                [title, *(" ".join(rate(entry["tpr"], entry["low"], entry["high"])) for entry in rates), *no_gap]
            )
    return rows


def _perplexity(found: dict[str, Any]) -> str:
    said = f"{found['perplexity']:.4g}"
    return said if found["low"] is None else f"{said} [{found['low']:.4g}, {found['high']:.4g}]"


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
    if request.get("unit", "row") != "row":
        kind += f", {request['n_units']:,} by {request['unit']}"
    if request["kind"] == "queue":
        kind = f"{request['n_requests']:,} request{'s' * (request['n_requests'] != 1)} of a queue"
    total = request["n_forget"] + request["n_retain"]
    return f"{section['method']['name']} forgot {request['n_forget']:,} of {total:,} training examples ({kind})"


def unlearning_sentences(section: dict[str, Any]) -> list[str]:
    """What the figures say, one sentence or two each: the gap, harm, relearning, U-LiRA, cost."""
    return [
        *_gap(section),
        _harm(section),
        *_membership(section),
        *_relearning(section),
        *_u_lira(section),
        _cost(section),
    ]


def unlearning_lines(section: dict[str, Any]) -> str:
    """Give the section as plain text of at most 100 columns."""
    found = [f"Unlearning: {unlearning_request_words(section)}"]
    headers, rows = unlearning_headers(section), unlearning_table_rows(section)
    found += grid(headers, rows[: len(TITLES)])
    if rows[len(TITLES) :]:  # by themselves: wider, and without a gap
        stages = headers[1:] if section["gap"] is None else headers[1:-1]
        found += grid(["Language model", *stages], [row[: len(stages) + 1] for row in rows[len(TITLES) :]])
    for sentence in unlearning_sentences(section):
        found += wrapped(sentence)
    return "\n".join(found)


def lines(report: Report) -> str | None:
    return None if report.unlearning is None else unlearning_lines(report.unlearning)


def shown(report: Report) -> dict[str, Any]:
    section = report.unlearning
    if section is None:
        return {"unlearning": None}
    parts = {
        "words": unlearning_request_words(section),
        "headers": unlearning_headers(section),
        "rows": unlearning_table_rows(section),
        "sentences": unlearning_sentences(section),
    }
    return {"unlearning": parts}


def facts(report: Report) -> list[tuple[str, str]]:
    section = report.unlearning
    if section is None:
        return []
    loss = section["forget_loss"]
    rows = method_facts(section["method"], name="Method")
    rows += [(name.removeprefix("n_").capitalize(), value_text(value)) for name, value in section["request"].items()]
    rows += [
        (f"After the edit alone: {name}", value_text(value)) for name, value in (section["after_edit"] or {}).items()
    ]
    for name in ("quantiles", "before", "after", "retrained", "test_after") if loss is not None else ():
        rows.append((f"Loss on the forget set: {name}", value_text(loss[name])))
    return rows


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


def _membership(section: dict[str, Any]) -> list[str]:
    language = section.get("language")
    if language is None:
        return []
    stages = _stages(language["membership"])
    attack = _ATTACKS.get(stages[0]["attack"], stages[0]["attack"])
    said = f"By {attack} forgotten rows were told from unseen ones with an AUC of {area(stages[0])}, and now with"
    said += f" {area(stages[1])}"
    if len(stages) > 2:
        said += f"; in retrained models it is {area(stages[2])}"
    return [f"{said}; 0.5 is guessing, and what lies below it tells them apart as well."]


def _harm(section: dict[str, Any]) -> str:
    wrong, right = section["retain_harm"]["newly_wrong"], section["retain_harm"]["newly_right"]
    if section.get("language") is not None:
        more = percent(right["value"])
        return f"Of the retained rows {share(wrong)} have fewer tokens right than before, and {more} have more."
    return f"Of the retained examples {share(wrong)} turned wrong and {percent(right['value'])} right."


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
        f"U-LiRA {said} unlearned from never-seen examples: its AUC is {area(found)}, over "
        f"{found['n_pairs']} pairs of reference models; 0.5 is guessing."
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
