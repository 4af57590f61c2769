"""The report as one self-contained HTML page."""

from __future__ import annotations

import base64

from hf_privacy.reports.rendering import render
from hf_privacy.reports.report import Report
from hf_privacy.reports.sections import attacks, canaries, defense, extraction, identity, robustness, unlearning
from hf_privacy.reports.words import value_rows

# Titled groups of names and values: everything in the report that is neither a figure nor a sentence.
_FACTS = {
    "Model": identity.model_facts,
    "Data and split": identity.data_facts,
    "Audit": attacks.facts,
    "Defence": defense.facts,
    "Privacy bounds (ε)": defense.bound_facts,
    "Extraction": extraction.facts,
    "Canaries": canaries.facts,
    "Training": lambda report: value_rows(report.training),
    "Adversarial attack": robustness.facts,
    "Unlearning": unlearning.facts,
    "Cost": identity.cost_facts,
    "Versions": lambda report: value_rows(report.versions),
}


def render_page(
    report: Report,
    *,
    roc_png: bytes,
    scores_png: bytes,
    budgets_png: bytes | None = None,
    memorization_png: bytes | None = None,
    extraction_png: bytes | None = None,
) -> str:
    """Render the report as one HTML page that needs nothing else: images and style inside, no script, no link out.

    Parameters
    ----------
    report : PrivacyReport
    roc_png, scores_png, budgets_png, memorization_png, extraction_png : bytes
        The plots; the last three only of a report with budgets, with memorization bins and with extraction.

    Returns
    -------
    str
    """
    plots = {
        "roc_png": roc_png, "scores_png": scores_png, "budgets_png": budgets_png, "memorization_png": memorization_png,
        "extraction_png": extraction_png,
    }  # fmt: skip
    return render(
        "report.html.jinja",
        report,
        facts=[(title, rows) for title, facts_of in _FACTS.items() if (rows := facts_of(report))],
        **{name: None if png is None else base64.b64encode(png).decode() for name, png in plots.items()},
    ).removesuffix("\n")
