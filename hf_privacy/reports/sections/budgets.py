"""The plot of attacks against the number of reference models: which wins at which budget."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

import hf_privacy.reports.style as style
from hf_privacy.hub.headline import percent
from hf_privacy.reports.palette import attack_looks
from hf_privacy.reports.report import Report
from hf_privacy.reports.sections.targets import ATTACK_OVER_TARGETS
from hf_privacy.reports.shapes import listed, nullable, record

BUDGETS_FILE = "privacy_budgets.png"
FIELDS = {
    "budgets": nullable(
        record(
            "n_targets several, confidence open_unit",
            attacks=listed(record(f"n_references count, {ATTACK_OVER_TARGETS}"), most=1000),
        ),
        "Every attack at several numbers of reference models: means and intervals over targets.",
    )
}
_FPR = 0.01
_SHOWN = 8
_FREE, _GUESSING = ", without reference models", "guessing"


def plots(report: Report) -> dict[str, bytes]:
    return {} if report.budgets is None else {BUDGETS_FILE: style.png_bytes(budgets_figure(report.budgets))}


@style.our_style()
def budgets_figure(budgets: dict[str, Any]) -> Figure:
    """Draw AUC, and TPR at 1 % FPR where it is resolved, against the number of reference models.

    The eight attacks with the largest mean AUC at any budget are drawn, and as a line straight across the best of
    those that need no reference model. Bars are the intervals over the attacked models, moved apart sideways a little.
    """
    lines: dict[str, list[dict[str, Any]]] = {}
    for entry in budgets["attacks"]:
        lines.setdefault(entry["name"], []).append(entry)
    free = [entries[0] for entries in lines.values() if entries[0]["n_references"] == 0]
    curves = [entries for entries in lines.values() if entries[0]["n_references"] > 0]
    strongest = sorted(curves, key=lambda entries: -max(entry["auc"]["mean"] for entry in entries))[:_SHOWN]
    drawn = [entries for entries in curves if entries in strongest]
    with_rates = any(_rate(entry) for entries in drawn for entry in entries)
    looks = attack_looks(lines)
    figure = style.blank(10.5 if with_rates else 6.0, 5.4)
    axes = style.panels(figure, 2 if with_rates else 1)
    _panel(axes[0], drawn, free, looks, measure=lambda entry: entry["auc"], label="AUC", guess=0.5)
    if with_rates:
        _panel(axes[1], drawn, free, looks, measure=_rate, label=f"TPR at {percent(_FPR)} FPR", guess=_FPR)
        style.in_percent(axes[1].yaxis)
    # An attack that both panels show is explained once; what only one of them shows stands last.
    shown = {label: handle for panel in axes for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    labels = sorted(shown, key=lambda label: (label.endswith(_FREE), label == _GUESSING))
    style.legend_below(figure, handles=[shown[label] for label in labels], labels=labels)
    return figure


def _rate(entry: dict[str, Any]) -> dict[str, float] | None:
    return next((rate for rate in entry["tpr_at_fpr"] if abs(rate["fpr"] - _FPR) < 1e-12), None)


def _panel(
    axes: Axes, drawn: list[list[dict[str, Any]]], free: list[dict[str, Any]], looks: dict[str, dict[str, Any]], *,
    measure, label: str, guess: float,
) -> None:  # fmt: skip
    """One quantity, ``measure(entry)``, with its intervals."""
    counts = sorted({entry["n_references"] for entries in drawn for entry in entries})
    style.guess_line(axes, guess, label=_GUESSING)
    known = [entry for entry in free if measure(entry) is not None]
    if known:
        best = max(known, key=lambda entry: measure(entry)["mean"])
        drawn_as = {key: looks[best["name"]][key] for key in ("color", "linestyle")}
        axes.axhline(measure(best)["mean"], linewidth=1.4, label=best["title"] + _FREE, **drawn_as)
    for place, entries in enumerate(drawn):
        points = [(entry["n_references"], measure(entry)) for entry in entries if measure(entry) is not None]
        if not points:
            continue
        shift = 1 + 0.025 * (place - (len(drawn) - 1) / 2)
        at = np.array([count for count, _ in points]) * shift
        mean, low, high = np.array([[value[key] for key in ("mean", "low", "high")] for _, value in points]).T
        axes.errorbar(
            at, mean, yerr=style.reach(mean, low, high), label=entries[-1]["title"], linewidth=1.6, elinewidth=0.9,
            capsize=2, markersize=5, **looks[entries[0]["name"]],
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:g}"))
    axes.minorticks_off()
    axes.set_xlabel("reference models")
    style.frame(axes, label)
