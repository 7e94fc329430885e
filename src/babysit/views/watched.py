"""A watched run to figure data: what is drawn where, in plain numbers; nothing here draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from babysit.records import Reading
from babysit.views.axes import Axis, make_axis
from babysit.views.series import Point, Scores, cost_axis, run_scores, thinned_path
from babysit.watching.quantities import LayerStat, Log, Sample, TensorStat

Stat = TypeVar("Stat")

BUCKETS = 120
LOSS_BUCKETS = 200
MOST_LINES = 40
"""Of more layers than this an even choice is drawn, the first and the last among them."""
HUGE = 1e38
"""What single precision holds: curves are thinned in it."""
RATIO = 1e-3
"""The update ratio that the lecture recommends; a factor of ten to either side is usual."""


class Line(NamedTuple):
    """One curve.

    Attributes:
        name: the layer or tensor.
        points: from 0 to 1.
        shade: how deep in the network: 0 first, 1 last; NaN for a line that stands alone.
    """

    name: str
    points: tuple[Point, ...]
    shade: float = math.nan


class Level(NamedTuple):
    """A horizontal line with its name."""

    place: float
    label: str


class Lines(NamedTuple):
    """Curves over the steps of a run.

    Attributes:
        x, y: the axes.
        lines: in the network's order.
        levels: values to compare with.
        band: the lower and upper end of what is usual, as places; None without one.
    """

    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    levels: tuple[Level, ...] = ()
    band: tuple[float, float] | None = None


class LayerRow(NamedTuple):
    """One layer at the last sample; NaN where it has no such number.

    Attributes:
        name: the layer.
        mean, std: of its output.
        saturated: the share of outputs at the ends of a sigmoid or tanh.
        dead: the share of units that were silent in every sampled batch.
        units: how many units it has; 0 where none are counted.
    """

    name: str
    mean: float
    std: float
    saturated: float
    dead: float
    units: int


def broken_from(log: Log) -> int:
    """The step from which the loss is no number any more; 0 for a run that still has one."""
    numbers = (step for step in range(log.steps, 0, -1) if math.isfinite(log.losses[step - 1]))
    last = next(numbers, 0)
    return last + 1 if last < log.steps else 0


def step_axis(log: Log) -> Axis:
    """The axis that all figures of a run share; it ends soon after the loss stopped being a number."""
    broken = broken_from(log)
    end = min(log.steps, broken + max(2, broken // 4)) if broken else log.steps
    return Axis(0.0, float(max(end, 1)), False, "step", whole=True)


def loss_lines(log: Log) -> Lines | None:
    """The loss of every step, with its first value and the best constant answer's; None without a step."""
    known = [min(HUGE, max(-HUGE, loss)) for loss in log.losses if math.isfinite(loss)]
    if not known:
        return None
    levels = {"first loss": log.first, "chance": log.chance}
    shown = {name: value for name, value in levels.items() if abs(value) < HUGE}
    x, y = step_axis(log), _renamed(cost_axis([*known, *shown.values()]), "loss")
    end = int(x.high)
    losses = np.clip(np.array(log.losses), -HUGE, HUGE)
    steps = np.arange(1, min(end, log.steps) + 1)
    points = thinned_path(steps, losses[:end], (x, y), LOSS_BUCKETS, spikes_only=False)
    placed = (Level(y.place(value), name) for name, value in shown.items())
    return Lines(x, y, (Line("loss", points),), tuple(level for level in placed if 0 <= level.place <= 1))


def _renamed(axis: Axis, label: str) -> Axis:
    return axis._replace(label=label)


def score_lines(log: Log) -> Scores | None:
    """Training and validation accuracy, or the validation loss, epoch by epoch; None if none was told."""
    readings = [
        Reading(number, each.step, math.nan, each.train_accuracy, each.val_accuracy, math.nan, each.val_loss)
        for number, each in enumerate(log.epochs, 1)
    ]
    told = any(math.isfinite(each.val_accuracy) or math.isfinite(each.val_loss) for each in readings)
    return run_scores(readings) if told else None


def ratio_lines(log: Log) -> Lines | None:
    """The update ratio of every weight tensor on a log axis, with the band round 1e-3."""
    found = _series(log.samples, _tensors, lambda stat: stat.ratio)
    lines = _drawn(log, found, "update ratio", log_axis=True, also=(RATIO / 10, RATIO * 10))
    if lines is None:
        return None
    band = (lines.y.place(RATIO / 10), lines.y.place(RATIO * 10))
    return lines._replace(band=band, levels=(Level(lines.y.place(RATIO), "1e-3"),))


