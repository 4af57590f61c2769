"""The sentences and the terminal table."""

from __future__ import annotations

import re

import pytest

from hf_privacy.reports import attack_table, what_it_does_not_mean, what_it_means


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


@pytest.mark.parametrize(
    "said",
    [
        "a lower bound on leakage, not a guarantee",
        "with these 16 reference models",
        "membership alone",
        "attributes, reconstructing",
        "later fine-tunes",
        "other data",
        "is not widened for it",
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
    assert "ε = 8 at δ = 1e-05 for each training example (PRV, Poisson sampling)" in text
    report.epsilon["upper"]["unit"] = "group"
    assert "for each group of training examples (PRV" in " ".join(what_it_means(report))
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
