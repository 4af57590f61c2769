"""The membership attacks: figures, with what each interval covers, and how deep the audit was."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult

from hf_privacy.hub.evidence import (
    ADVERSARIAL,
    CLEAN,
    LOW_SCORES,
    all_attacks,
    p_value_of,
    strength_order,
    strongest_attack,
)
from hf_privacy.hub.headline import named
from hf_privacy.reports.model_index import ATTACKED_SPLIT, AUC_METRIC, TPR_METRIC, result
from hf_privacy.reports.report import Report
from hf_privacy.reports.sections.attack_table import as_shown
from hf_privacy.reports.sections.targets import other_runs
from hf_privacy.reports.shapes import AUC, listed, nullable, one_of, record, shape
from hf_privacy.reports.words import area, percent, unit_words

_ENDS = ("low", "high", "conditional_low", "conditional_high")
_RATE = (
    "fpr unit, tpr optional_unit, low optional_unit, high optional_unit, conditional_low optional_unit, "
    "conditional_high optional_unit, reason text"
)
_RESOLVED = {
    "if": {"properties": {"tpr": {"type": "null"}}},
    "then": {"required": ["reason"], "properties": {end: {"type": "null"} for end in _ENDS}},
    "else": {"properties": {end: {"type": "number"} for end in _ENDS}},
}
SHAPES = {
    "tpr_at_fpr": {
        **record(
            _RATE,
            optional="reason",
            description="The true-positive rate at a false-positive rate; low and high cover it at that rate, the "
            "chance in the threshold included, conditional_low and conditional_high take the threshold as given; null "
            "with a reason where too few non-members resolve it.",
        ),
        **_RESOLVED,
    },
    "side": one_of("high", LOW_SCORES),
    "two_sided_rate": {
        **record(
            f"{_RATE}, side side, low_tail unit",
            optional="reason side low_tail",
            description="The larger rate of the highest and of the lowest scores, with the side it is of and the rate "
            "of the lowest; the interval covers the choice.",
        ),
        **_RESOLVED,
    },
    "area": record(AUC, description="Of whole groups, each by the mean score of its examples."),
    "attack": record(
        f"name name, title text, n_references count, parameters free, {AUC}, balanced_accuracy unit, "
        "advantage signed_unit, n_members positive_count, n_nonmembers positive_count, confidence open_unit",
        optional="by_group two_sided",
        queries=listed("text", most=64),
        tpr_at_fpr=listed("tpr_at_fpr", most=64),
        by_group=shape("area"),
        two_sided=record(
            f"side side, {AUC}, balanced_accuracy unit, advantage unit",
            optional="by_group",
            tpr_at_fpr=listed("two_sided_rate", most=64),
            by_group=shape("area"),
            description="The figures from whichever side of the scores tells more, by which an attack on a defended "
            "language model is judged.",
        ),
    ),
}
SHOWN_FIRST = 3  # the strongest; page and card fold the others
FIELDS = {
    "depth": one_of("quick", "full"),
    "references": nullable(record("n_models positive_count, fraction unit, recipe_hash optional_text")),
    "attacks": listed("attack", least=1, most=100),
}


def shown(report: Report) -> dict[str, Any]:
    attacks = shown_attacks(report)
    strongest = [attack["name"] for inputs, attack in strength_order(vars(report)) if inputs == CLEAN][:SHOWN_FIRST]
    first = [attack for name in strongest for attack in attacks if attack["name"] == name]
    fprs = sorted({entry["fpr"] for attack in report.attacks for entry in attack["tpr_at_fpr"]})
    # What the verdict goes by stands first, so that a narrow screen shows it: a rate, or the AUC, which is None.
    columns = sorted([None, *fprs], key=lambda fpr: fpr != report.evidence["strongest"]["fpr"])
    reasons = [entry.get("reason") for attack in attacks for entry in attack["tpr_at_fpr"]]
    return {
        "fprs": fprs,
        "columns": columns,
        "unresolved": [reason for reason in dict.fromkeys(reasons) if reason],
        "attacks": first,
        "more_attacks": [attack for attack in attacks if attack not in first],
        "attack_titles": {attack["name"]: attack["title"] for attack in report.attacks},
    }


def shown_attacks(report: Report) -> list[dict[str, Any]]:
    """Give the attacks as they are read, with what tables call them."""
    return [as_shown(attack) for attack in report.attacks]


def facts(report: Report) -> list[tuple[str, str]]:
    references = report.references
    if references is None:
        rows = [("Reference models", "none")]
    else:
        rows = [
            ("Reference models", f"{references['n_models']}, each on {percent(references['fraction'])} of the data"),
            ("Hash of their recipe", references["recipe_hash"] or "not known"),
        ]
    return [("Depth", report.depth), *rows, ("Made", report.created)]


def meaning(report: Report) -> list[str]:
    sentences = [
        "Each attack plays a game: shown an example, it says whether the model was trained on it. The true-positive "
        "rate (TPR) is the share of training examples it recognises, the false-positive rate (FPR) the share of "
        "other examples it wrongly claims.",
        "AUC is the chance that a training example scores above one that was not trained on; 0.5 is guessing. It "
        "averages over all examples, and the worst of them may leak much more than the average: read the TPR at low "
        "FPR first.",
        f"Brackets are {percent(report.attacks[0]['confidence'])} confidence intervals over the "
        f"{report.split['n_members']:,} members and {report.split['n_nonmembers']:,} non-members audited"
        f"{_by_groups(report)}. Those of the TPR cover it at the stated FPR, the chance in the threshold included: "
        f"few non-members make them wide. None covers {other_runs(report)}",
    ]
    strongest = strongest_attack(vars(report))
    if "by_group" in strongest:
        sentences.append(
            f"Whole groups, each by the mean score of its examples, are told apart with an AUC of "
            f"{area(strongest['by_group'])} by the strongest attack: what an attacker finds who asks for all of a "
            "group at once."
        )
    if "two_sided" in strongest:
        sentences.append(
            "The model is defended, so each attack was read from both sides: a defence can make training examples "
            "score lowest, and whoever knows it calls those. An AUC is the larger of itself and 1 less it, a TPR that "
            "of the tail that finds more; intervals and the test cover the choice of the side."
            + (" The reference models were trained under the same defence." if report.depth == "full" else "")
        )
    if report.references is not None and report.references["recipe_hash"] is None:
        sentences.append(
            f"Full depth: every example is judged against {report.references['n_models']} reference models that did "
            "and did not see it, by their scores in the table; how they were trained is not known."
        )
    elif report.depth == "full" and report.references is not None:
        sentences.append(
            f"Full depth: {report.references['n_models']} reference models were trained with the model's own recipe "
            f"on random parts of the data (each holding {percent(report.references['fraction'])} of it), so that "
            "every example is judged against models that did and did not see it."
        )
    else:
        sentences.append(
            "Quick depth: no reference models were trained. Attacks with reference models usually find more "
            "at low FPR, often several times as much, so low figures here are no sign of safety; run the audit at "
            "full depth before relying on them."
        )
    return sentences


def _by_groups(report: Report) -> str:
    if report.split.get("unit") is None:
        return ""
    return f" (each {unit_words(report.split)}; examples of one group are not counted as independent)"


def limits(report: Report) -> list[str]:
    budget = (
        f"with these {report.references['n_models']} reference models"
        if report.references is not None
        else "without reference models"
    )
    return [
        f"They are a lower bound on leakage, not a guarantee: what these attacks found {budget}. A better attack, or "
        "more reference models, may find more.",
        f"The strongest attack ({named(strongest_attack(vars(report)), report.evidence['strongest']['inputs'])}) was "
        "picked after seeing all of them. Whether it does better than guessing was tested with that choice in mind; "
        "its interval, like every other, is its own and is not widened for it.",
        "They speak of membership alone: nothing about inferring attributes, reconstructing or extracting training "
        "data."
        if report.extraction is None
        else "The attacks speak of membership alone, and extraction of texts that come back word for word: nothing "
        "about inferring attributes or about facts told in other words.",
        f"They hold for {_these_weights(report)} and the audited split: not "
        "for other data the model may have seen, such as the base checkpoint's own, nor for later fine-tunes, "
        "merged or otherwise changed weights.",
    ]


def _these_weights(report: Report) -> str:
    sha256 = report.model["weights_sha256"]
    if sha256 is None:
        return "the model as it was when the table of its scores was made"
    return f"these weights (SHA-256 {sha256[:12]}…)"


def results(report: Report, dataset: dict[str, Any], adversary: dict[str, Any]) -> list[EvalResult]:
    """Give AUC and every resolved TPR of each attack as the Hub lists results, with p-values corrected for all."""
    strongest = report.evidence["strongest"]
    found = []
    for (inputs, attack), test in zip(all_attacks(vars(report)), report.evidence["attacks"], strict=True):
        before = {"attack": attack["name"], "n_references": attack["n_references"]}
        if "two_sided" in attack:
            before["two_sided"] = True
        if inputs == ADVERSARIAL:
            before |= {"inputs": inputs, **adversary}
        if (attack["name"], inputs) == (strongest["attack"], strongest["inputs"]):
            before["strongest"] = True
        title = attack["title"] + (" on adversarial inputs" if inputs == ADVERSARIAL else "")
        figures = [(AUC_METRIC, "AUC", {}, [attack[key] for key in ("auc", "auc_low", "auc_high")])]
        for entry in attack["tpr_at_fpr"]:
            if entry["tpr"] is not None:
                name, at = f"TPR at {100 * entry['fpr']:g} % FPR", {"fpr": entry["fpr"]}
                figures.append((TPR_METRIC, name, at, [entry[key] for key in ("tpr", "low", "high")]))
        for metric, name, at, (value, low, high) in figures:
            p_value = p_value_of(test, at.get("fpr"))
            about = {**before, **at, "low": low, "high": high, "confidence": attack["confidence"]}
            about["corrected_p_value"] = None if p_value is None else float(f"{p_value:.2g}")
            found.append(result(dataset, ATTACKED_SPLIT, metric, f"{title}: {name}", value, **about))
    return found
