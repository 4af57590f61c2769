"""The privacy report: its JSON file, the plots, the page, the table and the model card, all from one dictionary."""

from __future__ import annotations

from hf_privacy.reports.card import render_card, write_card
from hf_privacy.reports.card_data import CardData, card_data_of_folder
from hf_privacy.reports.dpia import dpia_markdown
from hf_privacy.reports.explain import what_it_does_not_mean, what_it_means
from hf_privacy.reports.leaks import public_name, refuse_leaks
from hf_privacy.reports.page import render_page
from hf_privacy.reports.privacy_report import PrivacyReport
from hf_privacy.reports.publish import plan_push, push_folder
from hf_privacy.reports.sections.attack_plots import roc_figure, scores_figure
from hf_privacy.reports.sections.attack_table import attack_table
from hf_privacy.reports.sections.curves import curve_of
from hf_privacy.reports.sections.unlearning import unlearning_lines
from hf_privacy.reports.style import png_bytes

__all__ = [
    "CardData",
    "PrivacyReport",
    "attack_table",
    "card_data_of_folder",
    "curve_of",
    "dpia_markdown",
    "plan_push",
    "png_bytes",
    "public_name",
    "push_folder",
    "refuse_leaks",
    "render_card",
    "render_page",
    "roc_figure",
    "scores_figure",
    "unlearning_lines",
    "what_it_does_not_mean",
    "what_it_means",
    "write_card",
]
