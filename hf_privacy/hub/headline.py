"""The sentences that page, card, terminal and commit begin with: what the audit shows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hf_privacy.attack_table import compares_with_base
from hf_privacy.hub.evidence import ADVERSARIAL, LOW_SCORES, all_attacks, as_read, strongest_attack, tpr_at


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


def headline(report: Mapping[str, Any]) -> str:
    """Say what the audit shows of leakage, in the words of the strongest attack and of whatever else shows any.

    An attack is said to do better than guessing only where that holds for the best of all attacks looked at: at the
    report's ``evidence``. Where no attack does, that is all that is said, with the upper ends, and every other figure
    of the report that points the other way is named.

    Parameters
    ----------
    report : mapping
        The report as `validate_report` takes it.

    Returns
    -------
    str
        One sentence or several.
    """
    evidence = report["evidence"]
    shown = evidence["strongest"]["p_value"] <= evidence["level"]
    sentences = list(_shown(report) if shown else _not_shown(report))
    sentences.extend(_bounds(report))
    if not shown:
        sentences.extend(_hints(report))
    if report["depth"] == "quick":
        sentences.append(_without_references(report, shown=shown))
    return " ".join(sentences)


def _without_references(report: Mapping[str, Any], *, shown: bool) -> str:
    """Say what a quick audit leaves open: of a language model, whose loss of a text says little by itself, most of it.

    arXiv 2502.19726, table 1: fine-tunes at an AUC of 0.5 to 0.6 without a reference and above 0.85 with one.
    """
    if report["dataset"].get("tokens") is None:
        return "No reference models were used; attacks with them usually find more."
    if any(compares_with_base(attack["name"]) for attack in report["attacks"]):
        return (
            "The only reference is the base checkpoint: attacks with it see how much training changed the loss of a "
            "row, and not whether it would have changed as much had that row been left out. No reference models were "
            "used; attacks with them usually find more."
        )
    if shown:
        return (
            "Neither reference models nor the base checkpoint were there to compare with; attacks with them usually "
            "find far more in language models."
        )
    return (
        "Neither reference models nor the base checkpoint were there to compare with, and without a reference attacks "
        "usually find little even in language models that leak: an audit without a reference is a null result, not a "
        "clean bill."
    )


def evidence_sentence(report: Mapping[str, Any]) -> str:
    """Say how the claim about the strongest attack was tested."""
    evidence = report["evidence"]
    what = "AUC" if evidence["strongest"]["fpr"] is None else f"TPR at {percent(evidence['strongest']['fpr'])} FPR"
    who = named(strongest_attack(report), evidence["strongest"]["inputs"])
    return (
        f"The strongest was picked from {_attacks(evidence['n_attacks'])} and tested together with them, by AUC and "
        f"every resolved TPR: {who}, {what}, has {_p_words(evidence)} ({evidence['n_permutations']:,} permutations of "
        "the membership, the most extreme of all figures in each). Better than guessing is said where p ≤ "
        f"{evidence['level']:.3g}."
    )


def named(attack: Mapping[str, Any], inputs: str = "clean") -> str:
    """Name an attack, the number of its reference models and its inputs, where these are adversarial.

    Examples
    --------
    >>> named({"title": "LiRA (online)", "n_references": 16})
    'LiRA online, 16 reference models'
    """
    title = attack["title"].replace(" (", " ").replace(")", "")
    count = attack["n_references"]
    models = "no reference models" if not count else "1 reference model" if count == 1 else f"{count} reference models"
    side = ", by the lowest scores" if attack.get("side") == LOW_SCORES else ""
    return f"{title}, {models}{', on adversarial inputs' if inputs == ADVERSARIAL else ''}{side}"


def _p_words(evidence: Mapping[str, Any]) -> str:
    p_value, smallest = evidence["strongest"]["p_value"], 1 / (evidence["n_permutations"] + 1)
    if p_value <= smallest * (1 + 1e-9):  # no permutation came near
        return f"p < {2 * smallest:.1g}"
    return f"p = {p_value:.2g}"


def _attacks(count: int) -> str:
    return f"{count} attack{'s' * (count != 1)}"


def _shown(report: Mapping[str, Any]) -> Iterator[str]:
    """What the strongest attack does, and the largest AUC beside it."""
    evidence = report["evidence"]
    found, strongest = evidence["strongest"], strongest_attack(report)
    who = f"the strongest attack tried ({named(strongest, found['inputs'])})"
    if found["fpr"] is None:
        rates = {entry["fpr"] for test in evidence["attacks"] for entry in test["tpr"]}
        rest = (
            f"that any attack does better than guessing at {percent(max(rates))} false positives or fewer is not shown"
            if rates
            else "there are too few non-members to say what it recognises at few false positives"
        )
        yield f"By AUC {who} reaches {_area(strongest)}, where guessing reaches 0.50; {rest}."
        return
    rate = f"{percent(found['value'])} [{percent(found['low'])}, {percent(found['high'])}]"
    yield (
        f"At {percent(found['fpr'])} false positives {who} recognises {rate} of the training examples; guessing would "
        f"find {percent(found['fpr'])}."
    )
    if found["low"] <= found["fpr"]:
        yield (
            f"That it finds more than guessing is shown ({_p_words(evidence)}); how much more, the interval leaves "
            "open."
        )
    by_area = [
        (attack["auc"], attack, inputs)
        for (inputs, attack), test in zip(all_attacks(report), evidence["attacks"], strict=True)
        if test["auc"] <= evidence["level"]
    ]
    if by_area:
        _, attack, inputs = max(by_area, key=lambda entry: entry[0])
        is_strongest = (attack["name"], inputs) == (found["attack"], found["inputs"])
        whose = "Its AUC" if is_strongest else f"The largest AUC ({named(attack, inputs)})"
        yield f"{whose} is {_area(attack)}; that of guessing is 0.50."


def _not_shown(report: Mapping[str, Any]) -> Iterator[str]:
    """That nothing could be shown, how far the figures reach, and whose interval alone would say otherwise."""
    evidence, attacks = report["evidence"], [attack for _, attack in all_attacks(report)]
    found = evidence["strongest"]
    smallest = min(p for test in evidence["attacks"] for p in (test["auc"], *(e["p_value"] for e in test["tpr"])))
    ends = [f"an AUC of {max(attack['auc_high'] for attack in attacks):.2f} (guessing: 0.50)"]
    if found["fpr"] is not None:
        highs = [entry["high"] for attack in attacks if (entry := tpr_at(attack, fpr=found["fpr"]))]
        rate = percent(found["fpr"])
        ends.append(f"{percent(max(highs))} of the training examples at {rate} false positives (guessing: {rate})")
    yield (
        f"This audit could not show that any of {_attacks(len(attacks))} tried does better than guessing "
        f"(smallest p = {smallest:.2g}, corrected for looking at all; the strongest is "
        f"{named(strongest_attack(report), found['inputs'])}); the intervals reach up to {' and '.join(ends)}."
    )
    alone = [
        (inputs, attack)
        for inputs, attack in all_attacks(report)
        if attack["auc_low"] > 0.5 or any(e["tpr"] is not None and e["low"] > e["fpr"] for e in attack["tpr_at_fpr"])
    ]
    if alone:
        yield (
            f"Taken alone, an interval of {_listed([named(attack, inputs) for inputs, attack in alone])} lies above "
            "guessing; as one of so many looked at, that may be chance."
        )


def _bounds(report: Mapping[str, Any]) -> Iterator[str]:
    """What does not come from the attacks' table and stands by itself, each at its own confidence."""
    lower, canaries = report["epsilon"]["lower"], report.get("canaries")
    if lower is not None and lower["epsilon"] > 0:
        whose = "Canaries in a second model of the recipe" if canaries else "The attacks"
        yield (
            f"{whose} show that ε is at least {lower['epsilon']:.3g} at δ = {lower['delta']:.3g} "
            f"({percent(lower['confidence'])} confidence)."
        )
    elif canaries is not None and canaries["auc_low"] > 0.5:
        yield (
            f"Canaries in a second model of the recipe can be told from those left out (AUC {_area(canaries)}; "
            "guessing: 0.50), though no ε above 0 is shown."
        )
    forgotten = (report["unlearning"] or {}).get("u_lira")
    if forgotten is not None and forgotten["auc_low"] > 0.5:
        yield (
            f"What was to be forgotten can still be told from what was never seen (U-LiRA, AUC {_area(forgotten)}; "
            "guessing: 0.50)."
        )
    blind = report.get("blind_baseline")
    if blind is not None and blind["differs"]:
        yield (
            f"Members and non-members differ even without the model (AUC {_area(blind)} by {blind_inputs(blind)}), "
            "which the attacks' figures may hold."
        )


