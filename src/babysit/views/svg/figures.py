"""Draws the figures of a study and of a run as inline SVG."""

from __future__ import annotations

import math

from babysit.views.data.formatting import number_text, percent_text
from babysit.views.data.scatter import RangeStrip, Scatter, ScatterPoint
from babysit.views.data.series import LossCurve, LossCurves, RunCosts, Scores, Spark
from babysit.views.svg.elements import (
    ACCENT,
    BAD,
    GRID,
    INK,
    MUTED,
    RAMP,
    Frame,
    cross,
    document,
    element,
    path,
    ramp_colour,
    shortened,
    text,
    title,
)

MOST_LARGE_DOTS = 300
"""The number of trials beyond which the dots of a scatter are smaller."""


def spark_svg(spark: Spark, width: float = 96, height: float = 22) -> str:
    """Draws a cost curve for a table cell, with a red cross at an explosion."""
    if not spark.points:
        return ""
    points = [(2 + x * (width - 8), 2 + (1 - y) * (height - 4)) for x, y in spark.points]
    line = element(
        "path", d=path(points), fill="none", stroke=BAD if spark.exploded else ACCENT, stroke_width=1.3
    )
    end = cross(points[-1][0], points[-1][1], size=3) if spark.exploded else ""
    # No text and no tooltip: a thousand of them must stay small.
    return element("svg", line + end, viewBox=f"0 0 {width} {height}", class_="spark", aria_hidden="true")


def loss_curves_svg(data: LossCurves, width: float = 560, height: float = 360) -> str:
    """Draws the costs of all trials in one plot, the best on top, shaded by their score."""
    frame = Frame(width, height, top=30)
    label = f"cost by step of {len(data.curves)} trials, {data.diverged} of them diverged"
    parts = [*frame.axes(data.x, data.y), _first_cost_line(frame, data.first_cost)]
    parts += [_loss_curve(frame, curve) for curve in data.curves]
    legend = ["━ best trial"] if any(curve.best for curve in data.curves) else []
    legend += [f"× {data.diverged} diverged"] if data.diverged else []
    legend += [f"↑ {data.above} above the axis"] if data.above else []
    if legend:
        parts.append(text("  ·  ".join(legend), frame.left, 16.0, fill=MUTED, font_size=11))
    return document(width, height, label, parts)


def _loss_curve(frame: Frame, curve: LossCurve) -> str:
    points = frame.points(curve.points)
    if not points:
        return ""
    line = element(
        "path",
        title(curve.title),
        d=path(points),
        fill="none",
        stroke=BAD if curve.diverged else INK if curve.best else ramp_colour(curve.shade),
        stroke_width=1.8 if curve.best else 1,
        stroke_opacity=None if curve.best else 0.55,
        stroke_dasharray="3 2" if curve.diverged else None,
    )
    return line + (cross(*points[-1], tooltip=curve.title, size=3) if curve.diverged else "")


def _first_cost_line(frame: Frame, place: float) -> str:
    if not 0 <= place <= 1:
        return ""
    line = frame.horizontal(place, stroke=MUTED, stroke_dasharray="5 4")
    return line + text("first cost", frame.right - 4, frame.y(place) - 5, "end", fill=MUTED, font_size=11)


def run_costs_svg(data: RunCosts, width: float = 560, height: float = 300) -> str:
    """Draws the costs of one run, with a line at the first cost."""
    frame = Frame(width, height)
    parts = [*frame.axes(data.x, data.y), _first_cost_line(frame, data.first_cost)]
    line = path(frame.points(data.points))
    parts.append(element("path", d=line, fill="none", stroke=ACCENT, stroke_width=1.3) if line else "")
    if not math.isnan(data.exploded_at):
        parts.append(frame.vertical(data.exploded_at, stroke=BAD, stroke_dasharray="3 2"))
        parts.append(text("exploded", frame.x(data.exploded_at) - 5, frame.top + 12, "end", fill=BAD))
    return document(width, height, "cost by step of one run", parts)


def scores_svg(data: Scores, width: float = 560, height: float = 300) -> str:
    """Draws training and validation accuracy by epoch, the gap between them shaded."""
    frame = Frame(width, height, right=100)
    val, train = frame.points(data.val), frame.points(data.train)
    parts = frame.axes(data.x, data.y)
    if train and len(train) == len(val):
        around = path([*train, *reversed(val)]) + "Z"
        parts.append(
            element("path", title(f"gap {percent_text(data.gap)}"), d=around, fill=ACCENT, fill_opacity=0.13)
        )
    parts.append(_epoch_line(train, MUTED, "5 3"))
    parts.append(_epoch_line(val, ACCENT, None))
    if val:  # the names at the right ends of the lines, at least 14 apart
        parts.append(text("validation", frame.right + 8, val[-1][1] + 4, fill=ACCENT))
        if train:
            apart = train[-1][1] - val[-1][1]
            moved = apart if abs(apart) >= 14 else math.copysign(14, apart or -1)
            parts.append(text("training", frame.right + 8, val[-1][1] + moved + 4, fill=MUTED))
    name = "training and validation accuracy" if data.accuracy else "validation loss"
    return document(width, height, f"{name} by epoch", parts)


