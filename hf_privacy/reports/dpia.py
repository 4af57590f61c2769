"""The report as a paragraph for a data protection impact assessment, with the figures filled in."""

from __future__ import annotations

from hf_privacy.reports.leaks import refuse_leaks
from hf_privacy.reports.rendering import render
from hf_privacy.reports.report import Report


def dpia_markdown(report: Report) -> str:
    """Write what an assessment asks: what was found, who is concerned, what was done, what remains; as Markdown.

    It says itself what it is not: legal advice, a proof of anonymity, a judgement on lawfulness.

    Raises
    ------
    InputError
        When the text would hold a path or a token.
    """
    name = report.model["name"]
    text = render("dpia.md.jinja", report, name=f"The model {name}" if name else "A model")
    refuse_leaks(text, name="the paragraph")
    return text.strip() + "\n"
