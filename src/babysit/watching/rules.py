"""The table of rules: each turns a run's readings into a finding or nothing.

A rule never changes a run. Each carries its threshold, its reason and its source, and stays silent unless
the evidence is there: a healthy run yields no finding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from babysit.records import Evidence, Explosion, Finding, Reading, Run, Severity, Value
from babysit.verdict.words import GRAVEST_FIRST
from babysit.watching import curves


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may know beside the readings.

    Attributes:
        chance_loss: the data loss of a network that knows nothing, e.g. ln C.
        chance_accuracy: 1 / C; NaN for regression.
        hyperparameters: the run's own.
        unit: what a reading's ``epoch`` counts; a log may print steps or bare lines.
    """

    chance_loss: float
    chance_accuracy: float
    hyperparameters: Mapping[str, Value]
    unit: str = "epoch"

    def rate(self, name: str) -> float:
        """A hyperparameter as a number; NaN when the run has none of that name."""
        value = self.hyperparameters.get(name, math.nan)
        return math.nan if isinstance(value, str) else float(value)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: its name.
        judge: (run, context) -> a finding or nothing.
        about: what it looks for, with its threshold.
        source: where it comes from.
        reason: why the threshold lies where it does.
        severity: how much its finding matters.
        symptom_of: rules that explain this one away: where one of them finds its cause, this stays silent.
        certainty: how sure it is to be the cause once seen, in [0, 1]: readings alone leave more open than
            a program does.
    """

    name: str
    judge: Callable[[Run, Context], Finding | None]
    about: str
    source: str
    reason: str = ""
    severity: Severity = Severity.WARNING
    symptom_of: tuple[str, ...] = ()
    certainty: float = 0.7


def diagnose(run: Run, context: Context) -> list[Finding]:
    """All findings on a run, the gravest first.

    Args:
        run: the run, finished or not.
        context: its hyperparameters and its loss's chance level.

    Example:
        >>> readings = tuple(Reading(e, e * 490, 2.3025 - 1e-5 * e, 0.19, 0.19, 1e-6) for e in range(1, 11))
        >>> from babysit.records import State
        >>> run = Run(State.COMPLETE, readings, first_cost=2.302576)
        >>> [finding.rule for finding in diagnose(run, Context(2.302585, 0.1, {"learning_rate": 1e-6}))]
        ['learning_rate_too_low']
    """
    found: dict[str, Finding] = {}
    for rule in RULES:  # causes stand before their symptoms in the table
        finding = None if found.keys() & set(rule.symptom_of) else rule.judge(run, context)
        if finding is not None:
            found[rule.name] = replace(finding, unit=context.unit)
    return sorted(found.values(), key=lambda finding: GRAVEST_FIRST.index(finding.severity))


def _exploded(run: Run, context: Context) -> Finding | None:
    explosion = run.explosion
    if explosion is None:
        return None
    rate, l2 = context.rate("learning_rate"), context.rate("l2")
    if explosion.step == 1:
        # No update had been made yet, so no rate is to blame.
        cause = "the network's first outputs are no numbers, before any update"
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
                ". No accuracy is reported: scores that are no numbers all vote for class 0, and its share "
                "would pass for an accuracy"
            )
    cost = f"{explosion.ratio:.3g} times its first value" if math.isfinite(explosion.cost) else "no number"
    return Finding(
        rule="exploded",
        severity=Severity.ERROR,
        where="cost",
        since=explosion.epoch,
        message=f"the cost became {cost} {_moment(explosion, context.unit)}: {cause}",
        evidence=(
            Evidence("cost", explosion.cost, _limit_text(explosion), "3 x the first cost"),
            Evidence("first cost", explosion.first_cost, "finite", "the run's own start"),
        ),
        advice=advice,
        source="CS231n lecture 6, rows 85-89 and 93",
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
_LEAST_EPOCHS = 5
_LEAST_STEPS = 50
"""A few full-batch steps prove nothing: the lecture's 20 examples lose under 1e-3 in their first five."""


_NOISE = 0.02
"""How far one mini-batch's cost may lie from another's, as a share, in a network that stands still."""


def _fall(run: Run) -> float:
    """The share of itself that the cost lost; where mini-batch noise hides it, the validation loss."""
    fall = (run.first_cost - _mean_cost(run.readings[-3:])) / abs(run.first_cost)
    first, last = run.readings[0].val_loss, run.readings[-1].val_loss
    steady = (first - last) / abs(first) if first else math.nan
    return steady if abs(fall) < _NOISE and abs(steady) < abs(fall) else fall


def _learning_rate_too_low(run: Run, context: Context) -> Finding | None:
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
    return Finding(
        rule="learning_rate_too_low",
        severity=Severity.WARNING,
        where="cost",
        since=1,
        message=message,
        evidence=(
            Evidence("relative fall of the cost", fall, f"at least {_LEAST_FALL:g}", "it learns"),
            *_loss_evidence(last, context),
        ),
        advice=advice,
        source="CS231n lecture 6, rows 82-84",
    )


def _mean_cost(readings: tuple[Reading, ...]) -> float:
    return math.fsum(reading.cost for reading in readings) / len(readings)


