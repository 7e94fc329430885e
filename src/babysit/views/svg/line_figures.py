"""Draws curves over the steps of a run as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from babysit.views.data.lines import Level, Line, Lines, Mark
from babysit.views.svg.elements import (
    ACCENT,
    BAD,
    MUTED,
    Frame,
    document,
    element,
    path,
    ramp_colour,
    short,
    text,
    title,
)

BRIGHTEST = 0.75
"""The brightest shade of the colour ramp in use: brighter lines fade into a white page."""
LEGEND = 8
"""The most lines of a legend that names each; of more it names the first and the last."""


def lines_svg(data: Lines, label: str, width: float = 560, height: float = 300) -> str:
    """Draws curves over the steps with their levels and their band.

    Args:
        data: the figure's data.
        label: a description for screen readers.
        width, height: the size of the viewBox.
    """
    frame = Frame(width, height, top=22)
    parts = []
    if data.band is not None:
        low, high = (min(1.0, max(0.0, place)) for place in data.band)
        top, length = frame.y(high), frame.y(low) - frame.y(high)
        around = {"x": frame.left, "y": top, "width": frame.right - frame.left, "height": length}
        parts.append(element("rect", title("usual"), **around, fill="var(--good, #1a7f4b)", fill_opacity=0.1))
    parts += frame.axes(data.x, data.y)
    for line in data.lines:
        if line.area:
            outline = f"{path(frame.points(line.area))}Z"
            parts.append(element("path", d=outline, fill=colour_of(line), fill_opacity=0.2))
    for line in data.lines:
        points = frame.points(line.points)
        stroke = {"stroke": colour_of(line), "stroke_width": 1.6, "stroke_linejoin": "round"}
        if len(points) == 1:
            x, y = points[0]
            parts.append(element("circle", title(line.name), cx=x, cy=y, r=2.6, fill=colour_of(line)))
        elif points:
            parts.append(element("path", title(line.name), d=path(points), fill="none", **stroke))
    # Red marks at the top, one for each stretch of steps whose value is NaN or infinite.
    if stretches := "".join(f"M{short(frame.x(place))} {short(frame.top)}v9" for place in data.broken):
        words = title("NaN or infinite")
        parts.append(element("path", words, d=stretches, stroke=BAD, stroke_width=2.4, class_="broken"))
    parts += _marks(frame, [mark for mark in data.marks if 0 <= mark.place <= 1])
    parts += _levels(frame, data.levels)
    return document(width, height, label, parts)


def colour_of(line: Line) -> str:
    """Returns a line's colour: dark for the first layer, bright for the last."""
    return ACCENT if math.isnan(line.shade) else ramp_colour(line.shade * BRIGHTEST)


def legend_html(lines: Sequence[Line]) -> str:
    """Writes the names of lines beside their colours, escaped; of many only the first and the last.

    Example:
        >>> legend_html([])
        ''
    """
    if len(lines) < 2:
        return ""
    shown = lines if len(lines) <= LEGEND else (lines[0], lines[-1])
    names = [f"<li>{swatch(line)}{escape(line.name)}</li>" for line in shown]
    if len(lines) > LEGEND:
        names.insert(1, f"<li>… {len(lines) - 2} between; point at a line for its name</li>")
    return f'<ul class="legend">{"".join(names)}</ul>'


def swatch(line: Line) -> str:
    """Draws a short piece of a line for a legend; a page may forbid styles in attributes."""
    drawn = element("path", d="M0 3h16", stroke=colour_of(line), stroke_width=3)
    return element("svg", drawn, class_="swatch", viewBox="0 0 16 6", aria_hidden="true")


def _levels(frame: Frame, levels: Sequence[Level]) -> list[str]:
    """Draws named horizontal lines; lines close together share one label."""
    parts, groups = [], list[list[Level]]()
    for level in sorted(levels, key=lambda level: -level.place):
        parts.append(frame.horizontal(level.place, stroke=MUTED, stroke_dasharray="5 4"))
        near = groups and frame.y(level.place) - frame.y(groups[-1][0].place) < 13
        groups[-1].append(level) if near else groups.append([level])
    halo = {"stroke": "var(--card, none)", "stroke_width": 3, "paint_order": "stroke"}
    for group in groups:
        height = frame.y(group[0].place)
        place = frame.y(group[-1].place) + 14 if height < frame.top + 14 else height - 5
        words = ", ".join(level.label for level in group)
        parts.append(text(words, frame.right - 4, place, "end", fill=MUTED, font_size=11, **halo))
    return parts


def _marks(frame: Frame, marks: Sequence[Mark]) -> list[str]:
    """Draws dashed vertical lines at events; labels that would overlap are merged."""
    parts, groups = [], list[list[Mark]]()
    for mark in sorted(marks, key=lambda mark: mark.place):
        line = frame.vertical(mark.place, stroke=_mark_colour([mark]), stroke_dasharray="3 3")
        parts.append(element("g", title(mark.title) + line) if mark.title else line)
        groups.append([mark])
        while len(groups) > 1 and _label_ends(frame, groups[-2])[1] + 6 > _label_ends(frame, groups[-1])[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    for group in groups:
        place, anchor = _label_place(group)
        style = {"fill": _mark_colour(group), "font_weight": 700}
        label = text(_label_words(group), frame.x(place), frame.top - 6, anchor, **style)
        titles = "; ".join(mark.title for mark in group if mark.title)
        parts.append(element("g", title(titles) + label) if titles else label)
    return parts


def _label_words(group: Sequence[Mark]) -> str:
    return ", ".join(dict.fromkeys(mark.label for mark in group))


def _label_place(group: Sequence[Mark]) -> tuple[float, str]:
    if group[-1].place > 0.8:
        return group[-1].place, "end"
    return group[0].place, "start" if group[0].place < 0.2 else "middle"


def _label_ends(frame: Frame, group: Sequence[Mark]) -> tuple[float, float]:
    """Returns the left and right end of a label, in letters as wide as a phone draws them."""
    place, anchor = _label_place(group)
    width = 11 * len(_label_words(group))
    left = frame.x(place) - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return left, left + width


def _mark_colour(group: Sequence[Mark]) -> str:
    return BAD if any(mark.bad for mark in group) else ACCENT
