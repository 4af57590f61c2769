"""Names beside the points of a scatter plot, placed so that they hide neither each other nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

Point = tuple[float, float]

_DIRECTIONS = 16
_DISTANCES = (8, 13, 20, 30, 44)  # points (1/72 inch)
_MARKER = 5  # half a marker's width with its edge, points
_FONT_SIZE = 8
_GAP = 2  # points around a label: else 1 beside 17 would read as 117, and bars would touch letters


def place_labels(
    axes: Axes,
    points: Sequence[Point],
    labels: Sequence[str],
    *,
    colours: Sequence[str],
    lines: Sequence[tuple[Point, Point]] = (),
) -> None:
    """Write each label next to its point, where it overlaps labels, points, lines and the frame least.

    Nearer places are preferred; a label that had to go far gets a thin line to its point. Points are taken in order
    of how crowded they are, the most crowded first, so that the others go around them.

    Parameters
    ----------
    axes : Axes
        Laid out already (``figure.draw_without_rendering()``), with its final limits.
    points : sequence of (x, y)
        In data coordinates.
    labels, colours : sequence of str
    lines : sequence of pairs of points
        Error bars and arrows.
    """
    figure = axes.get_figure()
    renderer = FigureCanvasAgg(figure).get_renderer()
    scale = figure.dpi / 72
    pixels = [tuple(axes.transData.transform(point)) for point in points]
    markers = [_box(x, y, 2 * _MARKER * scale, 2 * _MARKER * scale) for x, y in pixels]
    frame = axes.get_window_extent(renderer)
    inked = _inked(axes, lines)
    placed: list[Bbox] = []
    for number in sorted(range(len(points)), key=lambda n: -_crowding(pixels, n)):
        text = axes.annotate(
            labels[number], points[number], xytext=(0, 0), textcoords="offset points", ha="center", va="center",
            fontsize=_FONT_SIZE, color=tuple(0.8 * part for part in to_rgb(colours[number])), zorder=5,
            annotation_clip=False, path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip
        text.set_in_layout(False)
        size = text.get_window_extent(renderer)
        x, y = pixels[number]
        best_cost, best_offset, best_box, best_distance = math.inf, (0.0, 0.0), size, 0
        for distance in _DISTANCES:
            for step in range(_DIRECTIONS):
                angle = 2 * math.pi * step / _DIRECTIONS
                # Around a rectangle, so that the label's edge, not its middle, is at that distance.
                longest = max(abs(math.cos(angle)), abs(math.sin(angle)))
                right = math.cos(angle) / longest * (distance * scale + size.width / 2)
                up = math.sin(angle) / longest * (distance * scale * 0.8 + size.height / 2)
                box = _box(x + right, y + up, size.width, size.height)
                apart = _box(x + right, y + up, size.width + 2 * _GAP * scale, size.height + _GAP * scale)
                hidden = sum(_overlap(apart, other) for other in placed) + sum(_overlap(box, m) for m in markers)
                outside = box.width * box.height - _overlap(box, frame)
                crossed = int(((inked >= apart.min) & (inked <= apart.max)).all(axis=1).sum())
                cost = 10 * hidden + 3 * outside + 100 * crossed + distance * scale * 12
                if cost < best_cost:
                    best_cost, best_offset, best_box = cost, (right / scale, up / scale), box
                    best_distance = distance
        text.set_position(best_offset)
        placed.append(best_box)
        if best_distance > _DISTANCES[1]:
            line = axes.annotate(
                "", points[number], xytext=best_offset, textcoords="offset points", zorder=1,
                arrowprops={"arrowstyle": "-", "color": colours[number], "linewidth": 0.5, "shrinkA": 6, "shrinkB": 4},
            )  # fmt: skip
            line.set_in_layout(False)


def _inked(axes: Axes, lines: Sequence[tuple[Point, Point]]) -> np.ndarray:
    """Pixels along the lines, one every few, as an array of shape [P, 2]."""
    along = [np.empty((0, 2))]
    for line in lines:
        start, end = axes.transData.transform(line)
        n_pixels = max(2, int(np.hypot(*(end - start)) / 4))
        along.append(np.linspace(start, end, n_pixels))
    return np.concatenate(along)


def _crowding(pixels: Sequence[tuple[float, float]], number: int) -> float:
    x, y = pixels[number]
    return sum(1 / (20 + math.hypot(x - u, y - v)) for n, (u, v) in enumerate(pixels) if n != number)


def _box(x: float, y: float, width: float, height: float) -> Bbox:
    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)


def _overlap(one: Bbox, other: Bbox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0.0) * max(height, 0.0)
