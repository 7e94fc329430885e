"""Detectors on the course of the loss: a slow start, oscillation, a plateau, an early end."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean, median

from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.course import OSCILLATION, PLATEAU, SLOW_START, STILL_IMPROVING
from babysit.diagnosis.problems.loss import NEGATIVE_LOSS
from babysit.readings.context import ACCURACY, READ, SCORE, Readings, long
from babysit.readings.curves import accuracy_of, best_accuracy, costs_of, end_levels, finite_values


@detects(
    NEGATIVE_LOSS, reason="minus the logarithm of a probability cannot be negative", needs=(READ, ACCURACY)
)
def negative_loss(given: Readings) -> Detection | None:
    """Finds a cost below -0.001 beside a classification accuracy."""
    run = given.run
    last = run.last
    if run.explosion is not None or last is None or math.isnan(accuracy_of(last)) or not last.cost < -1e-3:
        return None
    return Detection(
        where="cost",
        message="the cost of a classification is negative: the loss is not fed what it expects",
        evidence=evidence("cost", last.cost, "at least 0", "minus the logarithm of a probability"),
        since=next(reading.epoch for reading in run.readings if reading.cost < 0),
    )


@detects(
    SLOW_START,
    reason="the lecture's 20 examples stand still for 4% of their run and are healthy",
    needs=(READ, long(6)),
)
def slow_start(given: Readings) -> Detection | None:
    """Finds a cost within 2% of its first value for 30% of the run (no warm-up), then 20% or more lower."""
    run, context = given
    costs = costs_of(run, 6)
    if len(costs) < len(run.readings) or not costs or not costs[0] > 0:
        return None
    outside = [place for place, cost in enumerate(costs) if abs(cost - costs[0]) > 0.02 * costs[0]]
    if not outside or outside[0] < 4 or median(costs[-3:]) > 0.8 * costs[0]:
        return None
    rates = [reading.learning_rate for reading in run.readings]
    if rates[0] < 0.5 * max(rates[: outside[0] + 1]):  # a warm-up
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


@detects(
    OSCILLATION,
    reason="one fixed set of examples is scored each time: jumps are the weights', not the sample's",
    needs=(READ, SCORE, long(10)),
)
def oscillation(given: Readings) -> Detection | None:
    """Finds late jumps of the validation accuracy by 0.08 (loss: 30%) a reading, without a gain."""
    run = given.run
    accuracies, losses = finite_values(run, "val_accuracy"), finite_values(run, "val_loss")
    values, relative = (accuracies, False) if accuracies else (losses, True)
    half = values[len(values) // 2 :]
    if len(half) < 5 or not costs_of(run, 10):
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
    """Finds a cost that fell by under 1% over the second half, training accuracy under 0.9 or unknown."""
    run, context = given
    costs = costs_of(run, 10)
    if not costs or not min(costs) > 0 or best_accuracy(run) >= 0.9:
        return None
    half = len(costs) // 2
    before, after = end_levels(costs[half:])
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
    """Finds a cost 10% lower over the last fifth, and a validation score that rose with it, under 0.8."""
    run, context = given
    costs = costs_of(run, 10)
    if not costs or not min(costs) > 0 or not best_accuracy(run) < 0.8:
        return None
    share = max(3, len(costs) // 5)
    early, late = median(costs[-2 * share : -share]), median(costs[-share:])
    fall = 1 - late / early
    scores = finite_values(run, "val_accuracy") or [-loss for loss in finite_values(run, "val_loss")]
    falls_behind = len(scores) < 2 * share or median(scores[-share:]) <= median(scores[-2 * share : -share])
    if fall < 0.1 or (scores and falls_behind):
        return None
    return Detection(
        where="cost",
        message=f"the cost still falls, by {fall:.0%} over the last {share} {context.unit}s: "
        "the run ended too early",
        evidence=evidence("relative fall at the end", fall, "below 0.1", "it has settled"),
        since=run.readings[-share].epoch,
    )
