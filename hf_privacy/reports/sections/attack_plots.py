"""The two plots of a report: ROC curves on logarithmic axes, and members' scores beside non-members'."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from hf_privacy.attack_table import axis_of
from hf_privacy.hub.evidence import CLEAN, strength_order
from hf_privacy.reports.palette import GUESSING, SIDES, attack_looks
from hf_privacy.reports.report import Report
from hf_privacy.reports.style import blank, frame, legend_below, our_style, png_bytes, reach
from hf_privacy.reports.words import percent

ROC_FILE, SCORES_FILE = "privacy_roc.png", "privacy_scores.png"
MOST_DRAWN = 9
MEMBER_COLOUR, NONMEMBER_COLOUR = SIDES["members"]["color"], SIDES["heldout"]["color"]
_MARKERS_A_CURVE = 5


def plots(report: Report) -> dict[str, bytes]:
    order = [attack["name"] for inputs, attack in strength_order(vars(report)) if inputs == CLEAN]
    return {
        ROC_FILE: png_bytes(roc_figure(report.attacks, report.curves, order=order)),
        SCORES_FILE: png_bytes(scores_figure(report.attacks, report.curves, order=order)),
    }


@our_style()
def roc_figure(
    attacks: Sequence[dict[str, Any]], curves: Mapping[str, dict[str, Any]], *, order: Sequence[str] | None = None
) -> Figure:
    """Draw the ROC curves of the strongest nine attacks on logarithmic axes, with the diagonal of guessing.

    On the strongest of them the reported TPRs are marked with their confidence intervals. Both axes are rates in
    percent and start at one non-member.

    Parameters
    ----------
    attacks : sequence of dict
        The report's ``attacks``, at least one.
    curves : mapping of attack name to dict
        The report's ``curves``; an attack without a curve is left out.
    order : sequence of str, optional
        Names of the attacks, the strongest first, as `hf_privacy.hub.strength_order` has them; by default the order
        of ``attacks``.

    Returns
    -------
    Figure
    """
    figure = blank(7.0, 6.8)
    axes = figure.add_subplot()
    floor = min(1.0 / attack["n_nonmembers"] for attack in attacks)
    axes.plot([floor, 1], [floor, 1], color=GUESSING, linewidth=1, linestyle=":", label="guessing")
    drawn = _drawn(attacks, curves, order)
    looks = attack_looks(attack["name"] for attack in drawn)
    for place, attack in enumerate(drawn):
        fpr = np.asarray(curves[attack["name"]]["fpr"])
        tpr = np.asarray(curves[attack["name"]]["tpr"])
        across, up = _densely(fpr, tpr, floor=floor)
        marked = {"markersize": 7, "markeredgecolor": "white", "markeredgewidth": 0.6, **looks[attack["name"]]}
        at = _marked(across, (place + 0.5) / len(drawn))
        axes.plot(across, up, linewidth=1.8, label=_legend(attack), markevery=at, **marked)
        axes.plot(across[at], up[at], zorder=4, **(marked | {"linestyle": ""}))  # above the curves beside it
    if drawn:
        strongest = _strongest_first(drawn, order)[0]
        _mark_intervals(axes, strongest, colour=looks[strongest["name"]]["color"], floor=floor)
    for scale, limit in ((axes.set_xscale, axes.set_xlim), (axes.set_yscale, axes.set_ylim)):
        scale("log")
        limit(floor, 1.0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda rate, _: percent(rate) if rate else ""))
        axis.set_minor_formatter(FuncFormatter(lambda rate, _: ""))
    axes.set_xlabel("false-positive rate (non-members called members) [%]")
    axes.set_ylabel("true-positive rate (members recognised) [%]")
    frame(axes, "Membership inference: ROC, logarithmic axes")
    legend_below(figure, ncols=2 if max(len(_legend(attack)) for attack in attacks) < 50 else 1)
    return figure


@our_style()
def scores_figure(
    attacks: Sequence[dict[str, Any]], curves: Mapping[str, dict[str, Any]], *, order: Sequence[str] | None = None
) -> Figure:
    """Draw, a small panel for each of the strongest nine attacks, how members' and non-members' scores are spread.

    Heights are the percent of the members (or of the non-members) in a bin, so groups of different size compare. The
    outermost bins hold everything further out.

    Parameters
    ----------
    attacks, curves, order
        As for :func:`roc_figure`.

    Returns
    -------
    Figure
    """
    drawn = _drawn(attacks, curves, order)
    columns = min(3, max(1, len(drawn)))
    rows = max(1, math.ceil(len(drawn) / columns))
    figure = blank(max(3.6 * columns, 5.0), 2.7 * rows + 0.5)
    if not drawn:
        figure.text(0.5, 0.5, "the report holds no score histograms", ha="center", va="center")
        return figure
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(drawn) :]:
        axes.set_visible(False)
    for axes, attack in zip(grid.flat, drawn, strict=False):
        curve = curves[attack["name"]]
        for label, counts, colour in (
            ("non-members", curve["nonmember_counts"], NONMEMBER_COLOUR),
            ("members", curve["member_counts"], MEMBER_COLOUR),
        ):
            heights = 100 * np.asarray(counts) / max(1, sum(counts))
            axes.stairs(heights, curve["score_edges"], fill=True, color=colour, alpha=0.25)
            axes.stairs(heights, curve["score_edges"], color=colour, linewidth=1.3, label=label)
        axes.set_title(attack["title"], loc="left", fontsize=9, wrap=True)
        axes.set_xlabel(axis_of(attack["name"], made=curves), fontsize=8.5)
        axes.tick_params(labelsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("share in bin [%]", fontsize=8.5)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper right", ncols=2, fontsize=9, frameon=False)
    return figure


def _drawn(
    attacks: Sequence[dict[str, Any]], curves: Mapping[str, dict[str, Any]], order: Sequence[str] | None
) -> list[dict[str, Any]]:
    """The attacks that are drawn, in the table's order: more than nine would hide each other, and no controls."""
    known = [attack for attack in attacks if attack["name"] in curves and (order is None or attack["name"] in order)]
    kept = [attack["name"] for attack in _strongest_first(known, order)[:MOST_DRAWN]]
    return [attack for attack in known if attack["name"] in kept]


