"""`hf-privacy report`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.output import show
from hf_privacy.cli.push import push_settings
from hf_privacy.recipe.sections import PushSection

if TYPE_CHECKING:
    from hf_privacy.reports import PrivacyReport


def run(options: Options) -> int:
    """Print the report of a model's folder and draw page, plots and card from its JSON again.

    As JSON, or as a paragraph for an impact assessment, it is printed alone and nothing is written.
    """
    folder, push, _ = push_settings(options)
    from hf_privacy.hub import budget_record
    from hf_privacy.reports import PrivacyReport, dpia_markdown

    report = PrivacyReport.load(folder)
    # The recipe's budget of today: it may have been set, or changed, since the audit.
    report.budget = budget_record(push.gate_settings()) or report.budget
    report.levels = push.levels() or report.levels
    if options.flags["json"]:
        show("", lambda: document_of(report))
    elif options.flags["format"] == "dpia-md":
        print(dpia_markdown(report), end="")
    else:
        report.save(folder)
        present(report, folder, push)
    return 0


def present(report: PrivacyReport, folder: Path, push: PushSection) -> None:
    """Write the card of a saved report and print what it found; as JSON `document_of` it, with ``page``, its path."""
    from hf_privacy.reports import card_data_of_folder, write_card

    data = card_data_of_folder(folder)
    data.license, data.repo_id = push.license, push.repo_id
    write_card(folder, report, data)
    page = folder / "privacy_report.html"
    show(
        f"{report.table()}\n{report.headline()}\nreport: {page}",
        lambda: {**document_of(report), "page": page},
    )


def document_of(report: PrivacyReport) -> dict[str, Any]:
    """A report as ``--json`` prints it: as saved, with ``verdict`` (`hf_privacy.hub.Verdict`) and ``headline``."""
    return {**report.to_dict(), "verdict": asdict(report.verdict()), "headline": report.headline()}
