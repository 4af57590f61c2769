"""What attacks find of the training records: rows of comparisons, and of single audited runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_privacy.attack_table import is_control
from hf_privacy.comparison.board.beside import beside
from hf_privacy.hub.evidence import as_read, tpr_at
from hf_privacy.reports.titles import short_title
from hf_privacy.statistics import t_interval

USUAL_ATTACKS, USUAL_FPR = ("lira", "rmia", "loss"), 0.01
# What makes a row a control of another: the value of a defence's key, or of weight rewinding's.
_CONTROLS = {"drop": "random"}
_REWOUND_CONTROLS = {"score": "random", "edit": "zero", "train": "top"}


def compared_rows(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the rows of a comparison's table.

    Yields
    ------
    dict
        One a defence and attack: those asked for, the strongest, and controls. ``tpr`` at ``fpr``, ``auc``, and
        ``worth`` with its ``measure``, each with ``mean``, ``low`` and ``high`` (and ``side`` where it was read from
        both); ``cost`` against the undefended row, a paired difference: points of accuracy lost, or perplexity added;
        ``epsilon`` where it is guaranteed; ``references``.
    """
    measure = table.get("worth", "accuracy")
    by_targets = table.get("over") == "targets"
    over = f"{table['n_targets']} targets" if by_targets else f"{len(table['seeds'])} seeds"
    undefended = next((row for row in table["rows"] if _is_undefended(row)), None)
    for row in table["rows"]:
        strongest = row["strongest"]["name"]
        base = undefended if row is not undefended else None
        common = {
            "study": table["name"] or "comparison",
            "data": table["dataset"]["name"],
            "model": table["model"],
            "unit": table["split"].get("unit") or "row",
            "title": row["title"],
            "mark": _mark(row),
            "outputs": row["outputs"],
            "epsilon": row["epsilon"],
            "worth": {"measure": measure, **_ends(row[measure])},
            "cost": None if base is None else _cost(row[measure], base[measure], measure, table["confidence"]),
            "references": table["references"],
            "seconds": None,
            "over": over,
            "confidence": table["confidence"],
        }
        for name, attack in row["attacks"].items():
            if name in (*table["attacks"], strongest) or is_control(name):
                read = as_read(attack)
                yield {
                    **common,
                    **_attack(name, attack["title"], strongest),
                    "fpr": table["fpr"],
                    "tpr": _ends(read["tpr"]),
                    "auc": _ends(read["auc"]),
                }


def audited_rows(report: dict[str, Any], *, study: str, path: Path) -> Iterator[dict[str, Any]]:
    """Give the rows of a privacy report, or of the part of one that a recipe keeps as its result.

    Figures are means over the audit's targets where it has several, else the one model's with intervals over its
    examples, or whole groups.

    Yields
    ------
    dict
        As `compared_rows`; ``cost`` is None, since nothing stands beside it, and ``seconds`` what training, reference
        models and attacks took.
    """
    targets, split = report.get("targets"), report["split"]
    found = [_over_targets(attack) for attack in targets["attacks"]] if targets else []
    means = {attack["name"]: attack for attack in found}
    attacks = [means.get(attack["name"]) or _of_one(attack, split) for attack in report["attacks"]]
    strongest = _strongest(found or attacks)
    measure = "perplexity" if "nonmember_perplexity" in report["utility"] else "accuracy"
    model = report["model"]["architecture"] if "model" in report else beside(path).model
    title = _title(report)
    for attack in attacks:
        if attack["name"] not in (*USUAL_ATTACKS, strongest) and not is_control(attack["name"]):
            continue
        of_targets = attack["name"] in means
        worth = (targets if of_targets else report["utility"])[f"nonmember_{measure}"]
        yield {
            "study": study,
            "data": report["dataset"]["name"],
            "model": model,
            "unit": split.get("unit") or "row",
            "title": title,
            "mark": title if title == "undefended" else None,
            "outputs": "plain",
            "epsilon": (report.get("epsilon") or {}).get("upper"),
            "worth": {"measure": measure, **_ends(worth)},
            "cost": None,
            "references": (report.get("references") or {"n_models": 0})["n_models"],
            "seconds": sum(value for name, value in report["cost"].items() if name.endswith("_seconds") and value),
            "over": f"{targets['n_targets']} targets" if of_targets else attack["over"],
            "confidence": (targets or report["attacks"][0]).get("confidence", 0.95),
            **_attack(attack["name"], attack["title"], strongest),
            "fpr": USUAL_FPR,
            "tpr": attack["tpr"],
            "auc": attack["auc"],
        }


