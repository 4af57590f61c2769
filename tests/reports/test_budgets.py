"""The plot of attacks against the number of reference models."""

from __future__ import annotations

import pytest

from hf_privacy.reports import PrivacyReport
from hf_privacy.reports.sections.budgets import BUDGETS_FILE, budgets_figure


def entry(name: str, n_references: int, auc: float) -> dict:
    interval = {"mean": auc, "low": auc - 0.01, "high": auc + 0.01}
    rate = {"fpr": 0.01, "mean": auc / 10, "low": auc / 20, "high": auc / 5}
    return {"n_references": n_references, "name": name, "title": name.title(), "auc": interval, "tpr_at_fpr": [rate]}


@pytest.fixture
def budgets() -> dict:
    attacks = [entry("loss", 0, 0.6), entry("entropy", 0, 0.55)]
    attacks += [entry(f"attack_{n}", k, 0.6 + 0.01 * n + 0.001 * k) for n in range(10) for k in (2, 4)]
    return {"n_targets": 5, "confidence": 0.95, "attacks": attacks}


def drawn(axes) -> dict:
    return {c.get_label(): c.lines[0] for c in axes.containers}


def test_the_eight_strongest_attacks_are_drawn_at_every_budget(budgets):
    areas, rates = budgets_figure(budgets).axes
    assert list(drawn(areas)) == [f"Attack_{n}" for n in range(2, 10)]
    line = drawn(areas)["Attack_9"]
    assert line.get_ydata().tolist() == pytest.approx([0.692, 0.694])
    assert line.get_xdata().tolist() == pytest.approx([2, 4], rel=0.1)
    assert list(drawn(rates)) == list(drawn(areas))


def test_the_best_attack_without_references_is_a_line_across(budgets):
    figure = budgets_figure(budgets)
    across = [line for axes in figure.axes for line in axes.lines if "without reference" in str(line.get_label())]
    assert [line.get_label() for line in across] == ["Loss, without reference models"] * 2
    assert [line.get_ydata()[0] for line in across] == [0.6, 0.06]
    assert [text.get_text() for text in figure.legends[0].get_texts()][-2:] == ["guessing", across[0].get_label()]


def test_without_a_resolved_rate_only_the_areas_are_drawn(budgets):
    for attack in budgets["attacks"]:
        attack["tpr_at_fpr"] = []
    assert len(budgets_figure(budgets).axes) == 1


def test_the_plot_is_saved_and_taken_away_again_with_the_budgets(report, budgets, tmp_path):
    report.budgets = budgets
    report.save(tmp_path)
    assert (tmp_path / BUDGETS_FILE).read_bytes().startswith(b"\x89PNG")
    assert PrivacyReport.load(tmp_path).budgets == budgets
    assert "By number of reference models" in (tmp_path / "privacy_report.html").read_text(encoding="utf-8")
    report.budgets = None
    report.save(tmp_path)
    assert not (tmp_path / BUDGETS_FILE).exists()
