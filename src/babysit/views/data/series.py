"""The figure data of recorded runs, in plain numbers; nothing here draws.

Positions run from 0 to 1, left to right and bottom to top. Curves are thinned by the lowest and highest value
of every bucket, so the same run always looks the same and a spike of one step stays visible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from babysit.records import EXPLOSION_LIMIT, Explosion, Reading, Result, Run, State, TrialKey
from babysit.store.queries import buckets
from babysit.views.data.axes import Axis, make_axis
from babysit.views.data.formatting import choice_text, score_text, varied_names
from babysit.views.data.study import Costs, StudyView

Point = tuple[float, float]

SPARK_BUCKETS = 24
CURVE_BUCKETS = 48
RUN_BUCKETS = 200
SPIKE = 1.5
"""A cost beyond this factor of its bucket's last cost is a spike, and is drawn in a thinned curve."""
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
        diverged: the run exploded, or its cost became NaN or infinite.
        shade: the place of its score among all, 0 to 1; NaN without a score.
        best: it is the best trial.
        title: the trial in words.
    """

    key: TrialKey
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
        diverged: the number of runs that diverged.
        above: the number of others that lie wholly above the axis, and are not drawn.
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
    """The costs of one run, its first cost, and the place of its explosion; NaN where it did not explode."""

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
    """Lays out a cost curve for a table cell.

    Args:
        costs: the cost of every step, or shape (buckets, 3) from a run summary.
        exploded: the run exploded; its curve is clipped at three times its first cost.
    """
    given = np.asarray(costs, dtype=float)
    shrunk = given if given.ndim == 2 else buckets(given, SPARK_BUCKETS).astype(float)
    finite = shrunk[np.isfinite(shrunk)]
    if not len(finite):
        return Spark((), exploded)
    high = min(finite.max(), EXPLOSION_LIMIT * abs(finite[0])) if exploded else finite.max()
    axis = Axis(
        float(finite.min()), float(max(high, finite.min() + 1e-12 + abs(finite.min()) * 1e-6)), False, ""
    )
    return Spark(path_through(np.linspace(0, 1, len(shrunk)), shrunk, axis), exploded)


def path_through(
    places: NDArray[Any], shrunk: NDArray[Any], axis: Axis, *, spikes_only: bool = True
) -> tuple[Point, ...]:
    """Returns the path through every bucket's extremes and last value; it ends at the first NaN.

    Args:
        places: of the buckets from left to right, 0 to 1.
        shrunk: shape (buckets, 3): lowest, highest, last.
        axis: the vertical one; values beyond it are clipped.
        spikes_only: leave out extremes that are no more than a mini-batch's noise.
    """
    points: list[Point] = []
    for place, (low, high, last) in zip(places.tolist(), shrunk.tolist(), strict=True):
        extremes = [high] if not spikes_only or high > SPIKE * last else []
        extremes += [low] if not spikes_only or low * SPIKE < last else []
        for value in dict.fromkeys([*extremes, last]):
            if math.isnan(value):
                return tuple(points)
            points.append((place, clipped(axis.place(value))))
    return tuple(points)


def clipped(place: float) -> float:
    """Clips a place to the axis; NaN becomes its foot."""
    return 0.0 if math.isnan(place) else min(1.0, max(0.0, place))


def has_diverged(run: Run, costs: ArrayLike) -> bool:
    """Returns True for a run that exploded, or whose cost became NaN or infinite."""
    return run.state is State.EXPLODED or not bool(np.isfinite(np.asarray(costs)).all())


def loss_curves(view: StudyView) -> LossCurves | None:
    """Lays out the costs of all trials of a study; None where no step was recorded."""
    drawn = [result for result in view.results if len(view.costs.get(result.trial.key, ((), ()))[0])]
    if not drawn:
        return None
    costs = {result.trial.key: view.costs[result.trial.key] for result in drawn}
    sane = [result for result in drawn if not has_diverged(result.run, costs[result.trial.key][1])]
    sane_keys = {result.trial.key for result in sane}

    # The axis of costs ends a little above the usual first cost; runs that diverged do not count.
    first = [result.run.first_cost for result in sane or drawn if math.isfinite(result.run.first_cost)]
    middle = float(np.median(first)) if first else math.nan
    limit = EXPLOSION_LIMIT * abs(middle)
    extremes = [float(end) for key in sane_keys for end in (costs[key][1].min(), costs[key][1].max())]
    shown = [middle, *(min(value, limit) for value in extremes)] if math.isfinite(middle) else extremes
    last = max(int(steps[-1]) for steps, _ in costs.values())
    axes = (Axis(0.0, float(max(last, 1)), False, "step"), cost_axis(shown))

    shades, names = shade_range(view.results), varied_names(view.results)
    curves = []
    for result in drawn:
        key = result.trial.key
        points = thinned_path(*costs[key], axes, CURVE_BUCKETS, spikes_only=True)
        diverged = key not in sane_keys
        if diverged:  # up to where it first reaches the top
            top = next((place for place, (_, height) in enumerate(points) if height >= 1), len(points))
            points = points[: top + 1]
        shade, title = shade_of(result.score, shades), trial_title(view, result, names)
        curves.append(LossCurve(key, points, diverged, shade, result is view.best, title))
    curves.sort(key=lambda curve: (curve.best, not curve.diverged, curve.shade))
    on_axis = [
        curve
        for curve in curves
        if curve.diverged or min((height for _, height in curve.points), default=0) < 1
    ]
    return LossCurves(
        *axes,
        curves=tuple(on_axis),
        first_cost=axes[1].place(middle),
        diverged=len(drawn) - len(sane),
        above=len(curves) - len(on_axis),
        shades=shades,
    )


def cost_axis(values: Sequence[float]) -> Axis:
    """Returns the axis for costs, logarithmic where they span more than a factor of ten."""
    positive = [value for value in values if math.isfinite(value) and value > 0]
    wide = len(positive) == len(values) > 0 and max(positive) > LOG_COSTS_FROM * min(positive)
    return make_axis(values, "cost", log=wide)


def thinned_path(
    steps: NDArray[Any], costs: NDArray[Any], axes: tuple[Axis, Axis], count: int, *, spikes_only: bool
) -> tuple[Point, ...]:
    """Lays out a curve of at most ``count`` buckets, clipped to the axes; it ends at the first NaN.

    Args:
        steps: of each value, rising.
        costs: the values.
        axes: the horizontal and the vertical one.
        count: the number of buckets.
        spikes_only: leave out a bucket's extremes that are no more than a mini-batch's noise.
    """
    shrunk = buckets(costs, count)
    places = np.array([axes[0].place(float(step)) for step in buckets(steps, count)[:, 2]])
    return path_through(places, shrunk, axes[1], spikes_only=spikes_only)


def run_costs(run: Run, costs: Costs) -> RunCosts | None:
    """Lays out the costs of one run; None where no step was recorded."""
    steps, values = costs
    if not len(steps):
        return None
    x = Axis(0.0, float(max(int(steps[-1]), 1)), False, "step")
    limit = EXPLOSION_LIMIT * run.first_cost if run.explosion and math.isfinite(run.first_cost) else math.inf
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
    """Lays out the accuracies of one run, or its validation loss where it has none; None without readings."""
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
    """Returns the scores of the first and the last shade, worst and best; (0, 1) without a score.

    One very bad trial must not give all others the same shade, so the worst end lies at most three times as
    far from the best as the median score does.
    """
    scores = [result.score for result in results if math.isfinite(result.score)]
    if not scores:
        return (0.0, 1.0)
    best, middle = max(scores), float(np.median(scores))
    return (max(min(scores), best - 3 * (best - middle)) if middle < best else min(scores), best)


def shade_of(score: float, shades: tuple[float, float]) -> float:
    """Returns the place of a score between worst (0, below for worse ones) and best (1); NaN without one."""
    if not math.isfinite(score):
        return math.nan
    return (score - shades[0]) / (shades[1] - shades[0]) if shades[1] > shades[0] else 1.0


def trial_title(view: StudyView, result: Result, names: Sequence[str]) -> str:
    """Describes a trial: its name, its hyperparameters, and its result."""
    explosion = result.run.explosion
    end = explosion_text(explosion) if explosion else f"best validation {score_text(result)}"
    choice = choice_text(result.trial.hyperparameters, names)
    return f"{view.trial_name(result.trial.key)}: {choice}\n{result.run.state}, {end}"


def explosion_text(explosion: Explosion) -> str:
    """Describes when and how a run exploded.

    Example:
        >>> explosion_text(Explosion(step=812, epoch=2, cost=9.2, first_cost=2.3))
        'exploded at step 812: cost 4.0 x its first'
    """
    ratio = explosion.ratio
    size = f"cost {ratio:.1f} x its first" if math.isfinite(ratio) else f"cost {explosion.cost:g}"
    return f"exploded at step {explosion.step}: {size}"
