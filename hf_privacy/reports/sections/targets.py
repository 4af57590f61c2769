"""The same attacks on several models of the recipe: means and intervals over training runs."""

from __future__ import annotations

from typing import Any

from hf_privacy.reports.report import Report
from hf_privacy.reports.sections.attack_table import as_shown, attack_table
from hf_privacy.reports.shapes import MEAN, SIDES, Shape, either, listed, nullable, of_sides, record
from hf_privacy.reports.words import percent, rate

SHAPES = {
    "mean_interval": record(MEAN, optional="values", description="Over targets; the t interval is not cut to [0, 1]."),
    "mean_amount": record(
        "mean amount, low number, high number", values=listed("amount", least=2, most=512), optional="values"
    ),
    "mean_rates": listed(record(f"fpr unit, {MEAN}", optional="values"), most=64),
    "target_values": {
        "description": "One figure a target, in the order of the targets: what differences between two recipes rest "
        "on.",
        **listed("unit", least=2, most=512),
    },
}
ATTACK_OVER_TARGETS = "name name, title text, auc mean_interval, tpr_at_fpr mean_rates"
_ENDS = {"": "mean", "_low": "low", "_high": "high"}
_TWO_SIDED = record(
    "side side",
    auc=record(f"{MEAN}, side side", optional="values"),
    tpr_at_fpr=listed(record(f"fpr unit, {MEAN}, side side", optional="values"), most=64),
    description="From whichever side of the scores tells more on average, one for all targets.",
)


def _section(**worth: str) -> Shape:
    fields = f"n_targets several, confidence open_unit, {of_sides(**worth)}"
    attack = record(ATTACK_OVER_TARGETS, optional="two_sided", two_sided=_TWO_SIDED)
    return record(fields, attacks=listed(attack, most=100))


FIELDS = {
    "targets": nullable(
        either(
            "member_perplexity",
            _section(loss="mean_amount", perplexity="mean_amount", token_accuracy="mean_interval"),
            _section(accuracy="mean_interval"),
        ),
        "The same attacks on several targets of one recipe: means and intervals over training runs.",
    )
}


def lines(report: Report) -> str | None:
    targets = report.targets
    if targets is None:
        return None
    rows = [
        {
            "title": attack["title"],
            "n_references": None,
            **{f"auc{end}": _cut(attack["auc"])[key] for end, key in _ENDS.items()},
            "tpr_at_fpr": [{**_cut(entry), "tpr": entry["mean"]} for entry in attack["tpr_at_fpr"]],
        }
        for attack in map(as_shown, targets["attacks"])
    ]
    return (
        f"Mean over {targets['n_targets']} training runs, with {percent(targets['confidence'])} intervals (Student's "
        "t): this model, and reference models attacked by the others\n"
        f"{attack_table(rows)}\n"
        f"{_worth(targets)}"
    )


def _worth(targets: dict[str, Any]) -> str:
    """Write accuracy, or a language model's perplexity, of both sides."""
    if "member_perplexity" in targets:
        title = "Perplexity"
        sides = (targets[f"{side}_perplexity"] for side in SIDES)
        texts = [f"{found['mean']:.4g} [{found['low']:.4g}, {found['high']:.4g}]" for found in sides]
    else:
        title = "Accuracy in %"
        sides = (_cut(targets[f"{side}_accuracy"]) for side in SIDES)
        texts = [" ".join(rate(found["mean"], found["low"], found["high"])) for found in sides]
    return f"{title}: members {texts[0]}, non-members {texts[1]}"


def shown(report: Report) -> dict[str, Any]:
    attacks = [] if report.targets is None else [as_shown(attack) for attack in report.targets["attacks"]]
    rows = [(a["title"], _cut(a["auc"]), {e["fpr"]: _cut(e) for e in a["tpr_at_fpr"]}) for a in attacks]
    return {"over_runs": rows}


def _cut(share: dict[str, Any]) -> dict[str, Any]:
    """With an interval that is shown as far as a share can go; the file keeps it whole."""
    return {**share, "low": max(share["low"], 0.0), "high": min(share["high"], 1.0)}


def other_runs(report: Report) -> str:
    """Say, at the end of a sentence, what is known of other training runs."""
    if report.targets is None:
        return "how the figures would differ for another training run."
    return (
        "how the figures would differ for another training run: for that, the same attacks were made on "
        f"{report.targets['n_targets']} models of the same recipe, trained on parts of the same data."
    )
