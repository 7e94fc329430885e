"""Detectors of a learning rate that is too low, too high, or zero."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import median

from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.rate import LEARNING_RATE_TOO_HIGH, LEARNING_RATE_TOO_LOW, LEARNING_RATE_ZERO
from babysit.readings.context import ENOUGH, LEARNING_RATE, READ, Context, Readings, is_early, long
from babysit.readings.curves import (
    best_accuracy,
    costs_of,
    end_levels,
    loss_evidence,
    lowest_median,
    mean_cost,
    usual_step,
)
from babysit.records import Reading, Run
from babysit.verdicts import Evidence, Severity

_LEAST_FALL = 1e-3
"""Relative fall of the cost below which it barely changes."""

_NOISE = 0.02
"""Relative difference of two mini-batches' costs in a network that does not change; the validation loss has
less noise."""


@detects(
    LEARNING_RATE_TOO_LOW,
    reason="the lecture's slow run lost 7e-5 of its cost in 10 epochs, its good ones a tenth in one",
    needs=(READ, ENOUGH),
)
def learning_rate_too_low(given: Readings) -> Detection | None:
    """Finds a cost that moved by less than 1e-3 of itself in 5 epochs and 50 steps or more."""
    run, context = given
    last = run.last
    if run.explosion is not None or last is None or not run.first_cost or is_early(run):
        return None
    fall = (run.first_cost - mean_cost(run.readings[-3:])) / abs(run.first_cost)
    first_loss = run.readings[0].val_loss
    steady = (first_loss - last.val_loss) / abs(first_loss) if first_loss else math.nan
    if abs(fall) < _NOISE and abs(steady) < abs(fall):
        fall = steady
    if not abs(fall) < _LEAST_FALL or _has_settled(run, context):
        return None
    message = (
        f"the loss barely changes ({fall:.1e} of it in {last.epoch} {context.unit}s): "
        "the learning rate is too low"
    )
    if last.val_accuracy > 1.3 * context.chance_accuracy:
        message += (
            f". The accuracy still rose to {last.val_accuracy:.3f}, because it only asks which score is "
            f"largest: all classes are still near probability {context.chance_accuracy:.2g}, "
            "but the right one already leans ahead"
        )
    advice = f"raise it: try {context.rate_text(10)}, then {context.rate_text(100, prefix='')}"
    if not last.val_accuracy > 1.3 * context.chance_accuracy:
        message += ", or no gradient arrives (weights of zero, dead units)"
        advice = f"`babysit check` tells which; if it passes, try {context.rate_text(10)}"
    return Detection(
        where="cost",
        message=message,
        evidence=(
            Evidence("relative fall of the cost", fall, f"at least {_LEAST_FALL:g}", "it learns"),
            *loss_evidence(last, context),
        ),
        since=1,
        fix=advice,
    )


def _has_settled(run: Run, context: Context) -> bool:
    """Tells whether a flat cost has reached its end: the data is fitted, or the cost only fluctuates."""
    first, last = run.readings[0], run.readings[-1]
    if min(_known_accuracy(first), _known_accuracy(last)) > 0.9:
        return True
    if not math.isnan(context.chance_loss) or not math.isnan(_known_accuracy(last)):
        return False
    costs = [reading.cost for reading in run.readings]
    falls = sum(late < early for early, late in pairwise(costs))
    return len(set(costs)) > 1 and falls < 0.7 * (len(costs) - 1)


def _known_accuracy(reading: Reading) -> float:
    known = [value for value in (reading.val_accuracy, reading.train_accuracy) if not math.isnan(value)]
    return known[0] if known else math.nan


@detects(
    LEARNING_RATE_TOO_HIGH,
    reason="medians of 3 readings or a fifth of them, and 4 x the usual step, so that noise does not count",
    needs=(READ, long(6)),
)
def learning_rate_too_high(given: Readings) -> Detection | None:
    """Finds a cost that ends 25% above its start, or at twice its lowest with 30% of its fall lost again."""
    run, context = given
    costs = costs_of(run, 6)
    if not costs or min(costs) <= 0:
        return None
    start, _ = end_levels(costs)
    end, (place, lowest) = median(costs[-3:]), lowest_median(costs)
    above = end > 1.25 * start
    lost = end > 2 * lowest and end - lowest > 0.3 * max(start - lowest, 0.0)
    if not (above or lost) or end - lowest < 4 * usual_step(costs):
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
    LEARNING_RATE_ZERO,
    reason="from there on an epoch moves the weights less than one step did before",
    severity=Severity.WARNING,
    needs=(READ, LEARNING_RATE, long(6)),
)
def learning_rate_zero(given: Readings) -> Detection | None:
    """Finds a learning rate under 1e-4 of its highest for half of the run, the data not fitted to 97%."""
    run, context = given
    rates = [reading.learning_rate for reading in run.readings]
    if not costs_of(run, 6) or not max(rates) > 0 or best_accuracy(run) > 0.97:
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
