"""The figures of a report in plain sentences: what they mean, and what they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hf_privacy.reports.titles import epsilon_text, norm_title, short_title

if TYPE_CHECKING:
    from hf_privacy.reports.report import PrivacyReport

HEADLINE_FPRS = (0.01, 0.1)  # 10 % where there are too few non-members to resolve 1 %


def percent(share: float) -> str:
    """Write a share in [0, 1] as a percentage with no more digits than a reader can use.

    Examples
    --------
    >>> percent(0.3312), percent(0.0123), percent(0.01), percent(0.00021), percent(0.0), percent(1.0)
    ('33 %', '1.2 %', '1 %', '0.02 %', '0 %', '100 %')
    >>> percent(0.99999), percent(0.00000001)
    ('>99.9 %', '<0.01 %')
    """
    value = 100 * share
    if 0 < value < 0.01:
        return "<0.01 %"
    if 99.95 <= value < 100:
        return ">99.9 %"
    decimals = 0 if 10 <= value < 99 else 1 if value >= 1 else 2
    text = f"{value:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


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


def tpr_at(attack: dict[str, Any], *, fpr: float) -> dict[str, Any] | None:
    """Give an attack's entry for one false-positive rate, or None where it was not measured or not resolvable."""
    for entry in attack["tpr_at_fpr"]:
        if abs(entry["fpr"] - fpr) < 1e-12 and entry["tpr"] is not None:
            return entry
    return None


def strongest_attack(attacks: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], float | None]:
    """Find the attack that recognises most members at 1 % false positives.

    Where no attack resolves 1 % (fewer than 99 non-members), 10 % decides; where that fails too, the AUC.

    Parameters
    ----------
    attacks : sequence of dict
        The report's ``attacks``, at least one.

    Returns
    -------
    attack : dict
    fpr : float or None
        The false-positive rate that decided, None for the AUC.
    """
    for fpr in HEADLINE_FPRS:
        resolved = [(entry["tpr"], attack["auc"], attack) for attack in attacks if (entry := tpr_at(attack, fpr=fpr))]
        if resolved:
            return max(resolved, key=lambda found: found[:2])[2], fpr
    return max(attacks, key=lambda attack: attack["auc"]), None


def headline(attacks: Sequence[dict[str, Any]]) -> str:
    """Say in one sentence what the strongest attack achieved.

    Examples
    --------
    >>> entry = {"fpr": 0.01, "tpr": 0.33, "low": 0.30, "high": 0.36}
    >>> print(headline([{"title": "LiRA (online)", "n_references": 16, "auc": 0.71, "tpr_at_fpr": [entry]}]))
    At 1 % false positives the strongest attack tried (LiRA online, 16 reference models) recognises 33 % [30 %, 36 %]
    of the training examples; guessing would find 1 %.
    """
    attack, fpr = strongest_attack(attacks)
    who = f"the strongest attack tried ({_named(attack)})"
    if fpr is None:
        interval = f"{attack['auc']:.2f} [{attack['auc_low']:.2f}, {attack['auc_high']:.2f}]"
        return (
            f"By AUC {who} reaches {interval}, where guessing reaches 0.50; there are too few non-members to say "
            "what it recognises at few false positives."
        )
    entry = tpr_at(attack, fpr=fpr)
    assert entry is not None
    found = f"{percent(entry['tpr'])} [{percent(entry['low'])}, {percent(entry['high'])}]"
    said = f"At {percent(fpr)} false positives {who} recognises {found} of the training examples"
    if entry["low"] <= fpr:
        return f"{said}, which cannot be told from guessing ({percent(fpr)})."
    return f"{said}; guessing would find {percent(fpr)}."


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
    carried = f"The {percent(first['top'])} most memorized examples carry {percent(first['share'])} {whose}"
    more = "".join(f", the {percent(entry['top'])} most memorized {percent(entry['share'])}" for entry in others)
    even = " and ".join(percent(entry["top"]) for entry in shares)
    return f"{carried}{more}; were leakage spread evenly, they would carry {even}."


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
            "than those to clean ones."
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
        "The strongest attack was picked after seeing all of them; its interval is not widened for that choice.",
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


def _named(attack: dict[str, Any]) -> str:
    title = attack["title"].replace(" (", " ").replace(")", "")
    count = attack["n_references"]
    models = "no reference models" if not count else "1 reference model" if count == 1 else f"{count} reference models"
    return f"{title}, {models}"
