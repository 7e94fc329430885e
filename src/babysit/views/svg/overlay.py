"""A few runs in one plot: their curves differ in colour and dashes and are named at their ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from babysit.records import EXPLOSION_LIMIT
from babysit.views.data.axes import Axis, make_axis
from babysit.views.data.buckets import bands
from babysit.views.data.series import Point, cost_axis
from babysit.views.svg.elements import Frame, cross, document, element, path, shortened, text, title

MOST_RUNS = 8
"""The most runs of one plot: more cannot be distinguished."""
_BUCKETS = 160
_PALETTE = ("#0072B2", "#B34700", "#007A58", "#9A4C7F", "#8A6D00", "#3A7CA5", "#5B5B5B", "#6A4FB3")
# After Okabe and Ito (2008), darkened until each is readable as text on white; a dark page has its own.
_DASHES = (None, "7 3", "2 3", "9 3 2 3", "12 4", "4 4", "1 4", "9 3 2 3 2 3")
_LINE = 15
"""The height of a name; names are at least so far apart."""


class RunCurve(NamedTuple):
    """One run's curve.

    Attributes:
        number: the run's number, from 0; it decides colour and dashes.
        name: the run's name.
        points: positions from 0 to 1; empty if none lies on the axes.
        diverged: whether it left at the top, or became NaN or infinite.
    """

    number: int
    name: str
    points: tuple[Point, ...]
    diverged: bool = False


class Overlay(NamedTuple):
    """The curves and the axes that they share."""

    x: Axis
    y: Axis
    curves: tuple[RunCurve, ...]


class RunSeries(NamedTuple):
    """One run's measured values; ``first`` is its first cost, NaN if unknown."""

    name: str
    x: ArrayLike
    y: ArrayLike
    first: float = math.nan


def cost_overlay(found: Sequence[RunSeries]) -> Overlay | None:
    """Returns the costs of some runs by step; a diverged run does not set the axis.

    Args:
        found: the runs, each with its first cost.

    Returns:
        The curves; None if no run has a cost.
    """
    arrays = [(np.asarray(one.x), np.asarray(one.y, dtype=np.float64)) for one in found]
    if not any(len(x) for x, _ in arrays):
        return None
    x = Axis(0.0, float(max(max((int(steps[-1]) for steps, _ in arrays if len(steps))), 1)), False, "step")
    sane = [y for one, (_, y) in zip(found, arrays, strict=True) if len(y) and not _diverged(y, one.first)]
    shown = [_finite(values) for values in (sane or [values for _, values in arrays])]
    ends = [float(end(values)) for values in shown if len(values) for end in (np.min, np.max)]
    firsts = [one.first for one in found if math.isfinite(one.first)]
    limit = EXPLOSION_LIMIT * max(map(abs, firsts), default=math.inf)
    y = cost_axis([*(min(end, limit) for end in ends), *(firsts if not sane else ())])
    curves = (
        _curve(number, one, arrays[number], (x, y), _diverged(arrays[number][1], one.first))
        for number, one in enumerate(found)
    )
    return Overlay(x, y, tuple(curves))


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _diverged(costs: NDArray[np.float64], first: float) -> bool:
    """Tells whether the last cost is NaN, infinite, or beyond the limit of the explosion rule."""
    limit = EXPLOSION_LIMIT * abs(first) if math.isfinite(first) else math.inf
    return len(costs) > 0 and not (np.isfinite(costs[-1]) and costs[-1] <= limit)


def score_overlay(found: Sequence[RunSeries], label: str) -> Overlay | None:
    """Returns the scores of some runs by epoch; None if no run has a score.

    Args:
        found: the runs with their epochs and scores.
        label: "validation accuracy" or "validation loss".
    """
    arrays = [(np.asarray(one.x), np.asarray(one.y, dtype=np.float64)) for one in found]
    last = max((int(epochs[-1]) for epochs, _ in arrays if len(epochs)), default=0)
    values = [float(value) for _, y in arrays for value in _finite(y)]
    if not last or not values:
        return None
    x = Axis(min(1.0, last - 0.001), max(float(last), 1.001), False, "epoch", whole=True)
    axes = (x, make_axis(values, label))
    return Overlay(
        *axes, tuple(_curve(number, one, arrays[number], axes, False) for number, one in enumerate(found))
    )