def _loss_evidence(last: Reading, context: Context) -> tuple[Evidence, ...]:
    """The loss beside its chance level, where both are known."""
    if math.isnan(context.chance_loss):
        return ()
    what, loss = ("cost", last.cost) if math.isnan(last.val_loss) else ("validation loss", last.val_loss)
    return (Evidence(what, loss, f"below {context.chance_loss:.4f}", "chance level"),)


def is_early(run: Run) -> bool:
    """Whether there are too few readings, or too few steps, to judge what a run has not done yet."""
    last = run.last
    if last is None or min(len(run.readings), last.epoch) < _LEAST_EPOCHS:
        return True
    return 0 < last.step < _LEAST_STEPS


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


def _regularization_dominates(run: Run, context: Context) -> Finding | None:
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
    return Finding(
        rule="regularization_too_strong",
        severity=Severity.WARNING,
        where=name,
        since=last.epoch,
        message=f"the regularization {what}: the network answers with a constant",
        evidence=(
            Evidence("cost minus validation loss", penalty, f"below {last.val_loss:.3g}", "data must matter"),
            Evidence("validation loss", last.val_loss, f"below {context.chance_loss:.4f}", "chance level"),
        ),
        advice=f"lower {name}: try {strengths[name] / 100:.2g}",
        source="CS231n lecture 6, row 99",
    )


def _learned_nothing(run: Run, context: Context) -> Finding | None:
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
    return Finding(
        rule="learned_nothing",
        severity=Severity.WARNING,
        where="cost" if where == "training" else "validation loss",
        since=last.epoch,
        message=f"after {last.epoch} {context.unit}s the network does no better than chance on the {where} "
        "examples"
        + (", though it fits the training examples: the labels may not belong to the inputs" if fits else ""),
        evidence=(
            *_loss_evidence(last, context),
            Evidence("training accuracy", last.train_accuracy, "rising", "it fits what it sees"),
        ),
        advice="look for shuffled labels, or train and validation examples of different kinds"
        if fits
        else "run `babysit check`: it tells a learning rate that is too low or too high from a broken set-up",
        source="CS231n lecture 6, rows 72-83",
    )


_GAP = 0.1


def _usual_gap(run: Run) -> float:
    """The gap of the last readings: one alone may be chance, with few validation examples."""
    return median(reading.train_accuracy - reading.val_accuracy for reading in run.readings[-5:])


def _overfitting(run: Run, _: Context) -> Finding | None:
    last, best = run.last, run.best
    if run.explosion is not None or last is None or best is None or last.epoch < 3:
        return None
    gap = last.train_accuracy - last.val_accuracy
    if not min(gap, _usual_gap(run)) > _GAP:
        return None
    fell = best.val_accuracy - last.val_accuracy
    return Finding(
        rule="overfitting",
        severity=Severity.WARNING,
        where="accuracy",
        since=next(r.epoch for r in run.readings if r.train_accuracy - r.val_accuracy > _GAP),
        message=f"the training accuracy is {gap:.3f} above the validation accuracy: the network overfits",
        evidence=(
            Evidence("train - validation accuracy", gap, f"below {_GAP:g}", "a small gap generalizes"),
            Evidence("fall from the best validation accuracy", fell, "0", "it should not turn down"),
        ),
        advice="regularize more: raise l2, add dropout or data, or keep the weights of the best epoch",
        source="CS231n lecture 6, row 111",
    )


