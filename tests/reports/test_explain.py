"""The sentences and the terminal table."""

from __future__ import annotations

import re

import pytest

from hf_privacy.reports import attack_table, strongest_attack, what_it_does_not_mean, what_it_means


def attack(title: str, *, auc: float = 0.6, n_references: int = 0, **tprs: float | None) -> dict:
    fprs = {"tenth": 0.001, "one": 0.01, "ten": 0.1}
    entries = [{"fpr": fprs[name], "tpr": tpr, "low": tpr and tpr * 0.9, "high": tpr} for name, tpr in tprs.items()]
    return {
        "title": title,
        "n_references": n_references,
        "auc": auc,
        "auc_low": auc - 0.01,
        "auc_high": auc + 0.01,
        "tpr_at_fpr": entries,
    }


def test_headline_names_the_strongest_attack_its_budget_its_interval_and_guessing(report):
    entry = next(e for e in report.attacks[1]["tpr_at_fpr"] if e["fpr"] == 0.01)
    entry["low"] = 0.05  # 200 non-members are too few for any lower limit at 1 %
    assert report.headline() == (
        "At 1 % false positives the strongest attack tried (LiRA online, pooled variance, 16 reference models) "
        f"recognises {100 * entry['tpr']:.0f} % [{100 * entry['low']:.0f} %, {100 * entry['high']:.0f} %] of the "
        "training examples; guessing would find 1 %."
    )


def test_the_strongest_is_judged_at_one_percent_and_not_by_auc():
    broad, sharp = attack("broad", auc=0.8, one=0.02), attack("sharp", auc=0.6, one=0.3)
    assert strongest_attack([broad, sharp]) == (sharp, 0.01)


def test_ten_percent_decides_where_one_percent_cannot_be_resolved(report):
    few = [attack("a", one=None, ten=0.2), attack("b", one=None, ten=0.4)]
    assert strongest_attack(few) == (few[1], 0.1)


def test_auc_decides_where_no_rate_can_be_resolved(report_dict, quick_report):
    for entry in quick_report.attacks[0]["tpr_at_fpr"]:
        entry.update(tpr=None, low=None, high=None, reason="too few")
    assert quick_report.headline().startswith("By AUC the strongest attack tried (LOSS, no reference models) reaches")


def test_an_interval_that_holds_guessing_is_called_so(quick_report):
    quick_report.attacks[0]["tpr_at_fpr"] = [{"fpr": 0.01, "tpr": 0.012, "low": 0.006, "high": 0.021}]
    assert quick_report.headline().endswith(
        "recognises 1.2 % [0.6 %, 2.1 %] of the training examples, which cannot be told from guessing (1 %)."
    )


@pytest.mark.parametrize(
    "said",
    [
        "a lower bound on leakage, not a guarantee",
        "with these 16 reference models",
        "membership alone",
        "attributes, reconstructing",
        "later fine-tunes",
        "other data",
        "not widened for that choice",
        "No differential-privacy guarantee",
    ],
)
def test_what_the_figures_do_not_mean(report, said):
    assert said in " ".join(what_it_does_not_mean(report))


def test_auc_is_an_average_and_the_worst_examples_are_named(report):
    text = " ".join(what_it_means(report))
    assert "averages over all examples" in text
    assert "read the TPR at low FPR" in text


def test_full_depth_names_the_references_and_quick_depth_warns(report, quick_report):
    assert "Full depth: 16 reference models" in " ".join(what_it_means(report))
    quick = " ".join(what_it_means(quick_report))
    assert "Quick depth: no reference models" in quick
    assert "no sign of safety" in quick


def test_both_epsilon_bounds_are_said_with_their_conditions(report):
    report.epsilon = {
        "upper": {"epsilon": 8.0, "delta": 1e-5, "accountant": "PRV", "sampler": "Poisson"},
        "lower": {"epsilon": 0.7, "delta": 1e-5, "confidence": 0.95, "method": "Clopper-Pearson"},
    }
    text = " ".join(what_it_means(report))
    assert "ε = 8 at δ = 1e-05 (PRV, Poisson sampling)" in text
    assert "at 95 % confidence, that ε is at least 0.7" in text
    assert "No differential-privacy" not in " ".join(what_it_does_not_mean(report))


def test_table_is_aligned_and_at_most_100_columns_at_its_widest():
    wide = [
        attack("LiRA (online, per-example variance)", auc=0.9, n_references=256, tenth=0.8, one=0.9, ten=0.99),
        attack("LOSS", tenth=None, one=0.012, ten=0.5),
    ]
    lines = attack_table(wide).splitlines()
    assert max(map(len, lines)) <= 100
    starts = [match.start() for match in re.finditer("-+", lines[1])]
    rows = [line for line in lines if "[" in line]
    assert len(rows) == 2
    for row in rows:
        assert all(row[start - 1] == " " and row[start] != " " for start in starts[2:])


def test_table_shows_every_interval_and_a_dash_for_what_cannot_be_resolved():
    table = attack_table([attack("LOSS", auc=0.6, one=None, ten=0.5)])
    assert "0.600 [0.590, 0.610]" in table
    assert "50.0 [45.0, 50.0]" in table
    assert table.splitlines()[2].split()[-4] == "-"


def test_table_keeps_the_usual_rates_where_an_audit_asked_for_more():
    entry = {"fpr": 0.05, "tpr": 0.2, "low": 0.1, "high": 0.3}
    asked = attack("LOSS", tenth=0.1, one=0.1, ten=0.2)
    asked["tpr_at_fpr"].insert(2, entry)
    header = attack_table([asked]).splitlines()[0]
    assert "TPR@5%" not in header
    assert all(name in header for name in ("TPR@0.1%", "TPR@1%", "TPR@10%"))