def _over_targets(attack: dict[str, Any]) -> dict[str, Any]:
    read = as_read(attack)
    rate = next((entry for entry in read["tpr_at_fpr"] if math.isclose(entry["fpr"], USUAL_FPR)), None)
    return {"name": attack["name"], "title": attack["title"], "auc": _ends(read["auc"]), "tpr": _ends(rate)}


def _of_one(attack: dict[str, Any], split: dict[str, Any]) -> dict[str, Any]:
    read = as_read(attack)
    rate = tpr_at(read, fpr=USUAL_FPR)
    side = {"side": read["side"]} if "side" in read else {}
    return {
        "name": attack["name"],
        "title": attack["title"],
        "auc": {"mean": read["auc"], "low": read["auc_low"], "high": read["auc_high"], **side},
        "tpr": None if rate is None else {"mean": rate["tpr"], "low": rate["low"], "high": rate["high"]},
        "over": "one model's groups" if split.get("unit") else "one model's examples",
    }


def _attack(name: str, title: str, strongest: str) -> dict[str, Any]:
    return {
        "attack": name,
        "attack_title": short_title(name, [{"name": name, "title": title}]),
        "attack_control": is_control(name),
        "strongest": name == strongest,
    }


def _strongest(attacks: list[dict[str, Any]]) -> str:
    """As a comparison has it: the largest mean TPR, or AUC where no TPR is resolved; no control."""
    tried = [attack for attack in attacks if not is_control(attack["name"])]
    measure = "tpr" if any(attack["tpr"] for attack in tried) else "auc"
    return max((attack for attack in tried if attack[measure]), key=lambda attack: attack[measure]["mean"])["name"]


def _title(report: dict[str, Any]) -> str:
    name = (report.get("defense") or {"name": "none"})["name"]
    title = "undefended" if name == "none" else name
    unlearned = report.get("unlearning")
    return title if unlearned is None else f"{title}, unlearned by {unlearned['method']['name']}"


def _is_undefended(row: dict[str, Any]) -> bool:
    return row["defense"] == "none" and row["critical_weight_rewind"] is None and row["outputs"] == "plain"


def _mark(row: dict[str, Any]) -> str | None:
    given, rewound = row["parameters"], row["critical_weight_rewind"] or {}
    if (
        given.get("control") is not None
        or any(given.get(key) == value for key, value in _CONTROLS.items())
        or any(rewound.get(key) == value for key, value in _REWOUND_CONTROLS.items())
    ):
        return "control"
    return "undefended" if _is_undefended(row) else None


def _ends(figure: dict[str, Any] | None) -> dict[str, Any] | None:
    """Mean and ends of a figure, and the side it was read from."""
    if figure is None:
        return None
    mean = figure["mean"] if "mean" in figure else figure["value"]
    ends = {"mean": mean, "low": figure["low"], "high": figure["high"]}
    return {**ends, "side": figure["side"]} if "side" in figure else ends


def _cost(
    mine: dict[str, Any], undefended: dict[str, Any], measure: str, confidence: float
) -> dict[str, float | None] | None:
    """What users lose, target by target where both sides have the single values, else without an interval."""
    sign, reach = (-1.0, 1.0) if measure == "accuracy" else (1.0, math.inf)
    ours, theirs = mine.get("values"), undefended.get("values")
    if ours and theirs and len(ours) == len(theirs):
        lost = [sign * (a - b) for a, b in zip(ours, theirs, strict=True)]
        low, high = t_interval(lost, within=(-reach, reach), confidence=confidence)
        return {"mean": sum(lost) / len(lost), "low": low, "high": high}
    return {"mean": sign * (mine["mean"] - undefended["mean"]), "low": None, "high": None}
