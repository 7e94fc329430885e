"""Measures of a run's curves that detectors share.

Readings are noisy, so levels are medians, and a change counts only beside the usual step from one reading
to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from babysit.readings.context import LEAST_STEPS, Context
from babysit.records import Reading, Run
from babysit.verdicts import Evidence


def costs_of(run: Run, fewest: int) -> list[float]:
    """Returns the costs of a run that is long enough to judge; empty otherwise."""
    last = run.last
    if run.explosion is not None or last is None or 0 < last.step < LEAST_STEPS:
        return []
    costs = [reading.cost for reading in run.readings if math.isfinite(reading.cost)]
    return costs if len(costs) >= fewest else []


def finite_values(run: Run, name: str) -> list[float]:
    """Lists the finite values of one quantity of the readings."""
    values = (float(getattr(reading, name)) for reading in run.readings)
    return [value for value in values if math.isfinite(value)]


def usual_step(values: Sequence[float]) -> float:
    """Returns the median change from one reading to the next: the size of the noise, or of a steady fall."""
    return median(abs(late - early) for early, late in pairwise(values))


def end_levels(values: Sequence[float]) -> tuple[float, float]:
    """Returns the levels of the first and the last fifth."""
    share = max(2, len(values) // 5)
    return median(values[:share]), median(values[-share:])


def lowest_median(values: Sequence[float]) -> tuple[int, float]:
    """Finds the lowest median of three readings, and returns the position of its middle with it."""
    smooth = [median(values[place : place + 3]) for place in range(len(values) - 2)]
    place = min(range(len(smooth)), key=smooth.__getitem__)
    return place + 1, smooth[place]


def accuracy_of(reading: Reading) -> float:
    """Returns the training accuracy, or the validation accuracy where there is no other."""
    return reading.val_accuracy if math.isnan(reading.train_accuracy) else reading.train_accuracy


def best_accuracy(run: Run) -> float:
    """Returns the highest accuracy on training or validation examples; NaN without any."""
    known = [*finite_values(run, "train_accuracy"), *finite_values(run, "val_accuracy")]
    return max(known, default=math.nan)


def mean_cost(readings: tuple[Reading, ...]) -> float:
    """Returns the mean cost of some readings."""
    return math.fsum(reading.cost for reading in readings) / len(readings)


def is_at_chance(run: Run, context: Context) -> bool:
    """Tells whether the network still does no better than one that knows nothing."""
    last = run.last
    if last is None:
        return False
    if not math.isnan(last.val_loss):
        return last.val_loss > 0.98 * context.chance_loss
    # A cost may hold a penalty, so it must be at the chance level itself, and no accuracy may contradict it.
    apart = abs(mean_cost(run.readings[-3:]) - context.chance_loss)
    return apart < 0.02 * context.chance_loss and not last.train_accuracy > 1.3 * context.chance_accuracy


def loss_evidence(last: Reading, context: Context) -> tuple[Evidence, ...]:
    """Compares the loss with its chance level, where both are known."""
    if math.isnan(context.chance_loss):
        return ()
    what, loss = ("cost", last.cost) if math.isnan(last.val_loss) else ("validation loss", last.val_loss)
    return (Evidence(what, loss, f"below {context.chance_loss:.4f}", "chance level"),)
