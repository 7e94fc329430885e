"""Curves over the steps of a run as figure data: lines, reference values and events.

A watched run, a recorded one and the dashboard draw the same data; nothing here draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from babysit.store.queries import Curve
from babysit.views.data.axes import Axis, make_axis
from babysit.views.data.buckets import LARGEST, Bands, bands
from babysit.views.data.series import Point, clipped, cost_axis

BUCKETS = 120
LOSS_BUCKETS = 200
MOST_LINES = 40
"""Of more layers than this an even selection is drawn, with the first and the last."""
RATIO = 1e-3
"""The update ratio that the lecture recommends; a factor of ten to either side is usual."""

Pairs = Sequence[tuple[int, float]]
"""Steps and values."""


def pairs_of(curve: Curve) -> Pairs:
    """Returns steps and values as pairs of numbers."""
    steps, values = curve
    return list(zip(steps.tolist(), values.tolist(), strict=True))


class Line(NamedTuple):
    """One curve.

    Attributes:
        name: the layer or tensor.
        points: from 0 to 1.
        shade: the depth in the network: 0 first, 1 last; NaN for a single line.
        area: the outline from the lowest to the highest value of every bucket; empty where every value has a
            point of its own.
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
    """A vertical line for an event at a step.

    Attributes:
        place: from 0 to 1.
        label: the short text above.
        title: the event in words.
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
        levels: reference values.
        band: the places of the lower and upper end of the usual values; None without one.
        broken: places of steps whose value was NaN or infinite.
        marks: the events.
    """

    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    levels: tuple[Level, ...] = ()
    band: tuple[float, float] | None = None
    broken: tuple[float, ...] = ()
    marks: tuple[Mark, ...] = ()


def step_axis(last: int) -> Axis:
    """Returns the axis from step 0 to the last one."""
    return Axis(0.0, float(max(last, 1)), False, "step", whole=True)


def broken_from(steps: ArrayLike, values: ArrayLike) -> int:
    """Returns the step from which no value is finite; 0 for a series whose last value is finite.

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
    """Returns the axis of steps of a run; it ends soon after its loss became NaN or infinite."""
    at = np.asarray(steps)
    last, broken = int(at[-1]) if len(at) else 0, broken_from(steps, values)
    return step_axis(min(last, broken + max(2, broken // 4)) if broken else last)


def rate_lines(x: Axis, found: Mapping[str, Pairs]) -> Lines | None:
    """Lays out learning rates from zero on, or on a log axis where they span more than a factor of ten."""
    values = [value for pairs in found.values() for _, value in pairs if value > 0]
    wide = bool(values) and max(values) > 10 * min(values)
    return drawn(x, found, "learning rate", log=wide, also=() if wide else (0.0,))


def ratio_lines(x: Axis, found: Mapping[str, Pairs]) -> Lines | None:
    """Lays out update ratios on a log axis, with the band of a factor of ten round 1e-3."""
    ratios = drawn(x, found, "update ratio", log=True, also=(RATIO / 10, RATIO * 10))
    if ratios is None:
        return None
    band = (ratios.y.place(RATIO / 10), ratios.y.place(RATIO * 10))
    return ratios._replace(band=band, levels=(Level(ratios.y.place(RATIO), "1e-3"),))


def loss_lines(
    x: Axis, steps: ArrayLike, values: ArrayLike, levels: Mapping[str, float], *, most: float = math.inf
) -> Lines | None:
    """Lays out a loss over the steps: the median of every bucket, and the band from lowest to highest value.

    Args:
        x: the axis of steps; later values are not drawn.
        steps: of each value, rising.
        values: the loss at each.
        levels: name -> reference value; one that is not finite is left out.
        most: the axis of losses ends here at the latest, as for a run that exploded.

    Returns:
        None without a finite value.
    """
    at, given = np.asarray(steps), np.asarray(values, dtype=np.float64)
    shown = int(np.searchsorted(at, x.high, side="right"))
    found = bands(at[:shown], given[:shown], LOSS_BUCKETS)
    known = {name: value for name, value in levels.items() if abs(value) < LARGEST}
    numbers = [*found.low[np.isfinite(found.low)], *found.high[np.isfinite(found.high)]]
    if not numbers:
        return None
    y = cost_axis([*(min(float(number), most) for number in numbers), *known.values()])._replace(label="loss")
    broken = tuple(x.place(float(step)) for step in found.first[found.broken > 0])
    placed = (Level(y.place(value), name) for name, value in known.items())
    levels_shown = tuple(level for level in placed if 0 <= level.place <= 1)
    return Lines(x, y, (band_line("loss", found, x, y),), levels_shown, broken=broken)


def band_line(name: str, found: Bands, x: Axis, y: Axis, shade: float = math.nan) -> Line:
    """Lays out a line through the medians of buckets, with the area from lowest to highest value.

    Where every bucket has a single point, there is no area.
    """

    def heights(values: NDArray[np.float64]) -> list[float]:
        return [clipped(y.place(float(value))) for value in values[kept]]

    kept = np.isfinite(found.middle)
    places = [x.place(float(step)) for step in (found.first[kept] + found.last[kept]) / 2]
    middle, low, high = heights(found.middle), heights(found.low), heights(found.high)
    area = (
        () if low == high else (*zip(places, high, strict=True), *reversed([*zip(places, low, strict=True)]))
    )
    return Line(name, tuple(zip(places, middle, strict=True)), shade, area)


def drawn(
    x: Axis, found: Mapping[str, Pairs], label: str, *, log: bool, also: Sequence[float] = ()
) -> Lines | None:
    """Lays out series as lines on one pair of axes, shaded by their depth.

    Args:
        x: the axis of steps; later values are left out.
        found: name -> steps and values, in the network's order; a value that is not finite, or below zero
            on a log axis, is left out; a zero lies at the foot of a log axis.
        label: of the vertical axis.
        log: the vertical axis is logarithmic.
        also: values that must be visible.

    Returns:
        None where no value can be drawn.
    """

    def visible(pairs: Pairs) -> list[tuple[int, float]]:
        shown = [(step, value) for step, value in pairs if step <= x.high and abs(value) < LARGEST]
        return [(step, value) for step, value in shown if value >= 0 or not log]

    kept = {name: shown for name, pairs in found.items() if (shown := visible(pairs))}
    values = [value for pairs in kept.values() for _, value in pairs]
    if not any(value > 0 or not log for value in (*values, *also)) or not values:
        return None
    y = make_axis([*values, *also], label, log=log)
    names = evenly(list(kept), MOST_LINES)
    depth = {name: place / (len(kept) - 1) if len(kept) > 1 else math.nan for place, name in enumerate(kept)}
    lines = []
    for name in names:
        steps, numbers = zip(*kept[name], strict=True)
        lines.append(band_line(name, bands(steps, numbers, BUCKETS), x, y, depth[name]))
    return Lines(x, y, tuple(lines))


def evenly(names: Sequence[str], most: int) -> list[str]:
    """Selects names evenly, with the first and the last; all where they are few enough.

    Example:
        >>> evenly("abcde", 3)
        ['a', 'c', 'e']
    """
    if len(names) <= most:
        return list(names)
    return [names[round(place * (len(names) - 1) / (most - 1))] for place in range(most)]
