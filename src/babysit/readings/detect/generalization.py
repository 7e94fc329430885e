"""Detectors on training against validation: overfitting, underfitting, metrics that cannot be right."""

from __future__ import annotations

import math
from statistics import median

from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.course import (
    METRIC_DISAGREES_WITH_LOSS,
    OVERFITTING,
    SUSPICIOUSLY_GOOD,
    UNDERFITTING,
)
from babysit.readings.context import ACCURACY, READ, TRAIN_ACCURACY, VAL_ACCURACY, VAL_LOSS, Readings, long
from babysit.readings.curves import accuracy_of, costs_of, finite_values, lowest_median, mean_cost, usual_step
from babysit.records import Run
from babysit.verdicts import Evidence

_GAP = 0.1
"""Difference of training and validation accuracy above which a network overfits."""


def _usual_gap(run: Run) -> float:
    """Returns the median gap of the last readings: with few validation examples one gap may be chance."""
    return median(reading.train_accuracy - reading.val_accuracy for reading in run.readings[-5:])


@detects(
    OVERFITTING,
    reason="the lecture's good runs keep it at a few hundredths",
    needs=(READ, TRAIN_ACCURACY, VAL_ACCURACY, long(3)),
)
def overfitting(given: Readings) -> Detection | None:
    """Finds a training accuracy 0.1 above the validation accuracy."""
    run = given.run
    last, best = run.last, run.best
    if run.explosion is not None or last is None or best is None or last.epoch < 3:
        return None
    gap = last.train_accuracy - last.val_accuracy
    if not min(gap, _usual_gap(run)) > _GAP:
        return None
    fell = best.val_accuracy - last.val_accuracy
    return Detection(
        where="accuracy",
        message=f"the training accuracy is {gap:.3f} above the validation accuracy: the network overfits",
        evidence=(
            Evidence("train - validation accuracy", gap, f"below {_GAP:g}", "a small gap generalizes"),
            Evidence("fall from the best validation accuracy", fell, "0", "it should not turn down"),
        ),
        since=next(r.epoch for r in run.readings if r.train_accuracy - r.val_accuracy > _GAP),
    )


@detects(
    UNDERFITTING,
    reason="a network with capacity to spare fits its own data better than new data",
    needs=(READ, TRAIN_ACCURACY, VAL_ACCURACY, long(10)),
)
def underfitting(given: Readings) -> Detection | None:
    """Finds training data that is not fitted, without a gap and with a cost that no longer falls."""
    run, context = given
    last = run.last
    if run.explosion is not None or last is None or math.isnan(last.val_accuracy):
        return None
    if min(last.epoch, len(run.readings)) < 10:
        return None
    gap = _usual_gap(run)
    # A cost that never fell is another fault's symptom: the learning rate's, say.
    blind = last.train_accuracy <= 1.5 * context.chance_accuracy
    learned = not blind and last.cost < 0.95 * run.first_cost
    middle = run.readings[len(run.readings) // 2]
    settled = last.val_loss > 0.98 * middle.val_loss or (
        math.isnan(last.val_loss) and mean_cost(run.readings[-3:]) > 0.98 * middle.cost
    )
    if not (learned and settled and gap < 0.01 and last.train_accuracy < 0.9):
        return None
    return Detection(
        where="accuracy",
        message="no gap between training and validation accuracy, and the cost no longer falls: "
        "the network has room to grow",
        evidence=(
            Evidence("train - validation accuracy", gap, "above 0.01", "a network with capacity fits more"),
            Evidence("training accuracy", last.train_accuracy, "above 0.9", "it does not fit its own data"),
        ),
        since=last.epoch,
    )


@detects(
    OVERFITTING,
    reason="a loss may rise from confidence alone while every verdict stays right, so the accuracy decides",
    needs=(READ, VAL_LOSS, long(6)),
)
def validation_loss_rises(given: Readings) -> Detection | None:
    """Finds a validation loss 10% above its lowest, the cost still falling, no accuracy held within 0.02."""
    run, context = given
    shown = [reading for reading in run.readings if math.isfinite(reading.val_loss)]
    losses, accuracies = [reading.val_loss for reading in shown], finite_values(run, "val_accuracy")
    if len(losses) < 6 or not costs_of(run, 6) or min(losses) <= 0:
        return None
    place, lowest = lowest_median(losses)
    end = median(losses[-3:])
    rise = end / lowest - 1
    holds = bool(accuracies) and median(accuracies[-3:]) > max(accuracies) - 0.02
    falls = median(reading.cost for reading in shown[-3:]) < 0.98 * shown[place].cost
    if rise < 0.1 or end - lowest < 3 * usual_step(losses) or holds or not falls:
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
    METRIC_DISAGREES_WITH_LOSS,
    reason="scores that win on the cost win examples too, unless the metric looks elsewhere",
    needs=(READ, ACCURACY, long(5)),
)
def metric_disagrees_with_loss(given: Readings) -> Detection | None:
    """Finds a cost that falls by 40% while the accuracy moves by no more than 0.002, under 0.9."""
    run = given.run
    costs = costs_of(run, 5)
    shown = [accuracy_of(reading) for reading in run.readings]
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
    """Finds every validation example right from the first reading on, at a cost under 0.1."""
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