def blind_inputs(blind: Mapping[str, Any]) -> str:
    """Say what a blind baseline saw.

    Examples
    --------
    >>> blind_inputs({"base_loss": True})
    "the texts and the base model's loss of them"
    """
    return "the texts and the base model's loss of them" if blind.get("base_loss") else "the inputs alone"


def _hints(report: Mapping[str, Any]) -> Iterator[str]:
    """Figures that lie above guessing though no attack was shown to: each named as what it is."""
    utility = report["utility"]
    members, others = utility.get("member_perplexity"), utility.get("nonmember_perplexity")
    if members is not None and members["high"] < others["low"]:
        yield (
            f"The model's perplexity is {members['value']:.4g} on the training examples and {others['value']:.4g} on "
            "others, which tells some of them apart."
        )
    gaps: list[tuple[str, Any, Any]] = []
    if "member_accuracy" in utility:  # a table that scores the true class alone tells none
        gaps = [("right", utility["member_accuracy"], utility["nonmember_accuracy"])]
    robustness = report["robustness"] or {"accuracies": []}
    for name in dict.fromkeys(entry["name"] for entry in robustness["accuracies"]):
        sides = {entry["set"]: entry for entry in robustness["accuracies"] if entry["name"] == name}
        if len(sides) == 2 and name != "clean":
            gaps.append((f"right under {sides['members']['title']}", sides["members"], sides["nonmembers"]))
    for how, members, others in gaps:
        if members["low"] > others["high"]:
            yield (
                f"The model is {how} on {percent(members['value'])} of the training examples and on "
                f"{percent(others['value'])} of others, which tells some of them apart."
            )
    for what, intervals in _families(report):
        above = sum(low > guess for low, guess in intervals)
        if above:
            chance = len(intervals) * (1 - report["attacks"][0]["confidence"]) / 2
            yield (
                f"Of {len(intervals)} intervals {what}, each by itself, {above} {'lie' if above > 1 else 'lies'} "
                f"above guessing, where about {chance:.2g} would by chance."
            )


def _families(report: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Low ends and what guessing reaches, of the figures over training runs, by class and by memorization."""
    targets = report.get("targets")
    if targets is not None:
        attacks = [as_read(attack) for attack in targets["attacks"]]
        areas = [(attack["auc"]["low"], 0.5) for attack in attacks]
        rates = [(entry["low"], entry["fpr"]) for attack in attacks for entry in attack["tpr_at_fpr"]]
        yield f"over {targets['n_targets']} training runs", areas + rates
    for name, what in (("class_slices", "within classes"), ("memorization_bins", "by memorization")):
        yield what, [(entry["auc_low"], 0.5) for entry in report.get(name) or []]


def _area(figures: Mapping[str, Any]) -> str:
    return f"{figures['auc']:.2f} [{figures['auc_low']:.2f}, {figures['auc_high']:.2f}]"


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} others"]
    return shown[0] if len(shown) == 1 else f"{'; '.join(shown[:-1])} and {shown[-1]}"
