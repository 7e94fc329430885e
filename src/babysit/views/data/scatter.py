"""The picture of a search: trials in the plane of two hyperparameters, ranges and their edges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from babysit.records import Edge, Result, Stage, State, TrialKey
from babysit.views.data.axes import Axis, make_axis
from babysit.views.data.formatting import is_searched, searched_names, varied_names
from babysit.views.data.series import shade_of, shade_range, trial_title
from babysit.views.data.study import StudyView


class ScatterPoint(NamedTuple):
    """One trial in the plane of two hyperparameters; ``shade`` is NaN without a score."""

    key: TrialKey
    x: float
    y: float
    shade: float
    exploded: bool
    best: bool
    title: str


class ScatterBox(NamedTuple):
    """The box that a stage searched, by its corners."""

    name: str
    left: float
    right: float
    bottom: float
    top: float


class Scatter(NamedTuple):
    """All trials in the plane of two hyperparameters, or of one and the score.

    Attributes:
        x, y: the axes.
        points: the best last.
        boxes: one per stage; none where the second axis is the score.
        shades: the scores at shade 0 and shade 1.
        accuracy: True when the shade is an accuracy.
    """

    x: Axis
    y: Axis
    points: tuple[ScatterPoint, ...]
    boxes: tuple[ScatterBox, ...]
    shades: tuple[float, float]
    accuracy: bool


class RangeStrip(NamedTuple):
    """A searched range, the best value in it, and the range proposed instead."""

    axis: Axis
    searched: tuple[float, float]
    proposed: tuple[float, float]
    best: float


def scatter_names(view: StudyView) -> list[str]:
    """Returns the one or two hyperparameters to plot: learning rate and l2, or the first searched ones."""
    open_names = searched_names([stage.box for stage in view.stages]) or varied_names(view.results)
    numeric = [name for name in open_names if _numbers(view.results, name)]
    if {"learning_rate", "l2"} <= set(numeric):
        return ["learning_rate", "l2"]
    return sorted(numeric, key=lambda name: name != "learning_rate")[:2]


def _numbers(results: Iterable[Result], name: str) -> list[float]:
    values = [result.trial.hyperparameters.get(name) for result in results]
    return [
        float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def scatter(view: StudyView, names: Sequence[str] | None = None) -> Scatter | None:
    """Places all trials in the plane of two hyperparameters.

    Args:
        view: the study.
        names: the hyperparameters. Default: those of :func:`scatter_names`. A single one is plotted against
            the score.

    Returns:
        None where no hyperparameter is a number.
    """
    chosen = list(names) if names is not None else scatter_names(view)
    if not chosen:
        return None
    accuracy = any(math.isfinite(result.run.best.val_accuracy) for result in view.results if result.run.best)
    x = _hyperparameter_axis(view, chosen[0])
    if len(chosen) > 1:
        y = _hyperparameter_axis(view, chosen[1])
    else:
        label = "validation accuracy" if accuracy else "minus validation loss"
        y = make_axis([result.score for result in view.results], label)
    shades = shade_range(view.results)
    varied = varied_names(view.results)
    points = [_scatter_point(view, result, chosen, (x, y), shades, varied) for result in view.results]
    shown = [point for point in points if not math.isnan(point.x + point.y)]
    shown.sort(key=lambda point: (point.best, not point.exploded, point.shade))
    boxes = [_scatter_box(stage, chosen, (x, y)) for stage in view.stages if len(chosen) > 1]
    return Scatter(x, y, tuple(shown), tuple(box for box in boxes if box), shades, accuracy)


def _hyperparameter_axis(view: StudyView, name: str) -> Axis:
    ranges = [stage.box[name] for stage in view.stages if is_searched(stage.box.get(name))]
    ends = [float(box[end]) for box in ranges for end in ("low", "high") if end in box]
    return make_axis([*_numbers(view.results, name), *ends], name, log=any(box.get("log") for box in ranges))


def _scatter_point(
    view: StudyView,
    result: Result,
    names: Sequence[str],
    axes: tuple[Axis, Axis],
    shades: tuple[float, float],
    varied: Sequence[str],
) -> ScatterPoint:
    x = _place(axes[0], result, names[0])
    exploded = result.run.state is State.EXPLODED
    if len(names) > 1:
        y = _place(axes[1], result, names[1])
    elif math.isfinite(result.score):
        y = axes[1].place(result.score)
    else:  # an exploded trial has no score: it is marked at the foot of the figure
        y = 0.0 if exploded else math.nan
    return ScatterPoint(
        key=result.trial.key,
        x=x,
        y=y,
        shade=shade_of(result.score, shades),
        exploded=exploded,
        best=result is view.best,
        title=trial_title(view, result, varied),
    )


def _place(axis: Axis, result: Result, name: str) -> float:
    numbers = _numbers([result], name)
    return axis.place(numbers[0]) if numbers else math.nan


def _scatter_box(stage: Stage, names: Sequence[str], axes: tuple[Axis, Axis]) -> ScatterBox | None:
    ranges = [stage.box.get(name) for name in names]
    if not all(is_searched(one) and "low" in one for one in ranges if one) or None in ranges:
        return None
    (left, right), (bottom, top) = (
        sorted((axis.place(float(one["low"])), axis.place(float(one["high"]))))
        for axis, one in zip(axes, ranges, strict=True)
        if one is not None
    )
    return ScatterBox(stage.name, left, right, bottom, top)


def range_strip(edge: Edge) -> RangeStrip | None:
    """Builds the figure of an edge alarm; None where a number is missing or not finite."""
    ends = [edge.low, edge.high, edge.new_low, edge.new_high, edge.value]
    if not all(isinstance(end, int | float) and math.isfinite(end) for end in ends):
        return None
    axis = make_axis(ends, edge.name, log=edge.scale == "log" and min(ends) > 0)
    low, high, new_low, new_high, value = (axis.place(end) for end in ends)
    return RangeStrip(axis, (low, high), (new_low, new_high), value)
