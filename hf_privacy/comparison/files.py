"""The files of a comparison: table, JSON and plot, from one dictionary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hf_privacy.comparison.markdown import comparison_markdown
from hf_privacy.comparison.plot import comparison_figure, robust_attack
from hf_privacy.reports import png_bytes, refuse_leaks
from hf_privacy.reports.files import write_together

TABLE_FILE = "comparison.md"
JSON_FILE = "comparison.json"
PLOT_FILE = "comparison.png"
ROBUST_PLOT_FILE = "comparison_robust.png"


def write_comparison(folder: str | Path, table: dict[str, Any]) -> Path:
    """Write the Markdown table, its JSON and the plot, with robust accuracy a second one; the path of the table.

    Raises
    ------
    InputError
        If the table holds an absolute path or a token: it is meant for publication.
    """
    folder = Path(folder)
    refuse_leaks(table, name="comparison")
    text = comparison_markdown(table) + f"\n![Privacy against utility]({PLOT_FILE})\n"
    plots = {PLOT_FILE: png_bytes(comparison_figure(table))}
    across = robust_attack(table)
    if across is not None:
        text += f"\n![Privacy against robustness]({ROBUST_PLOT_FILE})\n"
        plots[ROBUST_PLOT_FILE] = png_bytes(comparison_figure(table, across=across))
    write_together(
        folder,
        {
            **plots,
            TABLE_FILE: text.encode(),
            JSON_FILE: (json.dumps(table, indent=2, ensure_ascii=False) + "\n").encode(),
        },
    )
    if across is None:
        (folder / ROBUST_PLOT_FILE).unlink(missing_ok=True)  # left by an earlier comparison
    return folder / TABLE_FILE