def _epoch_line(points: list[tuple[float, float]], colour: str, dashes: str | None) -> str:
    if not points:
        return ""
    dots = (
        "".join(element("circle", cx=x, cy=y, r=2.6, fill=colour) for x, y in points)
        if len(points) <= 40
        else ""
    )
    line = element(
        "path", d=path(points), fill="none", stroke=colour, stroke_width=1.8, stroke_dasharray=dashes
    )
    return line + dots


def scatter_svg(data: Scatter, width: float = 560, height: float = 420) -> str:
    """Draws trials in the plane of two hyperparameters, with the searched boxes and a legend."""
    frame = Frame(width, height, top=44)
    label = f"{len(data.points)} trials by {data.x.label} and {data.y.label}"
    parts = [*frame.axes(data.x, data.y)]
    for box in data.boxes:
        left, top = frame.x(box.left), frame.y(box.top)
        place = {"x": left, "y": top, "width": frame.x(box.right) - left, "height": frame.y(box.bottom) - top}
        style = {"fill": INK, "fill_opacity": 0.035, "stroke": INK, "stroke_opacity": 0.55}
        tooltip = title(f"searched by stage {box.name}")
        parts.append(element("rect", tooltip, **place, **style, stroke_dasharray="6 4"))
    radius = 4.5 if len(data.points) <= MOST_LARGE_DOTS else 3.0
    parts += [_scatter_point(frame, point, radius) for point in data.points]
    # A halo in the page's colour keeps the names readable over the points.
    halo = {"stroke": "var(--card, none)", "stroke_width": 3, "paint_order": "stroke"}
    for box in data.boxes:
        x, y = frame.x(box.left) + 6, frame.y(box.top) + 15
        parts.append(text(shortened(box.name, 20), x, y, "start", **halo, font_size=11))
    parts.append(_shade_legend(frame, data))
    return document(width, height, label, parts)


def _scatter_point(frame: Frame, point: ScatterPoint, radius: float) -> str:
    x, y = frame.x(point.x), frame.y(point.y)
    if point.exploded:
        return cross(x, y, point.title)
    dot = element(
        "circle",
        title(point.title),
        cx=x,
        cy=y,
        r=6.5 if point.best else radius,
        fill=ramp_colour(point.shade) if not math.isnan(point.shade) else "none",
        stroke=INK,
        stroke_opacity=0.45,
        stroke_width=0.8,
    )
    ring = (
        element("circle", cx=x, cy=y, r=10.5, fill="none", stroke=INK, stroke_width=2) if point.best else ""
    )
    return dot + ring


def _shade_legend(frame: Frame, data: Scatter) -> str:
    if all(math.isnan(point.shade) for point in data.points):
        caption = "no trial has a validation score"
    else:
        low, high = (percent_text(end) if data.accuracy else number_text(abs(end)) for end in data.shades)
        score = "best validation accuracy" if data.accuracy else "best validation loss"
        worse = " or worse" if any(point.shade < 0 for point in data.points) else ""
        caption = f"{score}: {low}{worse} to {high}"
    stops = len(RAMP)
    bar = "".join(
        element(
            "rect",
            x=frame.left + 12.0 * index,
            y=22.0,
            width=12.5,
            height=8,
            fill=ramp_colour(index / (stops - 1)),
        )
        for index in range(stops)
    )
    end = frame.left + 12.0 * stops
    words = text(caption, frame.left, 14.0, fill=MUTED, font_size=11)
    ring = element("circle", cx=end + 28, cy=26.0, r=5, fill="none", stroke=INK, stroke_width=1.6)
    best = text("best", end + 39, 30.0, fill=MUTED, font_size=11)
    exploded = cross(end + 94, 26.0) + text("exploded", end + 104, 30.0, fill=MUTED, font_size=11)
    return words + bar + ring + best + exploded


def range_strip_svg(data: RangeStrip, width: float = 520, height: float = 62) -> str:
    """Draws the searched range, the best value at its edge, and the range to search next."""
    frame = Frame(width, height, left=12, right=12, top=8, bottom=22)
    (left, right), (new_left, new_right) = data.searched, data.proposed
    parts = [
        text(tick.label, frame.x(tick.position), height - 5, "middle", fill=MUTED) for tick in data.axis.ticks
    ]
    parts += [frame.vertical(tick.position, stroke=GRID) for tick in data.axis.ticks]
    parts.append(_bar(frame, left, right, 10.0, "searched", fill=MUTED, fill_opacity=0.35))
    parts.append(_bar(frame, new_left, new_right, 25.0, "search next", fill=ACCENT, fill_opacity=0.8))
    parts.append(element("circle", title("best value"), cx=frame.x(data.best), cy=15.0, r=5, fill=BAD))
    return document(width, height, f"searched and proposed range of {data.axis.label}", parts)


def _bar(frame: Frame, left: float, right: float, y: float, tooltip: str, **attributes: object) -> str:
    return element(
        "rect",
        title(tooltip),
        x=frame.x(left),
        y=y,
        width=max(2.0, frame.x(right) - frame.x(left)),
        height=10,
        rx=3,
        **attributes,
    )
