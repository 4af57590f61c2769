"""The figures of a report in plain sentences: what they mean, and what they do not."""

from __future__ import annotations

from hf_privacy.reports.report import Report
from hf_privacy.reports.sections import SECTIONS


def what_it_means(report: Report) -> list[str]:
    """Say, one sentence or two each, how to read the report's figures."""
    return [said for section in SECTIONS if hasattr(section, "meaning") for said in section.meaning(report)]


def what_it_does_not_mean(report: Report) -> list[str]:
    """Say, one sentence or two each, what must not be concluded from the report's figures."""
    return [said for section in SECTIONS if hasattr(section, "limits") for said in section.limits(report)]
