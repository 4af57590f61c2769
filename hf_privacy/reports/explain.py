"""The figures of a report in plain sentences: what they mean, and what they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hf_privacy.hub.evidence import p_value_of, strongest_attack
from hf_privacy.hub.headline import named, percent
from hf_privacy.reports.titles import epsilon_text, norm_title, short_title

if TYPE_CHECKING:
    from hf_privacy.reports.report import PrivacyReport


def rate(value: float, low: float, high: float) -> tuple[str, str]:
    """Write a rate for a table, in percent without the sign, and its confidence interval with the same digits.

    Examples
    --------
    >>> rate(0.3312, 0.301, 0.36), rate(0.003, 0.0006, 0.0087), rate(1.0, 0.997, 1.0)
    (('33.1', '[30.1, 36.0]'), ('0.30', '[0.06, 0.87]'), ('100', '[99.7, 100]'))
    """
    decimals = 2 if value < 0.00995 else 1
    texts = ["100" if share == 1 else f"{100 * share:.{decimals}f}" for share in (value, low, high)]
    return texts[0], f"[{texts[1]}, {texts[2]}]"


def what_it_means(report: PrivacyReport) -> list[str]:
    """Say, one sentence or two each, how to read the report's figures."""
    sentences = [
        "Each attack plays a game: shown an example, it says whether the model was trained on it. The true-positive "
        "rate (TPR) is the share of training examples it recognises, the false-positive rate (FPR) the share of "
        "other examples it wrongly claims.",
        "AUC is the chance that a training example scores above one that was not trained on; 0.5 is guessing. It "
        "averages over all examples, and the worst of them may leak much more than the average: read the TPR at low "
        "FPR first.",
        f"Brackets are {percent(report.attacks[0]['confidence'])} confidence intervals over the "
        f"{report.split['n_members']:,} members and {report.split['n_nonmembers']:,} non-members audited. Those of "
        "the TPR cover it at the stated FPR, the chance in the threshold included: few non-members make them wide. "
        f"None covers {_other_runs(report)}",
    ]
    if report.depth == "full" and report.references is not None:
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
    upper = report.epsilon["upper"]
    if upper is not None:
        sentences.append(
            f"The training gives differential privacy with ε = {upper['epsilon']:.3g} at δ = {upper['delta']:.3g} "
            f"({upper['accountant']}, {upper['sampler']} sampling): a guarantee against every attack, if the "
            "implementation is right."
        )
    lower = report.epsilon["lower"]
    if report.canaries is not None:
        sentences.append(_canaries(report.canaries))
    elif lower is not None:
        sentences.append(
            f"The attacks show, at {percent(lower['confidence'])} confidence, that ε is at least "
            f"{lower['epsilon']:.3g} at δ = {lower['delta']:.3g} ({lower['method']})."
        )
    if report.robustness is not None:
        sentences.extend(_robustness(report.robustness))
    if report.leakage_share is not None:
        sentences.append(leakage_sentence(report))
    return sentences


def leakage_sentence(report: PrivacyReport) -> str:
    """Say how much of the leakage the most memorized examples carry, beside what they would if it were spread evenly.

    Parameters
    ----------
    report : PrivacyReport
        With a ``leakage_share``.

    Returns
    -------
    str
    """
    found = report.leakage_share
    assert found is not None
    whose = f"of the true positives of {short_title(found['attack'], report.attacks)} at {percent(found['fpr'])} FPR"
    shares = [entry for entry in found["shares"] if entry["share"] is not None]
    if not shares:
        return f"There are none {whose}, so no share of the leakage falls to the most memorized examples."
    first, *others = shares
    carried = f"The {percent(first['top'])} most memorized examples carry {_share(first)} {whose}"
    more = "".join(f", the {percent(entry['top'])} most memorized {_share(entry)}" for entry in others)
    even = " and ".join(percent(entry["top"]) for entry in shares)
    said = f"{carried}{more}; were leakage spread evenly, they would carry {even}."
    if all(entry["low"] <= entry["top"] for entry in shares):
        said += " That they carry more than that was not shown."
    test = next(
        test for test in report.evidence["attacks"] if (test["attack"], test["inputs"]) == (found["attack"], "clean")
    )
    if (p_value_of(test, found["fpr"]) or 1.0) > report.evidence["level"]:
        said += " That these hits are more than chance would find was not shown, so neither is what they carry."
    return said


def _share(entry: dict[str, Any]) -> str:
    return f"{percent(entry['share'])} [{percent(entry['low'])}, {percent(entry['high'])}]"


def _robustness(robustness: dict[str, Any]) -> list[str]:
    """What robust accuracy is, how far it can be trusted, and what attacks on adversarial inputs are."""
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


def _canaries(canaries: dict[str, Any]) -> str:
    """What the canary audit did, found, and speaks of."""
    what = {
        "mislabelled": "examples from outside the training set with a wrong label",
        "random": "made-up examples with a random label",
    }[canaries["kind"]]
    confidence, delta = percent(canaries["confidence"]), f"δ = {canaries['delta']:.3g}"
    found = (
        f"Recognising them shows, at {confidence} confidence, that ε is at least {canaries['one_run']:.3g} at {delta}"
        if canaries["one_run"] > 0
        else f"Recognising them shows no ε above 0 at {delta} ({confidence} confidence), which proves nothing"
    )
    return (
        f"A second model was trained with the same recipe on the members and {canaries['n_inserted']:,} of "
        f"{canaries['n_canaries']:,} canaries ({what}), each put in by a fair coin. {found}. This speaks of the "
        "training recipe on these data, not of this checkpoint, which never saw a canary."
    )


def what_it_does_not_mean(report: PrivacyReport) -> list[str]:
    """Say, one sentence or two each, what must not be concluded from the report's figures."""
    budget = (
        f"with these {report.references['n_models']} reference models"
        if report.references is not None
        else "without reference models"
    )
    sentences = [
        f"They are a lower bound on leakage, not a guarantee: what these attacks found {budget}. A better attack, or "
        "more reference models, may find more.",
        f"The strongest attack ({named(strongest_attack(vars(report)), report.evidence['strongest']['inputs'])}) was "
        "picked after seeing all of them. Whether it does better than guessing was tested with that choice in mind; "
        "its interval, like every other, is its own and is not widened for it.",
        "They speak of membership alone: nothing about inferring attributes, reconstructing or extracting training "
        "data.",
        f"They hold for these weights (SHA-256 {report.model['weights_sha256'][:12]}…) and the audited split: not "
        "for other data the model may have seen, such as the base checkpoint's own, nor for later fine-tunes, "
        "merged or otherwise changed weights.",
    ]
    if report.epsilon["upper"] is None:
        sentences.append("No differential-privacy guarantee (upper bound on ε) comes with this model.")
    if report.robustness is not None:
        sentences.append(
            f"Robust accuracy speaks of changes within its ε and the {norm_title(report.robustness['norm'])} norm "
            "alone, not of larger or other changes, and certifies nothing."
        )
    return sentences


def _other_runs(report: PrivacyReport) -> str:
    if report.targets is None:
        return "how the figures would differ for another training run."
    return (
        "how the figures would differ for another training run: for that, the same attacks were made on "
        f"{report.targets['n_targets']} models of the same recipe, trained on parts of the same data."
    )