def _strongest_first(attacks: Sequence[dict[str, Any]], order: Sequence[str] | None) -> list[dict[str, Any]]:
    return list(attacks) if order is None else sorted(attacks, key=lambda attack: order.index(attack["name"]))


def _legend(attack: dict[str, Any]) -> str:
    return f"{attack['title']} · AUC {attack['auc']:.3f}"


def _densely(fpr: np.ndarray, tpr: np.ndarray, *, floor: float) -> tuple[np.ndarray, np.ndarray]:
    # A ROC is straight between its points in linear axes, which is a curve in logarithmic ones.
    dense = np.unique(np.concatenate([fpr[fpr > floor], np.geomspace(floor, 1.0, 400)]))
    last_at = np.searchsorted(fpr, dense, side="right") - 1  # the top of a climb at one false-positive rate
    straight = np.where(fpr[last_at] == dense, tpr[last_at], np.interp(dense, fpr, tpr))
    return dense, np.maximum(straight, floor)


def _marked(across: np.ndarray, shift: float) -> list[int]:
    """Where a curve has its markers: evenly along the logarithmic axis, elsewhere than its neighbours have theirs."""
    wanted = np.log(across[0]) * (1 - (np.arange(_MARKERS_A_CURVE) + shift) / _MARKERS_A_CURVE)
    return sorted(set(np.searchsorted(np.log(across), wanted).clip(0, len(across) - 1).tolist()))


def _mark_intervals(axes: Axes, attack: dict[str, Any], *, colour: str, floor: float) -> None:
    entries = [entry for entry in attack["tpr_at_fpr"] if entry["tpr"] is not None and entry["fpr"] >= floor]
    for entry in entries:
        middle = max(entry["tpr"], floor)
        ends = max(entry["low"], floor), max(entry["high"], floor)
        axes.errorbar(
            [entry["fpr"]], [middle], yerr=reach([middle], *ends), fmt="o", markersize=4.5, capsize=3.5,
            elinewidth=1.4, zorder=5, color=colour, markeredgecolor="white", clip_on=False,
        )  # fmt: skip
