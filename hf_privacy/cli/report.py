"""`hf-privacy report`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hf_privacy.cli.arguments import Options
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
    form = "json" if options.flags["json"] else options.flags["format"]
    if form == "json":
        print(json.dumps({**report.to_dict(), "verdict": asdict(report.verdict())}, indent=2, ensure_ascii=False))
    elif form == "dpia-md":
        print(dpia_markdown(report), end="")
    else:
        report.save(folder)
        present(report, folder, push)
    return 0


def present(report: PrivacyReport, folder: Path, push: PushSection) -> None:
    """Write the card of a saved report and print what it found."""
    from hf_privacy.reports import card_data_of_folder, write_card

    data = card_data_of_folder(folder)
    data.license, data.repo_id = push.license, push.repo_id
    write_card(folder, report, data)
    print(report.table())
    print(report.headline())
    print(f"report: {folder / 'privacy_report.html'}")
