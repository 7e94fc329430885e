"""The figure data of a watched run, in plain numbers; nothing here draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from babysit.records import Reading
from babysit.views.data import lines
from babysit.views.data.axes import Axis
from babysit.views.data.buckets import LARGEST
from babysit.views.data.lines import Lines, drawn
from babysit.views.data.series import Scores, run_scores
from babysit.watching.sample import LayerStat, Sample, TensorStat, WatchLog

Stat = TypeVar("Stat")


class LayerRow(NamedTuple):
    """One layer at the last sample; NaN where it has no such value.

    Attributes:
        name: the layer.
        mean, std: of its output.
        saturated: the share of outputs at the ends of a sigmoid or tanh.
        dead: the share of units that were silent in every sampled batch.
        units: the number of its units; 0 where none are counted.
    """

    name: str
    mean: float
    std: float
    saturated: float
    dead: float
    units: int


def _steps(log: WatchLog) -> range:
    return range(1, log.steps + 1)


def broken_from(log: WatchLog) -> int:
    """Returns the step from which the loss is NaN or infinite; 0 where the last loss is finite."""
    return lines.broken_from(_steps(log), log.losses)


def step_axis(log: WatchLog) -> Axis:
    """Returns the axis of all figures of a run; it ends soon after the loss became NaN or infinite."""
    return lines.ended_axis(_steps(log), log.losses)


def loss_lines(log: WatchLog) -> Lines | None:
    """Lays out the loss of every step, with its first value and the chance level; None without a step."""
    levels = {"first loss": log.first, "chance": log.chance}
    return lines.loss_lines(step_axis(log), _steps(log), log.losses, levels)


def score_lines(log: WatchLog) -> Scores | None:
    """Lays out the accuracies, or the validation loss, epoch by epoch; None where the loop reported none."""
    readings = [
        Reading(number, each.step, math.nan, each.train_accuracy, each.val_accuracy, math.nan, each.val_loss)
        for number, each in enumerate(log.epochs, 1)
    ]
    has_scores = any(math.isfinite(each.val_accuracy) or math.isfinite(each.val_loss) for each in readings)
    return run_scores(readings) if has_scores else None


def ratio_lines(log: WatchLog) -> Lines | None:
    """Lays out the update ratio of every weight tensor on a log axis, with the band round 1e-3."""
    found = _series(log.samples, _tensors, lambda stat: stat.ratio)
    return lines.ratio_lines(step_axis(log), found)


def gradient_lines(log: WatchLog) -> Lines | None:
    """Lays out the root mean square of the gradient of every weight tensor, on a log axis."""
    found = _series(log.samples, _tensors, lambda stat: stat.rms_gradient if stat.dims >= 2 else math.nan)
    return drawn(step_axis(log), found, "rms gradient", log=True)


def mean_lines(log: WatchLog) -> Lines | None:
    """Lays out the mean of every layer's output."""
    found = _series(log.samples, _layers, lambda stat: stat.mean)
    return drawn(step_axis(log), found, "mean of the output", log=False, also=(0.0,))


def std_lines(log: WatchLog) -> Lines | None:
    """Lays out the standard deviation of every layer's output, on a log axis."""
    found = _series(log.samples, _layers, lambda stat: stat.std)
    return drawn(step_axis(log), found, "std of the output", log=True)


def saturation_lines(log: WatchLog) -> Lines | None:
    """Lays out the share of a sigmoid's or tanh's outputs at its ends; None without such a layer."""
    found = _series(log.samples, _layers, lambda stat: stat.saturated)
    return drawn(step_axis(log), found, "saturated share", log=False, also=(0.0, 1.0))


def rate_lines(log: WatchLog) -> Lines | None:
    """Lays out the learning rate of every parameter group; None where no sample has one."""
    groups = max((len(sample.rates) for sample in log.samples), default=0)
    found = {
        f"group {number}" if groups > 1 else "learning rate": [
            (sample.step, float(sample.rates[number])) for sample in log.samples if number < len(sample.rates)
        ]
        for number in range(groups)
    }
    return lines.rate_lines(step_axis(log), found)


def layer_rows(log: WatchLog) -> list[LayerRow]:
    """Returns every layer at its newest sample."""
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


def _series(
    samples: Sequence[Sample],
    stats: Callable[[Sample], Mapping[str, Stat]],
    value: Callable[[Stat], float],
) -> dict[str, list[tuple[int, float]]]:
    """Collects the values of all samples: name -> (step, value)."""
    found: dict[str, list[tuple[int, float]]] = {}
    for sample in samples:
        for name, stat in stats(sample).items():
            number = value(stat)
            if abs(number) < LARGEST:
                found.setdefault(name, []).append((sample.step, number))
    return found
