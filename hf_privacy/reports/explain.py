"""The figures of a report in plain sentences: what they mean, and what they do not."""

from __future__ import annotations

from hf_privacy.reports.report import Report
from hf_privacy.reports.sections import attacks, canaries, defense, leakage_share, robustness


def what_it_means(report: Report) -> list[str]:
    """Say, one sentence or two each, how to read the report's figures."""
    sections = (attacks, defense, canaries, robustness, leakage_share)
    return [sentence for section in sections for sentence in section.meaning(report)]


def what_it_does_not_mean(report: Report) -> list[str]:
    """Say, one sentence or two each, what must not be concluded from the report's figures."""
    return [sentence for section in (attacks, defense, robustness) for sentence in section.limits(report)]
