"""Detectors on the levels of a run's readings: its explosion, its fall, its distance from chance, its gap."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import median

from babysit.diagnosis.problem import Detection, detects
from babysit.diagnosis.problems.course import (
    LEARNED_NOTHING,
    LOSS_EXPLODED,
    LOSS_NOT_FINITE,
    OVERFITTING,
    UNDERFITTING,
)
from babysit.diagnosis.problems.rate import LEARNING_RATE_TOO_LOW, REGULARIZATION_TOO_STRONG
from babysit.readings.context import (
    CHANCE,
    ENOUGH,
    READ,
    REGULARIZED,
    TRAIN_ACCURACY,
    VAL_ACCURACY,
    Context,
    Readings,
    is_early,
    long,
)
from babysit.records import Explosion, Reading, Run
from babysit.verdicts import Evidence


@detects(
    LOSS_EXPLODED,
    reason="the lecture's own limit; a healthy cost never trebles, and waiting for inf loses epochs",
    needs=(READ,),
)
def loss_exploded(given: Readings) -> Detection | None:
    """A cost above 3 x the first cost."""
    explosion = given.run.explosion
    if explosion is None or not math.isfinite(explosion.cost):
        return None
    return _explosion(given, explosion, f"{explosion.ratio:.3g} times its first value")


@detects(LOSS_NOT_FINITE, reason="NaN almost always means a high learning rate", needs=(READ,))
def loss_not_finite(given: Readings) -> Detection | None:
    """A cost that is NaN or infinite."""
    explosion = given.run.explosion
    if explosion is None or math.isfinite(explosion.cost):
        return None
    return _explosion(given, explosion, "NaN" if math.isnan(explosion.cost) else "infinite")


def _explosion(given: Readings, explosion: Explosion, became: str) -> Detection:
    context = given.context
    rate, l2 = context.rate("learning_rate"), context.rate("l2")
    if explosion.step == 1:
        # No update had been made yet, so no rate is to blame.
        cause = "the network's first outputs are not finite, before any update"
        advice = "look for NaN or huge values in the inputs and in the initial weights"
    elif rate * l2 > 2:
        cause = (
            f"learning_rate * l2 = {rate * l2:.3g} > 2: every step overshoots zero weights by more than it "
            "came from, whatever the data"
        )
        advice = f"lower l2 below {2 / rate:.2g} or the learning rate below {2 / l2:.2g}"
    else:
        cause = "the learning rate is too high: the cost grew instead of falling"
        advice = f"try {_rate_text(rate, 0.1)}"
        if explosion.first_cost > 3 * context.chance_loss:
            advice = (
                f"the first cost is already {explosion.first_cost / context.chance_loss:.3g} times chance: "
                "scale or centre the inputs, or make the initial weights smaller, before the learning rate"
            )
        if not math.isfinite(explosion.cost):
            advice += (
                ". No accuracy is reported: NaN scores all vote for class 0, and its share would pass for an "
                "accuracy"
            )
    return Detection(
        where="cost",
        message=f"the cost became {became} {_moment(explosion, context.unit)}: {cause}",
        evidence=(
            Evidence("cost", explosion.cost, _limit_text(explosion), "3 x the first cost"),
            Evidence("first cost", explosion.first_cost, "finite", "the run's own start"),
        ),
        since=explosion.epoch,
        fix=advice,
    )


def _moment(explosion: Explosion, unit: str) -> str:
    """When it happened; a log may not say at which step."""
    if not explosion.step or unit == "step":
        return f"at {unit} {explosion.epoch}"
    return f"at step {explosion.step} ({unit} {explosion.epoch})"


def _rate_text(rate: float, times: float, prefix: str = "a learning rate of ") -> str:
    """A learning rate so many times as high, also where the one in use is unknown."""
    if math.isnan(rate):
        return f"{times:g} times the learning rate"
    return f"{prefix}{times * rate:.2g}"


def _limit_text(explosion: Explosion) -> str:
    finite = math.isfinite(explosion.first_cost)
    return f"at most {3 * explosion.first_cost:.4g}" if finite else "a number"


_LEAST_FALL = 1e-3


_NOISE = 0.02
"""How far one mini-batch's cost may lie from another's, as a share, in a network that stands still."""


def _fall(run: Run) -> float:
    """The share of itself that the cost lost; where mini-batch noise hides it, the validation loss."""
    fall = (run.first_cost - _mean_cost(run.readings[-3:])) / abs(run.first_cost)
    first, last = run.readings[0].val_loss, run.readings[-1].val_loss
    steady = (first - last) / abs(first) if first else math.nan
    return steady if abs(fall) < _NOISE and abs(steady) < abs(fall) else fall


@detects(
    LEARNING_RATE_TOO_LOW,
    reason="the lecture's slow run lost 7e-5 of its cost in 10 epochs, its good ones a tenth in one",
    needs=(READ, ENOUGH),
)
def learning_rate_too_low(given: Readings) -> Detection | None:
    """The cost moved by less than 1e-3 of itself in 5 epochs and 50 steps or more."""
    run, context = given
    last = run.last
    if run.explosion is not None or last is None or not run.first_cost or is_early(run):
        return None
    fall = _fall(run)
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
    rate = context.rate("learning_rate")
    advice = f"raise it: try {_rate_text(rate, 10)}, then {_rate_text(rate, 100, '')}"
    if not last.val_accuracy > 1.3 * context.chance_accuracy:
        message += ", or no gradient arrives (weights of zero, dead units)"
        advice = f"`babysit check` tells which; if it passes, try {_rate_text(rate, 10)}"
    return Detection(
        where="cost",
        message=message,
        evidence=(
            Evidence("relative fall of the cost", fall, f"at least {_LEAST_FALL:g}", "it learns"),
            *_loss_evidence(last, context),
        ),
        since=1,
        fix=advice,
    )


def _mean_cost(readings: tuple[Reading, ...]) -> float:
    return math.fsum(reading.cost for reading in readings) / len(readings)


def _loss_evidence(last: Reading, context: Context) -> tuple[Evidence, ...]:
    """The loss beside its chance level, where both are known."""
    if math.isnan(context.chance_loss):
        return ()
    what, loss = ("cost", last.cost) if math.isnan(last.val_loss) else ("validation loss", last.val_loss)
    return (Evidence(what, loss, f"below {context.chance_loss:.4f}", "chance level"),)


def _has_settled(run: Run, context: Context) -> bool:
    """Whether a cost that stands still is at its end: the data is fitted, or it only wavers about a level."""
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


def _at_chance(run: Run, context: Context) -> bool:
    """Whether the network still does no better than one that knows nothing."""
    last = run.last
    if last is None:
        return False
    if not math.isnan(last.val_loss):
        return last.val_loss > 0.98 * context.chance_loss
    # A cost may hold a penalty: only at the chance level itself is it a sign, and no accuracy may deny it.
    apart = abs(_mean_cost(run.readings[-3:]) - context.chance_loss)
    return apart < 0.02 * context.chance_loss and not last.train_accuracy > 1.3 * context.chance_accuracy


@detects(
    REGULARIZATION_TOO_STRONG,
    reason="of a cost that is mostly penalty the data is no part",
    needs=(READ, REGULARIZED, CHANCE),
)
def regularization_too_strong(given: Readings) -> Detection | None:
    """Loss at chance while the penalty outweighs it or has shrunk the weights away."""
    run, context = given
    last = run.last
    strengths = {name: context.rate(name) for name in ("l2", "l1") if context.rate(name) > 0}
    if run.explosion is not None or last is None or not strengths or not _at_chance(run, context):
        return None
    penalty = last.cost - last.val_loss
    # Strong decay drives the weights to zero: the penalty is gone, and the output with it.
    momentum = context.rate("momentum")
    rate = last.learning_rate / (1 - momentum) if 0 < momentum < 1 else last.learning_rate
    collapsed = max(strengths.values()) * rate * last.step > 10
    if not (penalty > last.val_loss or collapsed):
        return None
    name = max(strengths, key=lambda known: strengths[known])
    what = "outweighs the data loss" if penalty > last.val_loss else "has driven the weights to zero"
    return Detection(
        where=name,
        message=f"the regularization {what}: the network answers with a constant",
        evidence=(
            Evidence("cost minus validation loss", penalty, f"below {last.val_loss:.3g}", "data must matter"),
            Evidence("validation loss", last.val_loss, f"below {context.chance_loss:.4f}", "chance level"),
        ),
        since=last.epoch,
        fix=f"lower {name}: try {strengths[name] / 100:.2g}",
    )


@detects(
    LEARNED_NOTHING,
    reason="a network that predicts the class shares, or the mean, sits at this level and stays",
    needs=(READ, CHANCE, ENOUGH),
)
def learned_nothing(given: Readings) -> Detection | None:
    """Loss at chance (98% of ln C, or of the targets' variance) after 5 epochs, no other cause known."""
    run, context = given
    last = run.last
    if run.explosion is not None or last is None or not run.first_cost:
        return None
    if is_early(run) or not _at_chance(run, context):
        return None
    # An accuracy above chance at a loss of chance has learned something; another rule explains it.
    if last.val_accuracy > 1.3 * context.chance_accuracy:
        return None
    fits = last.train_accuracy > 2 * context.chance_accuracy
    where = "training" if math.isnan(last.val_loss) else "validation"
    return Detection(
        where="cost" if where == "training" else "validation loss",
        message=f"after {last.epoch} {context.unit}s the network does no better than chance on the {where} "
        "examples"
        + (", though it fits the training examples: the labels may not belong to the inputs" if fits else ""),
        evidence=(
            *_loss_evidence(last, context),
            Evidence("training accuracy", last.train_accuracy, "rising", "it fits what it sees"),
        ),
        since=last.epoch,
        fix="look for shuffled labels, or train and validation examples of different kinds"
        if fits
        else "run `babysit check`: it tells a learning rate that is too low or too high from a broken set-up",
    )


_GAP = 0.1


def _usual_gap(run: Run) -> float:
    """The gap of the last readings: one alone may be chance, with few validation examples."""
    return median(reading.train_accuracy - reading.val_accuracy for reading in run.readings[-5:])


@detects(
    OVERFITTING,
    reason="the lecture's good runs keep it at a few hundredths",
    needs=(READ, TRAIN_ACCURACY, VAL_ACCURACY, long(3)),
)
def overfitting(given: Readings) -> Detection | None:
    """Train accuracy 0.1 above validation accuracy."""
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
    """No gap, the cost no longer falls, and the training data is not fitted."""
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
        math.isnan(last.val_loss) and _mean_cost(run.readings[-3:]) > 0.98 * middle.cost
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