def _curve(
    number: int,
    one: RunSeries,
    arrays: tuple[NDArray[np.generic], NDArray[np.float64]],
    axes: tuple[Axis, Axis],
    diverged: bool,
) -> RunCurve:
    found = bands(*arrays, _BUCKETS)
    kept = np.isfinite(found.middle)
    places = (found.first[kept] + found.last[kept]) / 2
    points = [
        (axes[0].place(float(at)), axes[1].place(float(value)))
        for at, value in zip(places, found.middle[kept], strict=True)
    ]
    outside = next((index for index, (_, height) in enumerate(points) if not height <= 1), len(points))
    inside = points[: outside + 1] if diverged else points
    clipped = tuple((place, min(1.0, max(0.0, 0.0 if math.isnan(y) else y))) for place, y in inside)
    return RunCurve(number, one.name, clipped, diverged)


def colour(number: int) -> str:
    """Returns the colour of a run."""
    return f"var(--series-{number % MOST_RUNS}, {_PALETTE[number % MOST_RUNS]})"


def key_svg(number: int) -> str:
    """Draws a piece of a run's line for a table's heading."""
    line = element("path", d="M1 4h34", **_stroke(number))
    return element("svg", line, viewBox="0 0 36 8", class_="line-key", aria_hidden="true")


def _stroke(number: int) -> dict[str, object]:
    return {
        "fill": "none",
        "stroke": colour(number),
        "stroke_width": 1.8,
        "stroke_dasharray": _DASHES[number % MOST_RUNS],
        "stroke_linejoin": "round",
    }


def overlay_svg(data: Overlay, label: str, width: float = 640, height: float = 340) -> str:
    """Draws the curves, each named at its end.

    Args:
        data: the figure's data.
        label: a description for screen readers.
        width, height: the size of the viewBox.
    """
    frame = Frame(width, height, right=118)
    parts = frame.axes(data.x, data.y)
    curves = [curve for curve in data.curves if curve.points]
    for curve in curves:
        points = frame.points(curve.points)
        if len(points) == 1:
            (x, y), fill = points[0], colour(curve.number)
            parts.append(element("circle", title(curve.name), cx=x, cy=y, r=3, fill=fill))
        else:
            parts.append(element("path", title(curve.name), d=path(points), **_stroke(curve.number)))
            parts.append(cross(*points[-1], curve.name, size=3.5) if curve.diverged else "")
    # The names beside the ends, in the order of their heights, apart from each other.
    ends = sorted((frame.y(curve.points[-1][1]), curve.number, curve) for curve in curves)
    places = spread([end for end, _, _ in ends], _LINE, frame.top + 4, frame.bottom)
    for (end, number, curve), place in zip(ends, places, strict=True):
        lead = path([(frame.x(curve.points[-1][0]) + 3, end), (frame.right + 4, place)])
        parts.append(element("path", d=lead, stroke=colour(number), stroke_opacity=0.35, fill="none"))
        name = shortened(curve.name, 15)
        parts.append(text(name, frame.right + 8, place + 4, fill=colour(number), font_size=11.5))
    return document(width, height, label, parts)


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Moves heights apart, and within limits if there is room.

    Args:
        wanted: the heights in rising order.
        apart: the least distance.
        low, high: the limits.

    Example:
        >>> spread([10.0, 11.0, 50.0], 10.0, 0.0, 100.0)
        [10.0, 20.0, 50.0]
        >>> spread([98.0, 99.0], 10.0, 0.0, 100.0)
        [90.0, 100.0]
    """
    placed: list[float] = []
    for height in wanted:
        placed.append(max(height, placed[-1] + apart if placed else low))
    ceiling = high
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - apart
    return placed
