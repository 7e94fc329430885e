"""The figure data of a watched run to inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from babysit.views.svg import (
    ACCENT,
    BAD,
    MUTED,
    Frame,
    document,
    element,
    path,
    ramp_colour,
    text,
    title,
)
from babysit.views.watched import Level, Line, Lines

BRIGHTEST = 0.75
"""The end of the colour ramp that deep layers may take: beyond it a line fades into a white page."""
LEGEND = 8
"""Up to so many lines are named one by one, more by their ends."""

Mark = tuple[float, str]
"""A step's place, and the number of the cause that begins there."""


def lines_svg(
    data: Lines, label: str, marks: Sequence[Mark] = (), width: float = 560, height: float = 300
) -> str:
    """Curves over the steps, compared with their levels and their band.

    Args:
        data: what is drawn.
        label: what it shows, for those who cannot see it.
        marks: where causes begin.
        width, height: of the viewBox.
    """
    frame = Frame(width, height, top=22)
    parts = [_band(frame, data.band), *frame.axes(data.x, data.y)]
    parts += [_line(frame, line) for line in data.lines]
    parts += _levels(frame, data.levels)
    parts += [_mark(frame, *mark) for mark in marks if 0 <= mark[0] <= 1]
    return document(width, height, label, parts)


def colour_of(line: Line) -> str:
    """A line's colour: dark for the first layer, bright for the last."""
    return ACCENT if math.isnan(line.shade) else ramp_colour(line.shade * BRIGHTEST)


def legend_html(lines: Sequence[Line]) -> str:
    """The names of some lines beside their colours; of many only the first and the last. Escaped.

    Example:
        >>> legend_html([])
        ''
    """
    if len(lines) < 2:
        return ""
    shown = lines if len(lines) <= LEGEND else (lines[0], lines[-1])
    names = [f'<li><i style="background:{colour_of(line)}"></i>{escape(line.name)}</li>' for line in shown]
    if len(lines) > LEGEND:
        names.insert(1, f"<li>… {len(lines) - 2} between; point at a line for its name</li>")
    return f'<ul class="legend">{"".join(names)}</ul>'


def _line(frame: Frame, line: Line) -> str:
    points = frame.points(line.points)
    stroke = {"fill": "none", "stroke": colour_of(line), "stroke_width": 1.6, "stroke_linejoin": "round"}
    if len(points) == 1:
        x, y = points[0]
        return element("circle", title(line.name), cx=x, cy=y, r=2.6, fill=colour_of(line))
    return element("path", title(line.name), d=path(points), **stroke) if points else ""


def _band(frame: Frame, band: tuple[float, float] | None) -> str:
    if band is None:
        return ""
    low, high = (min(1.0, max(0.0, place)) for place in band)
    top = frame.y(high)
    around = {"x": frame.left, "y": top, "width": frame.right - frame.left, "height": frame.y(low) - top}
    return element("rect", title("usual"), **around, fill="var(--good, #1a7f4b)", fill_opacity=0.1)


def _levels(frame: Frame, levels: Sequence[Level]) -> list[str]:
    """Named lines; a name that would lie on the one above goes below its line."""
    parts, used = [], math.inf
    for level in sorted(levels, key=lambda level: -level.place):
        height = frame.y(level.place)
        below = abs(height - used) < 16 or height < frame.top + 14
        used = height
        parts.append(frame.horizontal(level.place, stroke=MUTED, stroke_dasharray="5 4"))
        place = height + 14 if below else height - 5
        halo = {"stroke": "var(--card, none)", "stroke_width": 3, "paint_order": "stroke"}
        parts.append(text(level.label, frame.right - 4, place, "end", fill=MUTED, font_size=11, **halo))
    return parts


def _mark(frame: Frame, place: float, label: str) -> str:
    """A dashed line where a cause begins, its number above."""
    line = frame.vertical(place, stroke=BAD, stroke_dasharray="3 3")
    return line + text(label, frame.x(place), frame.top - 6, "middle", fill=BAD, font_weight=700)
