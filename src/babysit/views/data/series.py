"""Records to figure data: what is drawn where, in plain numbers; nothing here draws.

Positions run from 0 to 1, left to right and bottom to top. Curves are thinned by the lowest and highest value
of every bucket, so the same run always looks the same and a spike of one step stays visible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from babysit.records import Explosion, Reading, Result, Run, State
from babysit.store.queries import buckets
from babysit.views.data.axes import Axis, make_axis
from babysit.views.data.formatting import choice_text, score_text, varied_names
from babysit.views.data.study import Costs, Key, StudyView

Point = tuple[float, float]

SPARK_BUCKETS = 24
CURVE_BUCKETS = 48
RUN_BUCKETS = 200
SPIKE = 1.5
"""Beyond this factor of its bucket's last cost, a cost is a spike and is drawn in a thinned curve."""
ABOVE_FIRST = 3.0
"""The axis for costs ends at this factor of the usual first cost, where the explosion rule begins."""
LOG_COSTS_FROM = 10.0
"""Costs that span more than this factor are drawn on a log axis."""


class Spark(NamedTuple):
    """A cost curve without axes: its points, and whether it left at the top."""

    points: tuple[Point, ...]
    exploded: bool


class LossCurve(NamedTuple):
    """One trial's costs.

    Attributes:
        key: the trial.
        points: the curve, clipped to the axes.
        diverged: the run exploded, or its cost stopped being a number.
        shade: where its score lies among all, 0 to 1; NaN without a score.
        best: it has the best score.
        title: the trial in words.
    """

    key: Key
    points: tuple[Point, ...]
    diverged: bool
    shade: float
    best: bool
    title: str


class LossCurves(NamedTuple):
    """The costs of all trials.

    Attributes:
        x, y: the axes; diverged runs do not set the second.
        curves: the best last, so that it lies on top.
        first_cost: the middle first cost of the runs on the axis; NaN when there is none.
        diverged: how many runs diverged.
        above: how many others lie wholly above the axis, and are not drawn.
        shades: the scores at shade 0 and shade 1.
    """

    x: Axis
    y: Axis
    curves: tuple[LossCurve, ...]
    first_cost: float
    diverged: int
    above: int
    shades: tuple[float, float]


class RunCosts(NamedTuple):
    """The costs of one run, the value it started from, and where it exploded, if it did."""

    x: Axis
    y: Axis
    points: tuple[Point, ...]
    first_cost: float
    exploded_at: float


class Scores(NamedTuple):
    """Training and validation score of one run, epoch by epoch.

    Attributes:
        x, y: the axes.
        train: empty for regression.
        val: accuracy, or the validation loss.
        gap: training minus validation accuracy at the end; NaN for regression.
        accuracy: True for accuracies, False for a loss.
    """

    x: Axis
    y: Axis
    train: tuple[Point, ...]
    val: tuple[Point, ...]
    gap: float
    accuracy: bool


def spark(costs: ArrayLike, *, exploded: bool = False) -> Spark:
    """A cost curve for a table cell.

    Args:
        costs: the cost of every step, or shape (buckets, 3) from a run summary.
        exploded: the run exploded; its curve is clipped at three times its first cost.
    """
    given = np.asarray(costs, dtype=float)
    shrunk = given if given.ndim == 2 else buckets(given, SPARK_BUCKETS).astype(float)
    finite = shrunk[np.isfinite(shrunk)]
    if not len(finite):
        return Spark((), exploded)
    high = min(finite.max(), 3 * abs(finite[0])) if exploded else finite.max()
    axis = Axis(
        float(finite.min()), float(max(high, finite.min() + 1e-12 + abs(finite.min()) * 1e-6)), False, ""
    )
    return Spark(path_through(np.linspace(0, 1, len(shrunk)), shrunk, axis), exploded)


