"""Small multiples: many loss curves side by side, each in its own frame, on one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.records import EXPLOSION_LIMIT
from babysit.views.data.axes import Axis
from babysit.views.data.series import Point, cost_axis, path_through
from babysit.views.svg.elements import BAD, GRID, MUTED, Frame, cross, document, element, path, text

WIDTH, HEIGHT = 190.0, 96.0


class Course(NamedTuple):
    """A summary of one run's costs, which needs no series.

    Attributes:
        name: the run's name.
        state: the run's state.
        buckets: shape (buckets, 3): lowest, highest, last, evenly spread over its steps.
        steps: the number of update steps.
        first_cost: the first cost; NaN before the first step.
        exploded: whether the curve leaves at the top.
    """

    name: str
    state: str
    buckets: NDArray[np.float32]
    steps: int
    first_cost: float
    exploded: bool


class Panel(NamedTuple):
    """One frame: a run with its curve."""

    name: str
    state: str
    points: tuple[Point, ...]
    exploded: bool


class Multiples(NamedTuple):
    """All frames, and the axis that they share.

    Attributes:
        y: the axis; diverged runs do not set it.
        first_cost: the position of the median first cost on the axis; NaN if there is none.
        panels: the frames in the order of the runs.
    """

    y: Axis
    first_cost: float
    panels: tuple[Panel, ...]


def multiples(courses: Sequence[Course]) -> Multiples:
    """Returns loss curves for frames side by side; all share both axes, so that they can be compared.

    Args:
        courses: the runs.
    """
    firsts = [course.first_cost for course in courses if math.isfinite(course.first_cost)]
    middle = float(np.median(firsts)) if firsts else math.nan
    # The axis shows up to three times the usual first cost, the limit of the explosion rule.
    limit = EXPLOSION_LIMIT * abs(middle) if math.isfinite(middle) else math.inf
    values = [course.buckets[np.isfinite(course.buckets)] for course in courses if not course.exploded]
    ends = [float(end) for found in values if len(found) for end in (found.min(), found.max())]
    y = cost_axis([*(min(end, limit) for end in ends), *([middle] if firsts else [])])
    longest = max((course.steps for course in courses), default=1)
    panels = []
    for course in courses:
        count = len(course.buckets)
        places = (np.arange(count) + 1) / max(count, 1) * (course.steps / max(longest, 1))
        points = path_through(places, course.buckets.astype(float), y)
        if course.exploded:
            outside = next((index for index, (_, height) in enumerate(points) if height >= 1), len(points))
            points = points[: outside + 1]
        panels.append(Panel(course.name, course.state, points, course.exploded))
    return Multiples(y, y.place(middle), tuple(panels))


def panel_svg(data: Multiples, panel: Panel) -> str:
    """Draws one frame; its curve takes the page's colour for the run's state (class ``curve``)."""
    frame = Frame(WIDTH, HEIGHT, left=30, right=4, top=4, bottom=4)
    shown = [tick for tick in data.y.ticks if 0.02 <= tick.position <= 0.98]
    parts = [frame.horizontal(tick.position, stroke=GRID) for tick in shown]
    parts += [
        text(tick.label, frame.left - 4, frame.y(tick.position) + 3.5, "end", fill=MUTED, font_size=10)
        for tick in shown
    ]
    if 0 <= data.first_cost <= 1:
        parts.append(frame.horizontal(data.first_cost, stroke=MUTED, stroke_dasharray="3 3"))
    line = path(frame.points(panel.points))
    stroke = BAD if panel.exploded else "currentColor"
    if line:
        parts.append(element("path", d=line, fill="none", stroke=stroke, stroke_width=1.5, class_="curve"))
    if panel.exploded and panel.points:
        end = frame.points(panel.points[-1:])[0]
        parts.append(cross(end[0], max(end[1], frame.top + 4), size=3.5))
    return document(WIDTH, HEIGHT, f"cost by step of {panel.name}, {panel.state}", parts)
