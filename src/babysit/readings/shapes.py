"""Detectors on the shape of a run's curves, which a printed log alone allows.

Readings are noisy, so levels are medians, and a change counts only beside the usual step from one reading
to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.course import (
    METRIC_DISAGREES_WITH_LOSS,
    OSCILLATION,
    OVERFITTING,
    PLATEAU,
    SLOW_START,
    STILL_IMPROVING,
    SUSPICIOUSLY_GOOD,
)
from babysit.diagnosis.problems.loss import NEGATIVE_LOSS
from babysit.diagnosis.problems.rate import LEARNING_RATE_TOO_HIGH, LEARNING_RATE_ZERO
from babysit.readings.context import (
    ACCURACY,
    LEARNING_RATE,
    LEAST_STEPS,
    READ,
    SCORE,
    VAL_ACCURACY,
    VAL_LOSS,
    Readings,
    long,
)
from babysit.records import Reading, Run
from babysit.verdicts import Evidence, Severity


def _costs(run: Run, fewest: int) -> list[float]:
    """The costs of a run that is long enough to judge; empty otherwise."""
    last = run.last
    if run.explosion is not None or last is None or 0 < last.step < LEAST_STEPS:
        return []
    costs = [reading.cost for reading in run.readings if math.isfinite(reading.cost)]
    return costs if len(costs) >= fewest else []


def _finite(run: Run, name: str) -> list[float]:
    values = (float(getattr(reading, name)) for reading in run.readings)
    return [value for value in values if math.isfinite(value)]


def _step(values: Sequence[float]) -> float:
    """The usual change from one reading to the next: the size of the noise, or of a steady fall."""
    return median(abs(late - early) for early, late in pairwise(values))


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The levels of the first and the last fifth."""
    share = max(2, len(values) // 5)
    return median(values[:share]), median(values[-share:])


def _lowest(values: Sequence[float]) -> tuple[int, float]:
    """The lowest median of three readings, and its middle."""
    smooth = [median(values[place : place + 3]) for place in range(len(values) - 2)]
    place = min(range(len(smooth)), key=smooth.__getitem__)
    return place + 1, smooth[place]


def _accuracy(reading: Reading) -> float:
    """The training accuracy, or the validation accuracy where there is no other."""
    return reading.val_accuracy if math.isnan(reading.train_accuracy) else reading.train_accuracy


def _best_accuracy(run: Run) -> float:
    known = [*_finite(run, "train_accuracy"), *_finite(run, "val_accuracy")]
    return max(known, default=math.nan)


@detects(
    LEARNING_RATE_TOO_HIGH,
    reason="medians of 3 readings or a fifth of them, and 4 x the usual step, so that noise does not count",
    needs=(READ, long(6)),
)
def learning_rate_too_high(given: Readings) -> Detection | None:
    """The cost ends 25% above its start, or at twice its lowest with 30% of its fall lost again."""
    run, context = given
    costs = _costs(run, 6)
    if not costs or min(costs) <= 0:
        return None
    start, _ = _ends(costs)
    end, (place, lowest) = median(costs[-3:]), _lowest(costs)
    above = end > 1.25 * start
    lost = end > 2 * lowest and end - lowest > 0.3 * max(start - lowest, 0.0)
    if not (above or lost) or end - lowest < 4 * _step(costs):
        return None
    what = "ends above its start" if above else "fell and then rose again"
    return Detection(
        where="cost",
        message=f"the cost {what} ({start:.4g}, then {lowest:.4g}, now {end:.4g}): "
        "the learning rate is too high",
        evidence=evidence("cost at the end", end, f"near {lowest:.4g}", "its lowest"),
        since=run.readings[place].epoch,
        fix=f"lower the learning rate, by 3 to 10 times, or clip the gradients from {context.unit} "
        f"{run.readings[place].epoch} on",
    )


@detects(
    NEGATIVE_LOSS, reason="minus the logarithm of a probability cannot be negative", needs=(READ, ACCURACY)
)
def negative_loss(given: Readings) -> Detection | None:
    """A cost below -0.001 beside a classification accuracy."""
    run = given.run
    last = run.last
    if run.explosion is not None or last is None or math.isnan(_accuracy(last)) or not last.cost < -1e-3:
        return None
    return Detection(
        where="cost",
        message="the cost of a classification is negative: the loss is not fed what it expects",
        evidence=evidence("cost", last.cost, "at least 0", "minus the logarithm of a probability"),
        since=next(reading.epoch for reading in run.readings if reading.cost < 0),
    )


@detects(
    LEARNING_RATE_ZERO,
    reason="from there on an epoch moves the weights less than one step did before",
    severity=Severity.WARNING,
    needs=(READ, LEARNING_RATE, long(6)),
)
def learning_rate_zero(given: Readings) -> Detection | None:
    """The learning rate under 1e-4 of its highest for half of the run, the data not fitted to 97%."""
    run, context = given
    rates = [reading.learning_rate for reading in run.readings]
    if not _costs(run, 6) or not max(rates) > 0 or _best_accuracy(run) > 0.97:
        return None
    idle = [reading for reading in run.readings if reading.learning_rate <= 1e-4 * max(rates)]
    if len(idle) < len(rates) / 2 or idle[-1] is not run.last:
        return None
    since = idle[0].epoch
    return Detection(
        where="learning rate",
        message=f"the learning rate is as good as zero from {context.unit} {since} on: "
        f"{len(idle)} of {len(rates)} readings taught nothing",
        evidence=evidence(
            "learning rate at the end", rates[-1], f"above {1e-4 * max(rates):.2g}", "it moves"
        ),
        since=since,
    )


@detects(
    SLOW_START,
    reason="the lecture's 20 examples stand still for 4% of their run and are healthy",
    needs=(READ, long(6)),
)
def slow_start(given: Readings) -> Detection | None:
    """The cost within 2% of its first value for 30% of the run (no warm-up), then down by 20% or more."""
    run, context = given
    costs = _costs(run, 6)
    if len(costs) < len(run.readings) or not costs or not costs[0] > 0:
        return None
    outside = [place for place, cost in enumerate(costs) if abs(cost - costs[0]) > 0.02 * costs[0]]
    if not outside or outside[0] < 4 or median(costs[-3:]) > 0.8 * costs[0] or _warms_up(run, outside[0]):
        return None
    first, leaves, last = (run.readings[place].epoch for place in (0, outside[0], -1))
    share = (leaves - first) / max(last - first, 1)
    if share < 0.3:
        return None
    return Detection(
        where="cost",
        message=f"the cost stood still until {context.unit} {leaves} and only then fell: "
        "bad initialization is the prime suspect",
        evidence=evidence("flat share of the run", share, "below 0.3", "it learns from the start"),
        since=first,
    )


def _warms_up(run: Run, flat: int) -> bool:
    rates = [reading.learning_rate for reading in run.readings]
    return rates[0] < 0.5 * max(rates[: flat + 1])


@detects(
    METRIC_DISAGREES_WITH_LOSS,
    reason="scores that win on the cost win examples too, unless the metric looks elsewhere",
    needs=(READ, ACCURACY, long(5)),
)
def metric_disagrees_with_loss(given: Readings) -> Detection | None:
    """The cost falls by 40% while the accuracy moves by no more than 0.002, under 0.9."""
    run = given.run
    costs = _costs(run, 5)
    shown = [_accuracy(reading) for reading in run.readings]
    if not costs or not costs[0] > 0 or any(map(math.isnan, shown)) or shown[-1] >= 0.9:
        return None
    fall = 1 - median(costs[-3:]) / costs[0]
    moved = max(shown) - min(shown)
    if fall < 0.4 or moved > 0.002:
        return None
    return Detection(
        where="accuracy",
        message=f"the cost fell by {fall:.0%} but the accuracy stays at {shown[-1]:.3f}: "
        "the metric does not see what the loss sees, or every answer is the same class",
        evidence=(
            Evidence("movement of the accuracy", moved, "above 0.002", "scores that improve win examples"),
            Evidence("relative fall of the cost", fall, "below 0.4", "for an accuracy that stands"),
        ),
        since=run.readings[0].epoch,
    )


@detects(
    SUSPICIOUSLY_GOOD,
    reason="a task so easy is rarer than a leaked or constant label",
    needs=(READ, VAL_ACCURACY, long(3)),
)
def suspiciously_good(given: Readings) -> Detection | None:
    """Every validation example right from the first reading on, at a cost under 0.1."""
    run = given.run
    shown = [reading.val_accuracy for reading in run.readings]
    if (
        run.explosion is not None
        or len(shown) < 3
        or not min(shown) >= 1
        or not 0 < run.readings[0].cost < 0.1
    ):
        return None
    return Detection(
        where="val accuracy",
        message="every validation example is right from the first reading on: too good to be true",
        evidence=evidence("cost at the first reading", run.readings[0].cost, "above 0.1", "it must learn"),
        since=run.readings[0].epoch,
    )


@detects(
    OVERFITTING,
    reason="a loss may rise from confidence alone while every verdict stays right, so the accuracy decides",
    needs=(READ, VAL_LOSS, long(6)),
)
def validation_loss_rises(given: Readings) -> Detection | None:
    """Validation loss 10% above its lowest while the cost still falls; no accuracy that held within 0.02."""
    run, context = given
    shown = [reading for reading in run.readings if math.isfinite(reading.val_loss)]
    losses, accuracies = [reading.val_loss for reading in shown], _finite(run, "val_accuracy")
    if len(losses) < 6 or not _costs(run, 6) or min(losses) <= 0:
        return None
    place, lowest = _lowest(losses)
    end = median(losses[-3:])
    rise = end / lowest - 1
    holds = bool(accuracies) and median(accuracies[-3:]) > max(accuracies) - 0.02
    falls = median(reading.cost for reading in shown[-3:]) < 0.98 * shown[place].cost
    if rise < 0.1 or end - lowest < 3 * _step(losses) or holds or not falls:
        return None
    since = shown[place].epoch
    return Detection(
        where="val loss",
        message=f"the validation loss rose by {rise:.0%} from {context.unit} {since} on while the cost fell: "
        "the network overfits",
        evidence=evidence("validation loss", end, f"near {lowest:.4g}", "its lowest"),
        since=since,
        fix=f"keep the weights of {context.unit} {since}; regularize more, or find more data",
    )


@detects(
    OSCILLATION,
    reason="one fixed set of examples is scored each time: jumps are the weights', not the sample's",
    needs=(READ, SCORE, long(10)),
)
def oscillation(given: Readings) -> Detection | None:
    """In the second half the validation accuracy jumps by 0.08 (its loss by 30%) a reading and gains less."""
    run = given.run
    accuracies, losses = _finite(run, "val_accuracy"), _finite(run, "val_loss")
    values, relative = (accuracies, False) if accuracies else (losses, True)
    half = values[len(values) // 2 :]
    if len(half) < 5 or not _costs(run, 10):
        return None
    level = abs(median(half)) if relative else 1.0
    jump = fmean(abs(late - early) for early, late in pairwise(half)) / level if level else 0.0
    middle = len(half) // 2
    gain = abs(fmean(half[middle:]) - fmean(half[:middle])) / level if level else 0.0
    if jump < (0.3 if relative else 0.08) or gain > jump:
        return None
    what = "val loss" if relative else "val accuracy"
    return Detection(
        where=what,
        message=f"the {what} jumps by {jump:.0%} from reading to reading and gains nothing: "
        "the learning rate is too high for this stage",
        evidence=evidence(
            f"mean jump of the {what}", jump, "below 0.3" if relative else "below 0.08", "settled"
        ),
        since=run.readings[len(run.readings) // 2].epoch,
    )


@detects(
    PLATEAU,
    reason="10 readings and medians; what is fitted has reached its end and is not meant",
    needs=(READ, long(10)),
)
def plateau(given: Readings) -> Detection | None:
    """The cost fell by less than 1% over the second half, training accuracy under 0.9 or unknown."""
    run, context = given
    costs = _costs(run, 10)
    if not costs or not min(costs) > 0 or _best_accuracy(run) >= 0.9:
        return None
    half = len(costs) // 2
    before, after = _ends(costs[half:])
    if not -0.01 < 1 - after / before < 0.01:
        return None
    since = run.readings[half].epoch
    return Detection(
        where="cost",
        message=f"the cost has stood at {after:.4g} since {context.unit} {since} or before: a plateau, or "
        "the floor of the task",
        evidence=evidence(
            "relative fall over the second half", 1 - after / before, "above 0.01", "it learns"
        ),
        since=since,
    )


@detects(
    STILL_IMPROVING,
    reason="a run that ends on its way down was stopped too early, or its rate could be higher",
    needs=(READ, long(10)),
)
def still_improving(given: Readings) -> Detection | None:
    """Over the last fifth the cost fell by 10% and the validation score rose with it, under 0.8."""
    run, context = given
    costs = _costs(run, 10)
    if not costs or not min(costs) > 0 or not _best_accuracy(run) < 0.8:
        return None
    share = max(3, len(costs) // 5)
    early, late = median(costs[-2 * share : -share]), median(costs[-share:])
    fall = 1 - late / early
    if fall < 0.1 or not _gains(run, share):
        return None
    return Detection(
        where="cost",
        message=f"the cost still falls, by {fall:.0%} over the last {share} {context.unit}s: "
        "the run ended too early",
        evidence=evidence("relative fall at the end", fall, "below 0.1", "it has settled"),
        since=run.readings[-share].epoch,
    )


def _gains(run: Run, share: int) -> bool:
    """Whether the validation score, where there is one, goes on rising."""
    accuracies, losses = _finite(run, "val_accuracy"), _finite(run, "val_loss")
    values = accuracies or [-loss for loss in losses]
    if len(values) < 2 * share:
        return not values
    return median(values[-share:]) > median(values[-2 * share : -share])
