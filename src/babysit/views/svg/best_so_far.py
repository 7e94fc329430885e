"""The best validation score against the work: a stair with one step for each trial."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple

from babysit.views.data.axes import Axis, make_axis
from babysit.views.data.series import Point
from babysit.views.data.study import StudyView
from babysit.views.svg.elements import ACCENT, MUTED, Frame, document, element, path


class BestSoFar(NamedTuple):
    """The stair as figure data.

    Attributes:
        x: the axis of update steps of all trials so far, in the order in which they were drawn.
        y: the axis of validation accuracy, or of validation loss if there are no accuracies.
        stair: the best so far.
        trials: every trial that has a score, at the end of its work.
        accuracy: True for accuracies, False for a loss.
    """

    x: Axis
    y: Axis
    stair: tuple[Point, ...]
    trials: tuple[Point, ...]
    accuracy: bool


def best_so_far(view: StudyView) -> BestSoFar | None:
    """Returns the best score against the work; None if no trial has a score."""
    work, ends = 0, []
    for result in view.results:
        work += result.run.steps
        if math.isfinite(result.score):
            ends.append((float(work), result.score))
    if not ends:
        return None
    best = list(accumulate((score for _, score in ends), max))
    accuracy = any(math.isfinite(one.run.best.val_accuracy) for one in view.results if one.run.best)
    sign = 1 if accuracy else -1
    x = Axis(0.0, float(max(work, 1)), False, "update steps of all trials")
    y = make_axis(
        [sign * score for _, score in ends], "validation accuracy" if accuracy else "validation loss"
    )
    stair: list[Point] = []
    for index, (at, _) in enumerate(ends):
        stair += [(x.place(at), y.place(sign * best[index - 1]))] if index else []
        stair.append((x.place(at), y.place(sign * best[index])))
    stair.append((1.0, stair[-1][1]))
    return BestSoFar(
        x, y, tuple(stair), tuple((x.place(at), y.place(sign * score)) for at, score in ends), accuracy
    )


def best_so_far_svg(data: BestSoFar, width: float = 560, height: float = 300) -> str:
    """Draws the stair, with a dot for every trial."""
    frame = Frame(width, height)
    dots = [
        element("circle", cx=x, cy=y, r=2.2, fill=MUTED, fill_opacity=0.6)
        for x, y in frame.points(data.trials)
    ]
    stair = path(frame.points(data.stair))
    line = element("path", d=stair, fill="none", stroke=ACCENT, stroke_width=1.8)
    return document(width, height, f"best {data.y.label} by work", [*frame.axes(data.x, data.y), *dots, line])
