"""Unlearning in table, page and card: what was asked, the figures beside retraining, and no number that is missing."""

from __future__ import annotations

import copy

import pytest

from hf_privacy.reports import CardData, PrivacyReport, render_card, unlearning_lines
from hf_privacy.reports.page import render_page


def figures(*values: float) -> list[dict]:
    names = ("UA", "RA", "TA", "MIA")
    return [
        {
            "name": name,
            "value": value,
            "low": max(value - 0.05, 0.0),
            "high": min(value + 0.05, 1.0),
            "n_examples": 120,
        }
        for name, value in zip(names, values, strict=True)
    ]


SECTION = {
    "request": {"kind": "label", "n_requests": 1, "n_forget": 120, "n_retain": 1080, "n_heldout": 100, "n_test": 600},
    "method": {"name": "salun", "parameters": {"learning_rate": 0.01}, "paper": {"title": "SalUn", "id": "arXiv:1"}},
    "after_edit": {"forget_accuracy": 0.25},
    "n_retrained": 3,
    "figures": {
        "before": figures(0.01, 0.99, 0.9, 0.1),
        "after": figures(0.31, 0.98, 0.89, 0.4),
        "retrained": figures(0.35, 0.99, 0.9, 0.45),
    },
    "gap": {
        "average": 0.0275, "in_retrain_noise": 2.2, "retrain_against_retrain": 0.0125,
        "figures": [
            {"name": name, "gap": gap, "in_retrain_noise": None}
            for name, gap in (("UA", -0.04), ("RA", -0.01), ("TA", -0.01), ("MIA", -0.05))
        ],
    },
    "retain_harm": {
        "newly_wrong": {"value": 0.02, "low": 0.01, "high": 0.03},
        "newly_right": {"value": 0.0, "low": 0, "high": 0.01},
        "mean_loss_before": 0.05, "mean_loss_after": 0.07,
    },
    "forget_loss": {
        "quantiles": [0.5, 0.95], "before": [0.01, 0.1], "after": [0.4, 2.0], "retrained": [0.5, 2.5],
        "test_after": [0.2, 2.1],
    },
    "relearning": {"cap": 100, "steps": 4, "regained": True, "retrained_steps": 20.0, "retrained_regained": 3},
    "u_lira": None,
    "cost": {
        "scoring_seconds": 1.0, "shadows_seconds": 0.0, "training_seconds": 3.0, "total_seconds": 4.0,
        "retrain_seconds": 80.0, "share_of_retrain": 0.05, "share_with_shadows": 0.05,
    },
}  # fmt: skip


@pytest.fixture
def section() -> dict:
    return copy.deepcopy(SECTION)


def with_unlearning(report: PrivacyReport, section: dict) -> PrivacyReport:
    report.unlearning = section
    report.to_dict()  # valid
    return report


def test_the_terminal_shows_every_figure_beside_retraining(report, section):
    shown = with_unlearning(report, section).table()
    assert "salun forgot 120 of 1,200 training examples (one class)" in shown
    line = next(line for line in shown.splitlines() if line.startswith("Forget set: wrong"))
    assert line.split()[-1] == "-4.00"
    assert "35.0 [30.0, 40.0]" in line
    assert "2.75 points from those of retraining" in shown
    assert "0.05 times a retraining (80 s)" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_page_and_card_show_the_same(report, section):
    report = with_unlearning(report, section)
    page = render_page(report, roc_png=b"x", scores_png=b"x")
    card = render_card(report, CardData(model_name="digits"))
    for text in (page, card):
        assert "31.0 [26.0, 36.0]" in text
        assert "in 4 steps; retrained models take 20 on average" in text
        assert "salun" in text
    assert "SalUn (arXiv:1)" in page
    assert "After the edit alone: forget_accuracy" in page


def test_without_retrained_models_no_gap_is_shown_and_the_reader_is_told(report, section):
    section["gap"] = section["figures"]["retrained"] = section["forget_loss"]["retrained"] = None
    section |= {"n_retrained": 0}
    section["relearning"] |= {"retrained_steps": None, "retrained_regained": None}
    section["cost"] |= {"retrain_seconds": None, "share_of_retrain": None, "share_with_shadows": None}
    shown = unlearning_lines(with_unlearning(report, section).unlearning)
    assert "Gap" not in shown
    assert "No model was retrained" in shown
    assert "None" not in shown


def test_one_retrained_model_has_no_noise_to_speak_of(report, section):
    section |= {"n_retrained": 1}
    section["gap"] |= {"retrain_against_retrain": None, "in_retrain_noise": None}
    section["relearning"]["retrained_regained"] = 1
    shown = unlearning_lines(with_unlearning(report, section).unlearning)
    assert "a single retrained model does not say" in " ".join(shown.split())


def test_relearning_that_was_not_reached_is_said_as_such(report, section):
    section["relearning"] |= {"steps": 100, "regained": False, "retrained_regained": 1}
    shown = " ".join(unlearning_lines(with_unlearning(report, section).unlearning).split())
    assert "learnt again not within 100 steps; of 3 retrained models 1 learn it within 100 steps" in shown


def test_the_shadow_models_cost_stands_apart(report, section):
    section["cost"] |= {"shadows_seconds": 76.0, "share_with_shadows": 1.0}
    shown = " ".join(unlearning_lines(with_unlearning(report, section).unlearning).split())
    assert "with shadow models of 76 s: 0.05 times a retraining (80 s), 1 with the shadow models." in shown


def test_a_report_without_unlearning_says_nothing_of_it(report):
    assert "nlearn" not in report.table()
    assert "nlearn" not in render_page(report, roc_png=b"x", scores_png=b"x")
