"""Every file of a report: plots, page and JSON."""

from __future__ import annotations

import json

from hf_privacy.hub import REPORT_NAME
from hf_privacy.reports.page import render_page
from hf_privacy.reports.report import Report
from hf_privacy.reports.sections import SECTIONS
from hf_privacy.reports.sections.attack_plots import ROC_FILE, SCORES_FILE
from hf_privacy.reports.sections.budgets import BUDGETS_FILE
from hf_privacy.reports.sections.extraction import EXTRACTION_FILE
from hf_privacy.reports.sections.memorization_plot import MEMORIZATION_FILE

PAGE_FILE = "privacy_report.html"
# Not of every report: left by an earlier audit, they would be taken for this one's.
OPTIONAL_FILES = (BUDGETS_FILE, EXTRACTION_FILE, MEMORIZATION_FILE)


def rendered(report: Report) -> dict[str, bytes]:
    """Make plots, page and JSON of a valid report, by file name, in the order in which they are to be written.

    The JSON file is last: who finds it finds all.
    """
    content = json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    plots = {n: png for section in SECTIONS if hasattr(section, "plots") for n, png in section.plots(report).items()}
    page = render_page(
        report,
        roc_png=plots[ROC_FILE],
        scores_png=plots[SCORES_FILE],
        budgets_png=plots.get(BUDGETS_FILE),
        extraction_png=plots.get(EXTRACTION_FILE),
        memorization_png=plots.get(MEMORIZATION_FILE),
    )
    return {**plots, PAGE_FILE: page.encode(), REPORT_NAME: content.encode()}