def path_through(
    places: NDArray[Any], shrunk: NDArray[Any], axis: Axis, *, spikes_only: bool = True
) -> tuple[Point, ...]:
    """The path through every bucket's extremes and last value; it ends at the first NaN.

    Args:
        places: where each bucket stands from left to right, 0 to 1.
        shrunk: shape (buckets, 3): lowest, highest, last.
        axis: the vertical one; what lies beyond it is clipped.
        spikes_only: pass over the extremes where they are no more than a mini-batch's noise.
    """
    points: list[Point] = []
    for place, (low, high, last) in zip(places.tolist(), shrunk.tolist(), strict=True):
        extremes = [high] if not spikes_only or high > SPIKE * last else []
        extremes += [low] if not spikes_only or low * SPIKE < last else []
        for value in dict.fromkeys([*extremes, last]):
            if math.isnan(value):
                return tuple(points)
            points.append((place, _clipped(axis.place(value))))
    return tuple(points)


def _clipped(place: float) -> float:
    return 0.0 if math.isnan(place) else min(1.0, max(0.0, place))


def has_diverged(run: Run, costs: ArrayLike) -> bool:
    """True for a run that exploded, or whose cost stopped being a finite number."""
    return run.state is State.EXPLODED or not bool(np.isfinite(np.asarray(costs)).all())


def loss_curves(view: StudyView) -> LossCurves | None:
    """The costs of all trials of a study; None when no step was recorded."""
    drawn = [result for result in view.results if len(_costs_of(view, result)[0])]
    if not drawn:
        return None
    sane = [result for result in drawn if not has_diverged(result.run, _costs_of(view, result)[1])]
    first = [result.run.first_cost for result in sane or drawn if math.isfinite(result.run.first_cost)]
    middle = float(np.median(first)) if first else math.nan
    steps = max(int(_costs_of(view, result)[0][-1]) for result in drawn)
    axes = (Axis(0.0, float(max(steps, 1)), False, "step"), _shared_cost_axis(view, sane, middle))
    shades, names = shade_range(view.results), varied_names(view.results)
    curves = [_loss_curve(view, result, axes, shades, names) for result in drawn]
    curves.sort(key=lambda curve: (curve.best, not curve.diverged, curve.shade))
    on_axis = [curve for curve in curves if curve.diverged or min(map(_height, curve.points), default=0) < 1]
    return LossCurves(
        *axes,
        curves=tuple(on_axis),
        first_cost=axes[1].place(middle),
        diverged=len(drawn) - len(sane),
        above=len(curves) - len(on_axis),
        shades=shades,
    )


def _height(point: Point) -> float:
    return point[1]


def _shared_cost_axis(view: StudyView, sane: Sequence[Result], first_cost: float) -> Axis:
    extremes = [value for result in sane for value in _extremes(_costs_of(view, result)[1])]
    if not math.isfinite(first_cost):
        return cost_axis(extremes)
    limit = ABOVE_FIRST * abs(first_cost)
    return cost_axis([first_cost, *(min(value, limit) for value in extremes)])


def _costs_of(view: StudyView, result: Result) -> Costs:
    return view.costs.get(result.trial.key, (np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)))


def _extremes(costs: NDArray[Any]) -> tuple[float, float]:
    return float(costs.min()), float(costs.max())


def cost_axis(values: Sequence[float]) -> Axis:
    """The axis for costs: logarithmic when they span more than a factor of ten."""
    positive = [value for value in values if math.isfinite(value) and value > 0]
    wide = len(positive) == len(values) > 0 and max(positive) > LOG_COSTS_FROM * min(positive)
    return make_axis(values, "cost", log=wide)


