"""Unlearning in table, page and card: what was asked, the figures beside retraining, and no number that is missing."""

from __future__ import annotations

import copy

import pytest
from made_up_unlearning import SECTION

from hf_privacy.reports import CardData, PrivacyReport, render_card, unlearning_lines
from hf_privacy.reports.page import render_page


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
