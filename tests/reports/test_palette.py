"""One look for each attack, the same in every plot."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

from hf_privacy.attack_table import ATTACKS
from hf_privacy.reports import roc_figure
from hf_privacy.reports.palette import COLOURS, attack_looks, input_looks
from hf_privacy.reports.sections.budgets import budgets_figure
from hf_privacy.reports.sections.memorization import memorization_table
from hf_privacy.reports.sections.memorization_plot import memorization_figure

# Of tokens in place of features: never beside the other.
ONE_REPORT = [name for name in ATTACKS if name != "token_quantile_regression"]
VARIANCES = [f"lira_{kind}{form}" for kind in ("shrunk", "per_example", "global") for form in ("", "_offline")]


@pytest.mark.parametrize("seen", [("color", "linestyle"), ("linestyle", "marker")], ids=["in colour", "in grey"])
def test_no_two_attacks_of_a_report_are_alike(seen):
    looks = attack_looks([*ONE_REPORT, *VARIANCES]).values()
    assert len({tuple(look[key] for key in seen) for look in looks}) == len(ONE_REPORT) + len(VARIANCES)
    assert {look["color"] for look in looks} == set(COLOURS)


def test_an_attack_looks_the_same_beside_any_other():
    alone = {name: attack_looks([name])[name] for name in ATTACKS}
    assert attack_looks(ONE_REPORT[::-1]) == {name: alone[name] for name in ONE_REPORT[::-1]}
    assert alone["lira"] == attack_looks(["lira_pooled"])["lira_pooled"]


def test_attacks_of_ones_own_are_unlike_each_other_and_ours():
    own = [f"module:attack_{number}" for number in range(12)]
    looks = attack_looks([*own, *ONE_REPORT])
    assert len({(look["color"], look["linestyle"]) for look in looks.values()}) == len(looks)
    assert attack_looks(own[:1])[own[0]] == looks[own[0]]


def test_every_plot_draws_an_attack_alike(robust_report):
    mean = {"mean": 0.7, "low": 0.6, "high": 0.8}
    attacks = [
        {"name": name, "title": name, "n_references": 4, "auc": mean, "tpr_at_fpr": []} for name in ("rmia", "lira")
    ]
    budgets = budgets_figure({"n_targets": 2, "confidence": 0.95, "attacks": attacks})
    memorized = memorization_figure(memorization_table(robust_report))
    roc = roc_figure(robust_report.attacks, robust_report.curves)
    for name, drawn in (("lira", "LiRA"), ("rmia", "RMIA")):
        wanted = attack_looks([name])[name]
        curve = next(line for line in roc.axes[0].lines if line.get_label().startswith(drawn))
        lines = [curve]
        for axes, label in ((budgets.axes[0], name), (memorized.axes[1], drawn)):
            lines += [one.lines[0] for one in axes.containers if one.get_label().startswith(label)]
        assert len(lines) == 3
        for line in lines:
            assert (to_hex(line.get_color()), line.get_marker()) == (to_hex(wanted["color"]), wanted["marker"])
        assert len({str(line.get_linestyle()) for line in lines}) == 1


def test_clean_and_adversarial_inputs_have_their_looks_whatever_else_there_is():
    assert input_looks(["clean", "own"])["clean"] == input_looks(["autoattack", "clean"])["clean"]
    assert len({look["color"] for look in input_looks(["clean", "pgd", "autoattack"]).values()}) == 3
