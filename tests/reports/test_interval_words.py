"""What page, card and sentences say of the interval of a TPR: that it covers the chance in the threshold."""

from __future__ import annotations

from hf_privacy.reports import CardData
from hf_privacy.reports.card import render_card
from hf_privacy.reports.explain import what_it_means
from hf_privacy.reports.page import render_page


def test_page_card_and_sentences_say_what_the_interval_covers(report):
    for text in (
        " ".join(what_it_means(report)),
        render_page(report, roc_png=b"", scores_png=b""),
        render_card(report, CardData()),
    ):
        assert "the chance in the threshold included" in text
        assert "take the threshold as given" not in text
