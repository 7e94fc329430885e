"""Curves over the steps of a run as figure data: lines, what to compare them with, and where things happened.

A watched run, a recorded one and the dashboard draw the same data; nothing here draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from babysit.views.data.axes import Axis, make_axis
from babysit.views.data.buckets import LARGEST, Bands, bands
from babysit.views.data.series import Point, cost_axis

BUCKETS = 120
LOSS_BUCKETS = 200
MOST_LINES = 40
"""Of more layers than this an even choice is drawn, the first and the last among them."""
RATIO = 1e-3
"""The update ratio that the lecture recommends; a factor of ten to either side is usual."""

Pairs = Sequence[tuple[int, float]]
"""Steps and values."""


class Line(NamedTuple):
    """One curve.

    Attributes:
        name: the layer or tensor.
        points: from 0 to 1.
        shade: how deep in the network: 0 first, 1 last; NaN for a line that stands alone.
        area: what lies between the lowest and the highest value of every bucket, as a closed outline; empty
            where every value has a point of its own.
    """

    name: str
    points: tuple[Point, ...]
    shade: float = math.nan
    area: tuple[Point, ...] = ()


class Level(NamedTuple):
    """A horizontal line with its name."""

    place: float
    label: str


class Mark(NamedTuple):
    """A vertical line: something happened at a step.

    Attributes:
        place: where, from 0 to 1.
        label: what is written above; short.
        title: the same in words.
        bad: it is drawn in red.
    """

    place: float
    label: str
    title: str = ""
    bad: bool = True


class Lines(NamedTuple):
    """Curves over the steps of a run.

    Attributes:
        x, y: the axes.
        lines: in the network's order.
        levels: values to compare with.
        band: the lower and upper end of what is usual, as places; None without one.
        broken: places of steps whose value was no number.
        marks: where something happened.
    """

    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    levels: tuple[Level, ...] = ()
    band: tuple[float, float] | None = None
    broken: tuple[float, ...] = ()
    marks: tuple[Mark, ...] = ()


def step_axis(last: int) -> Axis:
    """The axis from step 0 to the last one."""
    return Axis(0.0, float(max(last, 1)), False, "step", whole=True)


def broken_from(steps: ArrayLike, values: ArrayLike) -> int:
    """The step from which on no value is finite any more; 0 for a series whose last value is.

    Example:
        >>> broken_from([1, 2, 3], [2.3, float("nan"), float("inf")]), broken_from([1, 2], [math.nan, 1.0])
        (2, 0)
    """
    at, known = np.asarray(steps), np.isfinite(np.asarray(values, dtype=np.float64))
    if not len(known) or known[-1]:
        return 0
    finite = np.flatnonzero(known)
    return int(at[finite[-1] + 1 if len(finite) else 0])


def ended_axis(steps: ArrayLike, values: ArrayLike) -> Axis:
    """The axis of steps of a run; it ends soon after its loss stopped being a number."""
    at = np.asarray(steps)
    last, broken = int(at[-1]) if len(at) else 0, broken_from(steps, values)
    return step_axis(min(last, broken + max(2, broken // 4)) if broken else last)


def rate_lines(x: Axis, found: Mapping[str, Pairs]) -> Lines | None:
    """Learning rates, from zero on, or on a log axis where they span more than a factor of ten."""
    values = [value for pairs in found.values() for _, value in pairs if value > 0]
    wide = bool(values) and max(values) > 10 * min(values)
    return drawn(x, found, "learning rate", log=wide, also=() if wide else (0.0,))


def ratio_lines(x: Axis, found: Mapping[str, Pairs]) -> Lines | None:
    """Update ratios on a log axis, with the band of a factor of ten round 1e-3."""
    ratios = drawn(x, found, "update ratio", log=True, also=(RATIO / 10, RATIO * 10))
    if ratios is None:
        return None
    band = (ratios.y.place(RATIO / 10), ratios.y.place(RATIO * 10))
    return ratios._replace(band=band, levels=(Level(ratios.y.place(RATIO), "1e-3"),))


def loss_lines(
    x: Axis, steps: ArrayLike, values: ArrayLike, levels: Mapping[str, float], *, most: float = math.inf
) -> Lines | None:
    """A loss over the steps: the median of every bucket, and the band from its lowest to its highest value.

    Args:
        x: the axis of steps; what lies beyond its end is not drawn.
        steps: where each value was measured, rising.
        values: the loss at each.
        levels: name -> what to compare it with; what is not finite is left out.
        most: the axis of losses ends here at the latest, as for a run that exploded.

    Returns:
        None without a finite value.
    """
    at, given = np.asarray(steps), np.asarray(values, dtype=np.float64)
    shown = int(np.searchsorted(at, x.high, side="right"))
    found = bands(at[:shown], given[:shown], LOSS_BUCKETS)
    told = {name: value for name, value in levels.items() if abs(value) < LARGEST}
    numbers = [*found.low[np.isfinite(found.low)], *found.high[np.isfinite(found.high)]]
    if not numbers:
        return None
    y = cost_axis([*(min(float(number), most) for number in numbers), *told.values()])._replace(label="loss")
    broken = tuple(x.place(float(step)) for step in found.first[found.broken > 0])
    placed = (Level(y.place(value), name) for name, value in told.items())
    levels_shown = tuple(level for level in placed if 0 <= level.place <= 1)
    return Lines(x, y, (band_line("loss", found, x, y),), levels_shown, broken=broken)


def band_line(name: str, found: Bands, x: Axis, y: Axis, shade: float = math.nan) -> Line:
    """A line through the medians of buckets, with the area from lowest to highest, clipped to the axes.

    A single point of a bucket is its own lowest and highest: then there is no area.
    """
    kept = np.isfinite(found.middle)
    places = [x.place(float(step)) for step in (found.first[kept] + found.last[kept]) / 2]
    middle, low, high = (_heights(values[kept], y) for values in (found.middle, found.low, found.high))
    thin = low == high
    area = () if thin else (*zip(places, high, strict=True), *reversed([*zip(places, low, strict=True)]))
    return Line(name, tuple(zip(places, middle, strict=True)), shade, area)


def _heights(values: ArrayLike, y: Axis) -> list[float]:
    """Places on the vertical axis; what it cannot show lies at its foot."""
    return [_clipped(y.place(float(value))) for value in np.asarray(values)]


def _clipped(place: float) -> float:
    return 0.0 if math.isnan(place) else min(1.0, max(0.0, place))


def drawn(
    x: Axis, found: Mapping[str, Pairs], label: str, *, log: bool, also: Sequence[float] = ()
) -> Lines | None:
    """Series as lines on one pair of axes, shaded by their depth.

    Args:
        x: the axis of steps; later values are left out.
        found: name -> steps and values, in the network's order; a value that is not finite, or below zero
            on a log axis, is left out; a zero lies at the foot of a log axis.
        label: of the vertical axis.
        log: whether that is logarithmic.
        also: values that must be visible.

    Returns:
        None when there is nothing to draw.
    """
    kept = {name: _visible(pairs, x, log) for name, pairs in found.items()}
    kept = {name: pairs for name, pairs in kept.items() if pairs}
    values = [value for pairs in kept.values() for _, value in pairs]
    if not any(value > 0 or not log for value in (*values, *also)) or not values:
        return None
    y = make_axis([*values, *also], label, log=log)
    names = evenly(list(kept), MOST_LINES)
    depth = {name: place / (len(kept) - 1) if len(kept) > 1 else math.nan for place, name in enumerate(kept)}
    lines = [band_line(name, _bands(kept[name]), x, y, depth[name]) for name in names]
    return Lines(x, y, tuple(lines))


def _bands(pairs: Pairs) -> Bands:
    return bands([step for step, _ in pairs], [value for _, value in pairs], BUCKETS)


def _visible(pairs: Pairs, x: Axis, log: bool) -> list[tuple[int, float]]:
    return [
        (step, value)
        for step, value in pairs
        if step <= x.high and abs(value) < LARGEST and (value >= 0 or not log)
    ]


def evenly(names: Sequence[str], most: int) -> list[str]:
    """At most so many names, evenly chosen, the first and the last among them.

    Example:
        >>> evenly("abcde", 3)
        ['a', 'c', 'e']
    """
    if len(names) <= most:
        return list(names)
    return [names[round(place * (len(names) - 1) / (most - 1))] for place in range(most)]
