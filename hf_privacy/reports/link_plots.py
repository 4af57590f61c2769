"""Plots of the links between memorization, curvature and privacy that `hf_privacy.memorization` computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import ArrayLike

from hf_privacy.atomic_file import write_atomically
from hf_privacy.errors import InputError
from hf_privacy.reports.palette import BLACK, BLUE, COLOURS, LINES, VERMILLION
from hf_privacy.reports.style import (
    HEADING,
    SMALL,
    blank,
    frame,
    legend_below,
    ordered_legend,
    our_style,
    png_bytes,
)

CORRELATIONS = ("pearson", "spearman", "cosine")
_MEAN_KEYS = ("x_mean", "y_mean", "y_standard_error")
_MOST_GROUPS = 8
_GROUP_COLOURS = [colour for colour in COLOURS if colour not in (BLACK, BLUE)]  # all examples are black, bins blue
_PANELS_A_ROW = 2  # more would be too small to read on a page
_COLOUR_MAP, _EMPTY, _CELL = "RdBu_r", "#EEEEEE", 9


@our_style()
def binned_link_figure(
    means: Mapping[str, ArrayLike],
    *,
    fit: Mapping[str, Any] | None = None,
    group_fits: Mapping[str, Mapping[str, Any]] | None = None,
    x_label: str = "input curvature (log)",
    y_label: str = "memorization",
    title: str | None = None,
) -> Figure:
    """Draw one quantity's means over bins of another, with straight lines through all examples and through groups.

    Parameters
    ----------
    means : mapping
        ``x_mean``, ``y_mean`` and ``y_standard_error`` of each bin, such as
        ``hf_privacy.memorization.binned_means(...)._asdict()``. Bars are twice the standard error a side.
    fit : mapping, optional
        Of `hf_privacy.memorization.linear_fit`: ``slope``, ``intercept``, ``r_squared``.
    group_fits : mapping of str to mapping, optional
        Of `hf_privacy.memorization.subpopulation_fits`; groups without a slope and all but the first eight are left
        out.
    x_label, y_label : str
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If there are no bins, or a key of `means` is missing.

    Examples
    --------
    >>> means = {"x_mean": [0.0, 1.0], "y_mean": [0.1, 0.4], "y_standard_error": [0.02, 0.03]}
    >>> binned_link_figure(means, fit={"slope": 0.3, "intercept": 0.1, "r_squared": 0.9}).axes[0].get_ylabel()
    'memorization'
    """
    missing = [key for key in _MEAN_KEYS if key not in means]
    if missing:
        raise InputError(f"means holds no {missing[0]!r}: pass what binned_means gives, as a dictionary")
    x, y, error = (np.asarray(means[key], dtype=float) for key in _MEAN_KEYS)
    if not len(x):
        raise InputError("means holds no bins: pass at least one")
    figure = blank(6.4, 5.0)
    axes = figure.subplots()
    axes.errorbar(
        x, y, yerr=2 * error, linestyle="", marker="o", markersize=4.5, color=BLUE, ecolor=(BLUE, 0.5),
        elinewidth=0.9, capsize=0, label=f"means of {len(x)} bins (± 2 standard errors)", zorder=3,
    )  # fmt: skip
    ends = np.array([x.min(), x.max()])
    if fit is not None:
        label = f"all examples: slope {fit['slope']:.3g}, R² = {fit['r_squared']:.2f}"
        axes.plot(ends, fit["intercept"] + fit["slope"] * ends, color=BLACK, linewidth=1.6, label=label, zorder=2)
    lines = [(name, one) for name, one in (group_fits or {}).items() if "slope" in one][:_MOST_GROUPS]
    for number, (name, one) in enumerate(lines):
        axes.plot(
            ends, one["intercept"] + one["slope"] * ends, color=_GROUP_COLOURS[number % len(_GROUP_COLOURS)],
            linewidth=1.1, linestyle=LINES[1 + number % (len(LINES) - 1)], zorder=1,
            label=f"{name}: slope {one['slope']:.3g}",
        )  # fmt: skip
    # The lines may leave the points: the points set the frame, and the middles of the lines of parts.
    middles = [one["intercept"] + one["slope"] * float(ends.mean()) for _, one in lines]
    shown = [*(y - 2 * error), *(y + 2 * error), *middles]
    room = 0.08 * (np.ptp(shown) or 1.0)
    axes.set_ylim(min(shown) - room, max(shown) + room)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    frame(axes, title)
    legend_below(figure, **ordered_legend(axes, last=lambda label: not label.startswith("means of")))
    return figure


@our_style()
def epsilon_figure(
    series: Mapping[str, Mapping[str, Any]], *, bounded: Sequence[str] = (), title: str | None = None
) -> Figure:
    """Draw quantities against ε, a panel each: every run, the mean at each ε, and the curve a + b(1 − e^−ε).

    ε stands on a logarithmic axis; a run without privacy stands at its right end, under ∞.

    Parameters
    ----------
    series : mapping of str to mapping
        By the panel's title: ``epsilon`` and ``values``, one a run, and, if fitted, ``fit`` of
        `hf_privacy.memorization.saturating_fit`.
    bounded : sequence of str
        The titles under which the bound of memorization, 1 − e^−ε, is drawn too.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If there is no series, `epsilon` and `values` differ in length or are empty, or an ε is not above 0.

    Examples
    --------
    >>> runs = {"epsilon": [1.0, 5.0, float("inf")], "values": [0.1, 0.2, 0.3]}
    >>> [axes.get_title(loc="left") for axes in epsilon_figure({"memorization": runs}).axes]
    ['memorization']
    """
    if not series:
        raise InputError("series is empty: pass at least one quantity")
    columns = min(_PANELS_A_ROW, len(series))
    rows = -(-len(series) // columns)
    figure = blank(5.4 * columns, 4.6 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(series) :]:
        axes.remove()
    for axes, (name, runs) in zip(grid, series.items(), strict=False):
        epsilon, values = (np.asarray(runs[key], dtype=float) for key in ("epsilon", "values"))
        if epsilon.shape != values.shape or epsilon.ndim != 1 or not epsilon.size:
            raise InputError(f"{name!r} has {epsilon.size} epsilon and {values.size} values: pass one of each a run")
        if not (epsilon > 0).all():
            raise InputError(f"{name!r} holds an epsilon of {epsilon.min():g}: pass values above 0, or infinity")
        _epsilon_panel(axes, epsilon, values, runs.get("fit"), bounded=name in bounded)
        frame(axes, name)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


@our_style()
def correlation_figure(
    table: Mapping[str, Mapping[str, Any]], *, kinds: Sequence[str] = CORRELATIONS, title: str | None = None
) -> Figure:
    """Draw a table of correlations as a heat map, with each figure and its interval written in.

    Parameters
    ----------
    table : mapping of str to mapping
        Of `hf_privacy.memorization.correlation_table`: by proxy, for each kind ``kind``, ``kind_low``, ``kind_high``.
        A proxy with none is shown by a dash.
    kinds : sequence of str
        Columns.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If the table is empty.

    Examples
    --------
    >>> found = {"pearson": 0.8, "pearson_low": 0.7, "pearson_high": 0.9}
    >>> figure = correlation_figure({"curvature": found}, kinds=["pearson"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.80\\n[0.70, 0.90]']
    """
    if not table:
        raise InputError("table is empty: pass at least one proxy")
    values = np.array([[entry.get(kind, np.nan) for kind in kinds] for entry in table.values()], dtype=float)
    texts = [
        [
            f"{entry[kind]:.2f}\n[{entry[f'{kind}_low']:.2f}, {entry[f'{kind}_high']:.2f}]" if kind in entry else "–"
            for kind in kinds
        ]
        for entry in table.values()
    ]
    return _heat_map(values, texts, rows=list(table), columns=[kind.capitalize() for kind in kinds], title=title)


@our_style()
def correlation_matrix_figure(matrix: ArrayLike, names: Sequence[str], *, title: str | None = None) -> Figure:
    """Draw a matrix of correlations as a heat map.

    Parameters
    ----------
    matrix : array-like of float, shape [P, P]
        In [−1, 1]; NaN where a correlation does not exist.
    names : sequence of str
        P of them.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If the matrix is not square of the names' number.

    Examples
    --------
    >>> figure = correlation_matrix_figure([[1.0, 0.5], [0.5, 1.0]], ["memorization", "loss"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1.00', '0.50', '0.50', '1.00']
    """
    values = np.asarray(matrix, dtype=float)
    if values.shape != (len(names), len(names)) or not len(names):
        raise InputError(f"matrix has shape {list(values.shape)} and there are {len(names)} names: pass a name a row")
    texts = [["–" if np.isnan(value) else f"{value:.2f}" for value in row] for row in values]
    return _heat_map(values, texts, rows=list(names), columns=list(names), title=title)


def write_figure(path: str | Path, figure: Figure) -> Path:
    """Write a figure as PNG, whole or not at all; its folder is made.

    Raises
    ------
    InputError
        If the path does not end in .png.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise InputError(f"path is {path.name!r}: pass a name that ends in .png")
    content = png_bytes(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    return path


def _epsilon_panel(
    axes: Axes, epsilon: np.ndarray, values: np.ndarray, fit: Mapping[str, Any] | None, *, bounded: bool
) -> None:
    finite = epsilon[np.isfinite(epsilon)]
    low, high = (finite.min(), finite.max()) if finite.size else (1.0, 1.0)
    at_infinity = high * max(3.0, (high / low) ** 0.25)
    places = np.where(np.isfinite(epsilon), epsilon, at_infinity)
    axes.plot(
        places, values, linestyle="", marker="o", markersize=4, color=BLUE, alpha=0.45, label="one run", zorder=2
    )
    levels = np.unique(places)
    means = [values[places == place].mean() for place in levels]
    axes.plot(
        levels, means, linestyle="", marker="_", markersize=18, markeredgewidth=2, color=BLUE, label="mean",
        zorder=3,
    )  # fmt: skip
    dense = np.geomspace(low / 1.6, high * 1.6, 300)
    has_infinity = bool(np.isinf(epsilon).any())
    shown = [values.min(), values.max()]
    if fit is not None:
        sign = "+" if fit["b"] >= 0 else "−"
        formula = f"{fit['a']:.3g} {sign} {abs(fit['b']):.3g} (1 − e$^{{−ε}}$)"
        label = f"{formula}, R² = {fit['r_squared']:.2f}"
        _curve(axes, dense, fit["a"], fit["b"], at_infinity if has_infinity else None, colour=BLACK, label=label)
        shown += [fit["a"] + fit["b"] * -np.expm1(-dense[0]), fit["a"] + fit["b"]]
    if bounded:
        at = at_infinity if has_infinity else None
        _curve(axes, dense, 0.0, 1.0, at, colour=VERMILLION, label="bound 1 − e$^{−ε}$", line="--")
        shown += [1.0]
    axes.set_xscale("log")
    ticks = [*np.unique(finite), *([at_infinity] if has_infinity else [])]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: "∞" if has_infinity and np.isclose(value, at_infinity) else f"{value:g}")
    )
    axes.minorticks_off()
    room = 0.08 * (max(shown) - min(shown) or 1.0)
    axes.set_ylim(min(shown) - room, max(shown) + room)
    axes.set_xlabel("ε of DP-SGD")
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5), useMathText=True)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=SMALL, frameon=False)