def _until_off_axis(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """A curve up to where it first reaches the top."""
    ends = [index + 1 for index, (_, height) in enumerate(points) if height >= 1]
    return points[: ends[0]] if ends else points


def _loss_curve(
    view: StudyView,
    result: Result,
    axes: tuple[Axis, Axis],
    shades: tuple[float, float],
    names: Sequence[str],
) -> LossCurve:
    steps, costs = _costs_of(view, result)
    diverged = has_diverged(result.run, costs)
    points = thinned_path(steps, costs, axes, CURVE_BUCKETS, spikes_only=True)
    return LossCurve(
        key=result.trial.key,
        points=_until_off_axis(points) if diverged else points,
        diverged=diverged,
        shade=shade_of(result.score, shades),
        best=result is view.best,
        title=trial_title(view, result, names),
    )


def thinned_path(
    steps: NDArray[Any], costs: NDArray[Any], axes: tuple[Axis, Axis], count: int, *, spikes_only: bool
) -> tuple[Point, ...]:
    """A curve of at most ``count`` buckets, clipped to the axes; it ends at the first NaN.

    Args:
        steps: where each value was measured, rising.
        costs: the values.
        axes: the two that it is drawn on.
        count: how many buckets.
        spikes_only: pass over a bucket's extremes where they are no more than a mini-batch's noise.
    """
    shrunk = buckets(costs, count)
    places = np.array([axes[0].place(float(step)) for step in buckets(steps, count)[:, 2]])
    return path_through(places, shrunk, axes[1], spikes_only=spikes_only)


def run_costs(run: Run, costs: Costs) -> RunCosts | None:
    """The costs of one run; None when no step was recorded."""
    steps, values = costs
    if not len(steps):
        return None
    x = Axis(0.0, float(max(int(steps[-1]), 1)), False, "step")
    limit = 3 * run.first_cost if run.explosion and math.isfinite(run.first_cost) else math.inf
    shown = [float(value) for value in values if math.isfinite(value) and value <= limit]
    y = cost_axis([*shown, *([run.first_cost] if math.isfinite(run.first_cost) else [])])
    exploded_at = x.place(run.explosion.step) if run.explosion else math.nan
    return RunCosts(
        x,
        y,
        thinned_path(steps, values, (x, y), RUN_BUCKETS, spikes_only=False),
        y.place(run.first_cost),
        exploded_at,
    )


def run_scores(readings: Sequence[Reading]) -> Scores | None:
    """Accuracies of one run, or its validation loss where there are no accuracies; None without readings."""
    if not readings:
        return None
    accuracy = any(math.isfinite(reading.val_accuracy) for reading in readings)
    val = [reading.val_accuracy if accuracy else reading.val_loss for reading in readings]
    train = [reading.train_accuracy for reading in readings] if accuracy else []
    epochs = [reading.epoch for reading in readings]
    x = Axis(min(epochs) - 0.001, max(epochs) + 0.001, False, "epoch", whole=True)
    label = "accuracy" if accuracy else "validation loss"
    y = make_axis([*train, *val], label, log=False)
    gap = train[-1] - val[-1] if accuracy else math.nan
    return Scores(x, y, _epoch_points(epochs, train, x, y), _epoch_points(epochs, val, x, y), gap, accuracy)


def _epoch_points(epochs: Sequence[int], values: Sequence[float], x: Axis, y: Axis) -> tuple[Point, ...]:
    pairs = zip(epochs, values, strict=False)
    return tuple((x.place(epoch), y.place(value)) for epoch, value in pairs if math.isfinite(value))


def shade_range(results: Iterable[Result]) -> tuple[float, float]:
    """The scores between which shades run, worst and best; (0, 1) when there is none.

    One hopeless trial must not paint all others alike, so the worst end lies at most three times as far
    from the best as the middle score does.
    """
    scores = [result.score for result in results if math.isfinite(result.score)]
    if not scores:
        return (0.0, 1.0)
    best, middle = max(scores), float(np.median(scores))
    return (max(min(scores), best - 3 * (best - middle)) if middle < best else min(scores), best)


def shade_of(score: float, shades: tuple[float, float]) -> float:
    """Where a score lies between worst (0, and below for worse) and best (1); NaN without a score."""
    if not math.isfinite(score):
        return math.nan
    return (score - shades[0]) / (shades[1] - shades[0]) if shades[1] > shades[0] else 1.0


def trial_title(view: StudyView, result: Result, names: Sequence[str]) -> str:
    """A trial in words: which one, its choice, and what came of it."""
    explosion = result.run.explosion
    end = explosion_text(explosion) if explosion else f"best validation {score_text(result)}"
    choice = choice_text(result.trial.hyperparameters, names)
    return f"{view.trial_name(result.trial.key)}: {choice}\n{result.run.state}, {end}"


def explosion_text(explosion: Explosion) -> str:
    """When and how a run exploded.

    Example:
        >>> explosion_text(Explosion(step=812, epoch=2, cost=9.2, first_cost=2.3))
        'exploded at step 812: cost 4.0 x its first'
    """
    ratio = explosion.ratio
    size = f"cost {ratio:.1f} x its first" if math.isfinite(ratio) else f"cost {explosion.cost:g}"
    return f"exploded at step {explosion.step}: {size}"