def _no_gap(run: Run, context: Context) -> Finding | None:
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
    return Finding(
        rule="underfitting",
        severity=Severity.INFO,
        where="accuracy",
        since=last.epoch,
        message="no gap between training and validation accuracy, and the cost no longer falls: "
        "the network has room to grow",
        evidence=(
            Evidence("train - validation accuracy", gap, "above 0.01", "a network with capacity fits more"),
            Evidence("training accuracy", last.train_accuracy, "above 0.9", "it does not fit its own data"),
        ),
        advice="give it more capacity: more units or layers, or less regularization",
        source="CS231n lecture 6, row 111",
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "exploded",
        _exploded,
        "a cost above 3 x the first cost, or no number",
        "CS231n rows 85-89, 93",
        "the lecture's own limit; a healthy cost never trebles, and waiting for inf loses epochs",
        Severity.ERROR,
        certainty=0.95,
    ),
    Rule(
        "diverging",
        curves.diverging,
        "the cost ends 25% above its start, or at twice its lowest with 30% of its fall lost again",
        "CS231n row 109 (the very high rate of its cartoon)",
        "medians of 3 readings or a fifth of them, and 4 x the usual step, so that noise does not count",
        symptom_of=("exploded",),
        certainty=0.8,
    ),
    Rule(
        "negative_loss",
        curves.negative_loss,
        "a cost below -0.001 beside a classification accuracy",
        "minus the logarithm of a probability is at least 0",
        "minus the logarithm of a probability cannot be negative",
        symptom_of=("exploded",),
        certainty=0.9,
    ),
    Rule(
        "schedule_exhausted",
        curves.schedule_exhausted,
        "the learning rate under 1e-4 of its highest for half of the run, the data not fitted to 97%",
        "CS231n notes 3 (annealing)",
        "from there on an epoch moves the weights less than one step did before",
        symptom_of=("exploded",),
        certainty=0.85,
    ),
    Rule(
        "learning_rate_too_low",
        _learning_rate_too_low,
        "the cost moved by less than 1e-3 of itself in 5 epochs and 50 steps or more",
        "CS231n rows 82-84",
        "the lecture's slow run lost 7e-5 of its cost in 10 epochs, its good ones a tenth in one",
        symptom_of=("schedule_exhausted",),
        certainty=0.85,
    ),
    Rule(
        "regularization_too_strong",
        _regularization_dominates,
        "loss at chance while the penalty outweighs it or has shrunk the weights away",
        "CS231n row 99",
        "of a cost that is mostly penalty the data is no part",
        certainty=0.8,
    ),
    Rule(
        "learned_nothing",
        _learned_nothing,
        "loss at chance (98% of ln C, or of the targets' variance) after 5 epochs, no other cause known",
        "CS231n rows 72-83",
        "a network that predicts the class shares, or the mean, sits at this level and stays",
        symptom_of=(
            "exploded",
            "negative_loss",
            "learning_rate_too_low",
            "regularization_too_strong",
            "schedule_exhausted",
        ),
        certainty=0.4,
    ),
    Rule(
        "bad_initialization",
        curves.bad_initialization,
        "the cost within 2% of its first value for 30% of the run (no warm-up), then down by 20% or more",
        "CS231n row 110",
        "the lecture's 20 examples stand still for 4% of their run and are healthy",
        symptom_of=("exploded", "diverging"),
    ),
    Rule(
        "accuracy_stands_still",
        curves.accuracy_stands_still,
        "the cost falls by 40% while the accuracy moves by no more than 0.002, under 0.9",
        "the definition of accuracy: the share of examples whose highest score is right",
        "scores that win on the cost win examples too, unless the metric looks elsewhere",
        symptom_of=("exploded", "negative_loss", "learned_nothing"),
        certainty=0.6,
    ),
    Rule(
        "too_good",
        curves.too_good,
        "every validation example right from the first reading on, at a cost under 0.1",
        "Kaufman et al. 2012, Leakage in data mining",
        "a task so easy is rarer than a leaked or constant label",
        certainty=0.5,
    ),
    Rule(
        "overfitting",
        _overfitting,
        "train accuracy 0.1 above validation accuracy",
        "CS231n row 111",
        "the lecture's good runs keep it at a few hundredths",
        symptom_of=("learned_nothing", "accuracy_stands_still"),
        certainty=0.8,
    ),
    Rule(
        "validation_loss_rises",
        curves.validation_loss_rises,
        "validation loss 10% above its lowest while the cost still falls; no accuracy that held within 0.02",
        "CS231n row 111",
        "a loss may rise from confidence alone while every verdict stays right, so the accuracy decides",
        symptom_of=("exploded", "diverging", "learned_nothing", "overfitting", "learning_rate_too_low"),
    ),
    Rule(
        "oscillation",
        curves.oscillation,
        "in the second half the validation accuracy jumps by 0.08 (its loss by 30%) a reading and gains less",
        "CS231n row 109; AUTOTRAINER asks for 0.03 in a fifth of the epochs",
        "one fixed set of examples is scored each time: jumps are the weights', not the sample's",
        symptom_of=("exploded", "diverging", "learned_nothing", "validation_loss_rises"),
        certainty=0.6,
    ),
    Rule(
        "underfitting",
        _no_gap,
        "no gap, the cost no longer falls, and the training data is not fitted",
        "CS231n row 111",
        "a network with capacity to spare fits its own data better than new data",
        Severity.INFO,
        symptom_of=("learning_rate_too_low", "schedule_exhausted", "learned_nothing", "oscillation"),
        certainty=0.5,
    ),
    Rule(
        "plateau",
        curves.plateau,
        "the cost fell by less than 1% over the second half, training accuracy under 0.9 or unknown",
        "CS231n row 109 (the high rate of its cartoon)",
        "10 readings and medians; what is fitted has reached its end and is not meant",
        Severity.INFO,
        symptom_of=(
            "exploded",
            "diverging",
            "negative_loss",
            "learning_rate_too_low",
            "schedule_exhausted",
            "regularization_too_strong",
            "learned_nothing",
            "accuracy_stands_still",
            "too_good",
            "overfitting",
            "oscillation",
            "underfitting",
        ),
        certainty=0.4,
    ),
    Rule(
        "still_improving",
        curves.still_improving,
        "over the last fifth the cost fell by 10% and the validation score rose with it, under 0.8",
        "CS231n row 109 (the low rate of its cartoon)",
        "a run that ends on its way down was stopped too early, or its rate could be higher",
        Severity.INFO,
        symptom_of=(
            "exploded",
            "diverging",
            "negative_loss",
            "schedule_exhausted",
            "learning_rate_too_low",
            "learned_nothing",
            "bad_initialization",
            "accuracy_stands_still",
            "too_good",
            "overfitting",
        ),
        certainty=0.5,
    ),
)