def _curve(
    axes: Axes, epsilon: np.ndarray, a: float, b: float, at_infinity: float | None, *, colour: str, label: str,
    line: str = "-",
) -> None:  # fmt: skip
    """Draw a + b(1 − e^−ε), and where there is a run at infinity a short stroke at its height there."""
    axes.plot(epsilon, a + b * -np.expm1(-epsilon), color=colour, linestyle=line, linewidth=1.4, label=label, zorder=1)
    if at_infinity is not None:
        axes.plot([at_infinity / 1.25, at_infinity * 1.25], [a + b] * 2, color=colour, linestyle=line, linewidth=1.4)


def _heat_map(
    values: np.ndarray, texts: Sequence[Sequence[str]], *, rows: Sequence[str], columns: Sequence[str],
    title: str | None,
) -> Figure:  # fmt: skip
    longest = max(len(name) for name in rows)
    two_lines = any("\n" in text for row in texts for text in row)
    width, height = (1.35, 0.56) if two_lines else (0.78, 0.5)
    figure = blank(1.9 + 0.085 * longest + width * len(columns), 1.5 + height * len(rows))
    axes = figure.subplots()
    colours = colormaps[_COLOUR_MAP].with_extremes(bad=_EMPTY)
    image = axes.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=-1, vmax=1, aspect="auto")
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            below = image.to_rgba(values[i, j]) if np.isfinite(values[i, j]) else _EMPTY
            axes.text(j, i, text, ha="center", va="center", fontsize=_CELL, color=_readable_on(below))
    axes.set_yticks(range(len(rows)), rows)
    turned = not two_lines and len(columns) > 3
    axes.set_xticks(range(len(columns)), columns, rotation=40 if turned else 0, ha="right" if turned else "center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    # Long proxies' names leave no room for a title that starts at the frame.
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=HEADING)
    bar = figure.colorbar(image, ax=axes, shrink=0.9, aspect=18)
    bar.set_label("correlation")
    bar.outline.set_visible(False)
    return figure


def _readable_on(colour: Any) -> str:
    """Black or white, whichever stands out more (WCAG's relative luminance): at least 4.5 to 1 on any colour."""
    channels = np.asarray(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#FFFFFF"