def gradient_lines(log: Log) -> Lines | None:
    """A typical single weight's gradient in every weight tensor, on a log axis."""
    found = _series(log.samples, _tensors, lambda stat: stat.rms_gradient if stat.dims >= 2 else math.nan)
    return _drawn(log, found, "rms gradient", log_axis=True)


def mean_lines(log: Log) -> Lines | None:
    """The mean of every layer's output."""
    found = _series(log.samples, _layers, lambda stat: stat.mean)
    return _drawn(log, found, "mean of the output", log_axis=False, also=(0.0,))


def std_lines(log: Log) -> Lines | None:
    """The standard deviation of every layer's output, on a log axis."""
    return _drawn(
        log, _series(log.samples, _layers, lambda stat: stat.std), "std of the output", log_axis=True
    )


def saturation_lines(log: Log) -> Lines | None:
    """The share of a sigmoid's or tanh's outputs at its ends; None without such a layer."""
    found = _series(log.samples, _layers, lambda stat: stat.saturated)
    return _drawn(log, found, "saturated share", log_axis=False, also=(0.0, 1.0))


def rate_lines(log: Log) -> Lines | None:
    """The learning rate of every parameter group; None if no sample told one."""
    groups = max((len(sample.rates) for sample in log.samples), default=0)
    found = {
        f"group {number}" if groups > 1 else "learning rate": [
            (sample.step, float(sample.rates[number])) for sample in log.samples if number < len(sample.rates)
        ]
        for number in range(groups)
    }
    values = [value for pairs in found.values() for _, value in pairs if value > 0]
    wide = bool(values) and max(values) > 10 * min(values)
    return _drawn(log, found, "learning rate", log_axis=wide, also=() if wide else (0.0,))


def layer_rows(log: Log) -> list[LayerRow]:
    """Every layer at the newest sample that saw it."""
    newest: dict[str, LayerStat] = {}
    for sample in log.samples:
        newest.update(sample.layers)
    names = dict.fromkeys([*newest, *log.units])
    nothing = LayerStat(math.nan, math.nan)
    rows = []
    for name in names:
        stat, units = newest.get(name, nothing), log.units.get(name)
        dead, count = (units.share, units.units) if units and units.units else (math.nan, 0)
        rows.append(LayerRow(name, stat.mean, stat.std, stat.saturated, dead, count))
    return rows


def _tensors(sample: Sample) -> Mapping[str, TensorStat]:
    return sample.tensors


def _layers(sample: Sample) -> Mapping[str, LayerStat]:
    return sample.layers


Pairs = Sequence[tuple[int, float]]


def _series(
    samples: Sequence[Sample],
    stats: Callable[[Sample], Mapping[str, Stat]],
    value: Callable[[Stat], float],
) -> dict[str, list[tuple[int, float]]]:
    """Name -> (step, value) of every sample that has one."""
    found: dict[str, list[tuple[int, float]]] = {}
    for sample in samples:
        for name, stat in stats(sample).items():
            number = value(stat)
            if abs(number) < HUGE:
                found.setdefault(name, []).append((sample.step, number))
    return found


def _drawn(
    log: Log, found: Mapping[str, Pairs], label: str, *, log_axis: bool, also: Sequence[float] = ()
) -> Lines | None:
    """Series as lines on one pair of axes; None when there is nothing to draw."""
    x = step_axis(log)
    kept = {name: _visible(pairs, x, log_axis) for name, pairs in found.items()}
    kept = {name: pairs for name, pairs in kept.items() if pairs}
    values = [value for pairs in kept.values() for _, value in pairs]
    if not values:
        return None
    y = make_axis([*values, *also], label, log=log_axis)
    names = evenly(list(kept), MOST_LINES)
    depth = {name: place / (len(kept) - 1) if len(kept) > 1 else math.nan for place, name in enumerate(kept)}
    lines = tuple(Line(name, _points(kept[name], x, y), depth[name]) for name in names)
    return Lines(x, y, lines)


def _visible(pairs: Pairs, x: Axis, log_axis: bool) -> list[tuple[int, float]]:
    return [(step, value) for step, value in pairs if step <= x.high and (value > 0 or not log_axis)]


def _points(pairs: Pairs, x: Axis, y: Axis) -> tuple[Point, ...]:
    steps, values = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    return thinned_path(steps, values, (x, y), BUCKETS, spikes_only=False)


def evenly(names: Sequence[str], most: int) -> list[str]:
    """At most so many names, evenly chosen, the first and the last among them.

    Example:
        >>> evenly("abcde", 3)
        ['a', 'c', 'e']
    """
    if len(names) <= most:
        return list(names)
    return [names[round(place * (len(names) - 1) / (most - 1))] for place in range(most)]
