"""One drawing style for every plot, and the PNG it becomes; colours are in `hf_privacy.reports.palette`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from hf_privacy.hub.headline import percent
from hf_privacy.reports.palette import GUESSING

DPI = 150
HEADING, SMALL = 11, 8.5


@contextmanager
def our_style() -> Iterator[None]:
    """Draw with matplotlib's own defaults: a user's matplotlibrc or dark style must not change a published plot."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
        yield


def blank(width: float, height: float) -> Figure:
    """Give a white figure of that many inches, whose parts make room for each other."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def panels(figure: Figure, count: int) -> Sequence[Axes]:
    """Give that many axes side by side."""
    return figure.subplots(1, count, squeeze=False)[0]


def frame(axes: Axes, title: str | None = None, *, grid: str = "both") -> None:
    """Put the title at the left, and a faint grid under what is drawn."""
    if title:
        axes.set_title(title, loc="left", fontsize=HEADING)
    axes.grid(which="major", axis=grid, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def in_percent(axis: Axis) -> None:
    """Write an axis of shares in percent."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: percent(max(share, 0.0))))


def in_numbers(axis: Axis) -> None:
    """Write an axis of amounts by their logarithm in plain numbers, between the powers of ten too."""
    for setter in (axis.set_major_formatter, axis.set_minor_formatter):
        setter(FuncFormatter(lambda amount, _: f"{amount:g}"))


def guess_line(axes: Axes, at: float, **more: Any) -> None:
    """Draw what guessing reaches as a dotted line across."""
    axes.axhline(at, color=GUESSING, linewidth=1, linestyle=":", **more)


def reach(middle: Any, low: Any, high: Any, *, within: tuple[float, float] = (0.0, 1.0)) -> list[Any]:
    """Give the two arms of error bars from an interval's ends, as far as the quantity can go: a share, from 0 to 1.

    Examples
    --------
    >>> [arm.tolist() for arm in reach([0.75], [0.5], [1.25])]
    [[0.25], [0.25]]
    """
    middle = np.asarray(middle, dtype=float)
    return [middle - np.maximum(low, within[0]), np.minimum(high, within[1]) - middle]


def ordered_legend(axes: Axes, *, last: Callable[[str], bool]) -> dict[str, list[Any]]:
    """Give the legend's handles and labels of some axes, with those labels at the end that are to be last."""
    pairs = sorted(zip(*axes.get_legend_handles_labels(), strict=True), key=lambda pair: last(pair[1]))
    return {"handles": [handle for handle, _ in pairs], "labels": [label for _, label in pairs]}


def legend_below(figure: Figure, *, ncols: int = 2, **more: Any) -> None:
    """Explain what is drawn below the plots, where no curve can run under the legend."""
    figure.legend(loc="outside lower left", ncols=ncols, fontsize=SMALL, frameon=False, **more)


def png_bytes(figure: Figure) -> bytes:
    """Give a figure as PNG at 150 dpi, the same bytes every time (no date, no software name).

    Examples
    --------
    >>> png_bytes(Figure(figsize=(1, 1)))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    buffer = io.BytesIO()
    with our_style():  # ticks are made only now
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
