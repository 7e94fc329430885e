"""Curves over the steps of a run to inline SVG."""

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
"""The end of the colour ramp that deep layers may take: beyond it a line fades into a white page."""
LEGEND = 8
"""Up to so many lines are named one by one, more by their ends."""


def lines_svg(data: Lines, label: str, width: float = 560, height: float = 300) -> str:
    """Curves over the steps, compared with their levels and their band.

    Args:
        data: what is drawn.
        label: what it shows, for those who cannot see it.
        width, height: of the viewBox.
    """
    frame = Frame(width, height, top=22)
    parts = [_band(frame, data.band), *frame.axes(data.x, data.y)]
    parts += [_area(frame, line) for line in data.lines]
    parts += [_line(frame, line) for line in data.lines]
    parts.append(_broken(frame, data.broken))
    parts += _marks(frame, [mark for mark in data.marks if 0 <= mark.place <= 1])
    parts += _levels(frame, data.levels)
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
    names = [f"<li>{swatch(line)}{escape(line.name)}</li>" for line in shown]
    if len(lines) > LEGEND:
        names.insert(1, f"<li>… {len(lines) - 2} between; point at a line for its name</li>")
    return f'<ul class="legend">{"".join(names)}</ul>'


def swatch(line: Line) -> str:
    """A short piece of a line, for a legend; drawn, since a page may forbid styles in attributes."""
    drawn = element("path", d="M0 3h16", stroke=colour_of(line), stroke_width=3)
    return element("svg", drawn, class_="swatch", viewBox="0 0 16 6", aria_hidden="true")


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
    """Named lines; those that lie on each other share one label."""
    parts, groups = [], list[list[Level]]()
    for level in sorted(levels, key=lambda level: -level.place):
        parts.append(frame.horizontal(level.place, stroke=MUTED, stroke_dasharray="5 4"))
        near = groups and frame.y(level.place) - frame.y(groups[-1][0].place) < 13
        groups[-1].append(level) if near else groups.append([level])
    return [*parts, *(_level_label(frame, group) for group in groups)]


def _level_label(frame: Frame, group: Sequence[Level]) -> str:
    height = frame.y(group[0].place)
    place = frame.y(group[-1].place) + 14 if height < frame.top + 14 else height - 5
    halo = {"stroke": "var(--card, none)", "stroke_width": 3, "paint_order": "stroke"}
    words = ", ".join(level.label for level in group)
    return text(words, frame.right - 4, place, "end", fill=MUTED, font_size=11, **halo)


def _marks(frame: Frame, marks: Sequence[Mark]) -> list[str]:
    """Dashed lines where something happened; labels above that would overlap are one."""
    parts, groups = [], list[list[Mark]]()
    for mark in sorted(marks, key=lambda mark: mark.place):
        line = frame.vertical(mark.place, stroke=_mark_colour([mark]), stroke_dasharray="3 3")
        parts.append(element("g", title(mark.title) + line) if mark.title else line)
        groups.append([mark])
        while len(groups) > 1 and _label_ends(frame, groups[-2])[1] + 6 > _label_ends(frame, groups[-1])[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [*parts, *(_mark_label(frame, group) for group in groups)]


def _mark_label(frame: Frame, group: Sequence[Mark]) -> str:
    place, anchor = _label_place(group)
    words = text(
        _label_words(group), frame.x(place), frame.top - 6, anchor, fill=_mark_colour(group), font_weight=700
    )
    told = "; ".join(mark.title for mark in group if mark.title)
    return element("g", title(told) + words) if told else words


def _label_words(group: Sequence[Mark]) -> str:
    return ", ".join(dict.fromkeys(mark.label for mark in group))


def _label_place(group: Sequence[Mark]) -> tuple[float, str]:
    if group[-1].place > 0.8:
        return group[-1].place, "end"
    return group[0].place, "start" if group[0].place < 0.2 else "middle"


def _label_ends(frame: Frame, group: Sequence[Mark]) -> tuple[float, float]:
    """From where to where a label reaches, in letters as wide as a phone draws them."""
    place, anchor = _label_place(group)
    width = 11 * len(_label_words(group))
    left = frame.x(place) - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return left, left + width


def _mark_colour(group: Sequence[Mark]) -> str:
    return BAD if any(mark.bad for mark in group) else ACCENT


def _area(frame: Frame, line: Line) -> str:
    if not line.area:
        return ""
    return element("path", d=f"{path(frame.points(line.area))}Z", fill=colour_of(line), fill_opacity=0.2)


def _broken(frame: Frame, places: Sequence[float]) -> str:
    """Red marks at the top, one for each stretch of steps whose value was no number."""
    marks = "".join(f"M{short(frame.x(place))} {short(frame.top)}v9" for place in places)
    words = title("no finite number")
    return element("path", words, d=marks, stroke=BAD, stroke_width=2.4, class_="broken") if marks else ""
