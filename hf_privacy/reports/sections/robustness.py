"""Accuracy on adversarial inputs, and membership attacks on them."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult

from hf_privacy.reports.model_index import HELD_OUT_SPLIT, ROBUST_METRIC, result
from hf_privacy.reports.report import Report
from hf_privacy.reports.sections.attack_table import attack_table
from hf_privacy.reports.sections.memorization import RANGE, SETS
from hf_privacy.reports.shapes import ESTIMATE, MEAN, listed, nullable, one_of, record
from hf_privacy.reports.titles import attack_words, epsilon_text, norm_title
from hf_privacy.reports.words import duration, value_text

SHAPES = {"set": one_of(*SETS)}
_ACCURACY = f"name name, set set, {ESTIMATE}, n_examples positive_count"
_OVER_TARGETS = listed(record(f"name name, set set, {MEAN}", optional="values"), most=64)
FIELDS = {
    "robustness": nullable(
        record(
            "epsilon amount, n_steps count, step_size optional_amount, seconds optional_amount",
            norm=one_of("linf", "l2"),
            space=one_of("pixels", "features", "embeddings"),
            accuracies=listed(record(f"title text, {_ACCURACY}"), least=1, most=64),
            targets=nullable(
                record("n_targets several", accuracies=_OVER_TARGETS),
                "The same on several targets of one recipe: means and intervals over training runs.",
            ),
            membership_attacks=nullable(listed("attack", most=100), "Membership attacks on adversarial inputs."),
            memorization_bins=nullable(listed(record(f"{RANGE}, {_ACCURACY}"), most=1000)),
            description="epsilon and step_size are in units of the space: pixels of 0 to 1, features, or embeddings.",
        ),
        "Accuracy on adversarial inputs, and membership attacks on them.",
    )
}


def lines(report: Report) -> str | None:
    attacks = (report.robustness or {}).get("membership_attacks")
    return f"Membership attacks on adversarial inputs\n{attack_table(attacks)}" if attacks else None


def shown(report: Report) -> dict[str, Any]:
    robustness = report.robustness
    return {
        "adversary": None if robustness is None else attack_words(robustness),
        "accuracy_titles": {} if robustness is None else {e["name"]: e["title"] for e in robustness["accuracies"]},
    }


def facts(report: Report) -> list[tuple[str, str]]:
    robustness = report.robustness
    if robustness is None:
        return []
    return [
        ("Norm, space", f"{norm_title(robustness['norm'])}, {robustness['space']}"),
        ("ε, step size", f"{epsilon_text(robustness)}, {value_text(robustness['step_size'])}"),
        ("PGD steps", value_text(robustness["n_steps"])),
        ("Time", duration(robustness["seconds"])),
    ]


def meaning(report: Report) -> list[str]:
    robustness = report.robustness
    if robustness is None:
        return []
    titles = list(dict.fromkeys(entry["title"] for entry in robustness["accuracies"] if entry["name"] != "clean"))
    budget = f"{norm_title(robustness['norm'])} norm, ε = {epsilon_text(robustness)}, in {robustness['space']}"
    sentences = [
        f"Robust accuracy is the share of examples still classified right after each was changed, by at most ε "
        f"({budget}), so as to be misclassified. It is an upper bound: what these attacks ({', '.join(titles)}) could "
        "not break. A stronger attack can only lower it."
    ]
    if not any(entry["name"] == "autoattack" for entry in robustness["accuracies"]):
        sentences.append(
            "AutoAttack was not run: against defences that hide gradients, PGD alone has often shown robustness that "
            "was not there."
        )
    if robustness["membership_attacks"]:
        sentences.append(
            "The membership attacks on adversarial inputs ask the same question of the same examples, after each "
            "model was attacked on them: after adversarial training the answers to such inputs can tell more "
            "than those to clean ones. They count among the attacks that the headline chooses from."
        )
    return sentences


def limits(report: Report) -> list[str]:
    if report.robustness is None:
        return []
    return [
        f"Robust accuracy speaks of changes within its ε and the {norm_title(report.robustness['norm'])} norm alone, "
        "not of larger or other changes, and certifies nothing."
    ]


def adversary_words(report: Report) -> dict[str, Any]:
    """Give norm, size and steps of the adversarial attack, for the Hub's list of results."""
    return (
        {} if report.robustness is None else {name: report.robustness[name] for name in ("norm", "epsilon", "n_steps")}
    )


def results(report: Report, dataset: dict[str, Any]) -> list[EvalResult]:
    """Give each robust accuracy on held-out examples as the Hub lists results."""
    robustness = report.robustness
    if robustness is None:
        return []
    size = f"{norm_title(robustness['norm'])}, ε = {epsilon_text(robustness)}"
    found = []
    for entry in robustness["accuracies"]:
        if entry["set"] != "nonmembers" or entry["name"] == "clean":
            continue
        adversary = adversary_words(report)
        if entry["name"] != "pgd":
            del adversary["n_steps"]
        title = f"Robust accuracy ({entry['title']}, {size})"
        adversary |= {"space": robustness["space"], "n_examples": entry["n_examples"]}
        ends = {"low": entry["low"], "high": entry["high"]}
        about = {"attack": entry["name"], **adversary, **ends}
        found.append(result(dataset, HELD_OUT_SPLIT, ROBUST_METRIC, title, entry["value"], **about))
    return found
