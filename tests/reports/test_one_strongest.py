"""One attack is the strongest, whoever says it: page, card, its metadata, terminal, commit, gate and plot."""

from __future__ import annotations

import html
import json

import pytest
import yaml

from hf_privacy.hub import GateError, check_gate, strongest_attack
from hf_privacy.hub.evidence import strongest_of
from hf_privacy.hub.headline import named
from hf_privacy.reports import CardData, PrivacyReport, plan_push, render_card, render_page, roc_figure


def with_p_values(report: PrivacyReport, *, tpr: dict[str, float], auc: dict[str, float]) -> PrivacyReport:
    """The report with these p-values at 1 % and of the AUC, by inputs and attack; 0.9 where none is given."""
    made = report.to_dict()
    evidence = made["evidence"]
    for test in evidence["attacks"]:
        key = f"{test['inputs']} {test['attack']}"
        test["auc"] = auc.get(key, 0.9)
        for entry in test["tpr"]:
            entry["p_value"] = tpr.get(key, 0.9) if entry["fpr"] == 0.01 else 0.9
    attacks = [("clean", attack) for attack in made["attacks"]]
    attacks += [("adversarial", attack) for attack in (made["robustness"] or {}).get("membership_attacks") or []]
    evidence["strongest"] = strongest_of(attacks, evidence["attacks"], level=evidence["level"])
    return PrivacyReport.from_dict(made)


CASES = {
    "an AUC of one attack": ({}, {"clean loss": 0.001}, "clean loss"),
    "a rate of one attack, the AUC of another": ({"clean rmia": 0.001}, {"clean lira": 0.001}, "clean rmia"),
    "adversarial inputs": ({"adversarial lira": 0.001, "clean lira": 0.001}, {}, "adversarial lira"),
    "nothing": ({}, {}, "adversarial lira"),
}


@pytest.mark.parametrize("case", CASES)
def test_everything_names_the_same_attack(robust_report, model_folder, case):
    from hf_privacy.hub import weights_sha256

    tpr, auc, expected = CASES[case]
    robust_report.model["weights_sha256"] = weights_sha256(model_folder)
    report = with_p_values(robust_report, tpr=tpr, auc=auc)
    found = report.evidence["strongest"]
    assert f"{found['inputs']} {found['attack']}" == expected
    name = named(strongest_attack(vars(report)), found["inputs"])
    sentence = report.headline()
    assert name in sentence
    page = html.unescape(render_page(report, roc_png=b"", scores_png=b"")).replace("\u00a0", " ")
    card = render_card(report, CardData())
    assert sentence in page
    assert sentence in card
    assert name in " ".join(report.table().split())
    assert f"({name}) was picked after seeing all of them" in page

    metadata = yaml.safe_load(card.split("---\n")[1])
    arguments = [
        metric.get("args", {}) for result in metadata["model-index"][0]["results"] for metric in result["metrics"]
    ]
    marked = {(args.get("inputs", "clean"), args["attack"]) for args in arguments if args.get("strongest")}
    assert marked == {(found["inputs"], found["attack"])}

    (model_folder / "privacy_report.json").write_text(json.dumps(report.to_dict()))
    (model_folder / "README.md").write_text(card)
    assert plan_push(model_folder, "ann/digits").commit_description.splitlines()[0] == sentence
    with pytest.raises(GateError, match=f"the strongest is {found['attack']}"):
        check_gate(model_folder, max_auc=0.0)


def test_the_bars_of_the_roc_are_of_the_strongest_drawn(report):
    weaker, stronger = report.attacks[0]["name"], report.attacks[1]["name"]
    for order in ([stronger, weaker], [weaker, stronger]):
        axes = roc_figure(report.attacks, report.curves, order=order).axes[0]
        colour = axes.containers[0].lines[0].get_color()
        title = next(attack["title"] for attack in report.attacks if attack["name"] == order[0])
        assert colour == next(line for line in axes.lines if title in line.get_label()).get_color()
