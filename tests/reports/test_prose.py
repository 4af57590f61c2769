"""Sentences with code in them, on card and page: nothing in them is markup but that code."""

from __future__ import annotations

import pytest

from hf_privacy.reports.rendering import _prose_in_html, _prose_in_markdown


@pytest.mark.parametrize(
    ("text", "markdown", "page"),
    [
        ("Run `a --b c` now.", "Run `a --b c` now.", "Run <code>a --b c</code> now."),
        ("<b> & `<i>`", "&lt;b&gt; &amp; `<i>`", "&lt;b&gt; &amp; <code>&lt;i&gt;</code>"),
        ("one ` alone", "one  alone", "one  alone"),
        ("*not* `*code*`", r"\*not\* `*code*`", "*not* <code>*code*</code>"),
        ("at 5 %", "at 5 %", "at 5\u00a0%"),
    ],
)
def test_between_backticks_is_code_and_the_rest_is_text(text, markdown, page):
    assert _prose_in_markdown(text) == markdown
    assert str(_prose_in_html(text)) == page
