"""`hf-privacy report`."""

from __future__ import annotations

from pathlib import Path

from hf_privacy.cli.arguments import Options


def run(options: Options) -> int:
    """Print the report of a model's folder and draw page, plots and card from its JSON again."""
    if options.folder is not None and options.config is None and not options.overrides:
        folder = Path(options.folder)
    else:
        folder = Path(options.recipe().output_dir)
    from hf_privacy.reports import PrivacyReport, card_data_of_folder, write_card

    report = PrivacyReport.load(folder)
    report.save(folder)
    data = card_data_of_folder(folder)
    if options.config is not None:
        push = options.recipe().push
        data.license, data.repo_id = push.license, push.repo_id
    write_card(folder, report, data)
    print(report.table())
    print(report.headline())
    print(f"report: {folder / 'privacy_report.html'}")
    return 0
