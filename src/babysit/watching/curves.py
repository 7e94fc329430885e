"""Rules on the shape of a run's curves, which a printed log alone allows.

Readings are noisy, so levels are medians, and a change counts only beside the usual step from one reading
to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

from babysit.records import Evidence, Finding, Reading, Run, Severity

if TYPE_CHECKING:
    from babysit.watching.rules import Context

_FEW_STEPS = 50


def _costs(run: Run, fewest: int) -> list[float]:
    """The costs of a run that is long enough to judge; empty otherwise."""
    last = run.last
    if run.explosion is not None or last is None or 0 < last.step < _FEW_STEPS:
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


def diverging(run: Run, context: Context) -> Finding | None:
    """A cost that ends above its start, or has lost much of its fall again."""
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
    return Finding(
        rule="diverging",
        severity=Severity.WARNING,
        where="cost",
        since=run.readings[place].epoch,
        message=f"the cost {what} ({start:.4g}, then {lowest:.4g}, now {end:.4g}): "
        "the learning rate is too high",
        evidence=(Evidence("cost at the end", end, f"near {lowest:.4g}", "its lowest"),),
        advice=f"lower the learning rate, by 3 to 10 times, or clip the gradients from {context.unit} "
        f"{run.readings[place].epoch} on",
        source="CS231n lecture 6, row 109",
    )


def negative_loss(run: Run, _: Context) -> Finding | None:
    """A classification loss below zero."""
    last = run.last
    if run.explosion is not None or last is None or math.isnan(_accuracy(last)) or not last.cost < -1e-3:
        return None
    return Finding(
        rule="negative_loss",
        severity=Severity.WARNING,
        where="cost",
        since=next(reading.epoch for reading in run.readings if reading.cost < 0),
        message="the cost of a classification is negative: the loss is not fed what it expects",
        evidence=(Evidence("cost", last.cost, "at least 0", "minus the logarithm of a probability"),),
        advice="NLLLoss needs log-probabilities (log_softmax), cross-entropy raw scores and class numbers; "
        "binary cross-entropy targets of 0 and 1; look for a flipped sign too",
        source="minus the logarithm of a probability is at least 0",
    )


def schedule_exhausted(run: Run, context: Context) -> Finding | None:
    """A learning rate that is as good as zero for half of the run."""
    rates = [reading.learning_rate for reading in run.readings]
    if not _costs(run, 6) or not max(rates) > 0 or _best_accuracy(run) > 0.97:
        return None
    idle = [reading for reading in run.readings if reading.learning_rate <= 1e-4 * max(rates)]
    if len(idle) < len(rates) / 2 or idle[-1] is not run.last:
        return None
    since = idle[0].epoch
    return Finding(
        rule="schedule_exhausted",
        severity=Severity.WARNING,
        where="learning rate",
        since=since,
        message=f"the learning rate is as good as zero from {context.unit} {since} on: "
        f"{len(idle)} of {len(rates)} readings taught nothing",
        evidence=(
            Evidence("learning rate at the end", rates[-1], f"above {1e-4 * max(rates):.2g}", "it moves"),
        ),
        advice="stretch the schedule over the whole run; a scheduler meant for epochs that is stepped every "
        "batch ends too early",
        source="CS231n notes 3, annealing",
    )


def bad_initialization(run: Run, context: Context) -> Finding | None:
    """A cost that is flat from the start, and then falls."""
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
    return Finding(
        rule="bad_initialization",
        severity=Severity.WARNING,
        where="cost",
        since=first,
        message=f"the cost stood still until {context.unit} {leaves} and only then fell: "
        "bad initialization is the prime suspect",
        evidence=(Evidence("flat share of the run", share, "below 0.3", "it learns from the start"),),
        advice="He's initialization for ReLU, Xavier's for tanh; batch norm; inputs of unit variance",
        source="CS231n lecture 6, row 110",
    )


def _warms_up(run: Run, flat: int) -> bool:
    rates = [reading.learning_rate for reading in run.readings]
    return rates[0] < 0.5 * max(rates[: flat + 1])


def accuracy_stands_still(run: Run, _: Context) -> Finding | None:
    """A cost that falls while the accuracy does not move."""
    costs = _costs(run, 5)
    shown = [_accuracy(reading) for reading in run.readings]
    if not costs or not costs[0] > 0 or any(map(math.isnan, shown)) or shown[-1] >= 0.9:
        return None
    fall = 1 - median(costs[-3:]) / costs[0]
    moved = max(shown) - min(shown)
    if fall < 0.4 or moved > 0.002:
        return None
    return Finding(
        rule="accuracy_stands_still",
        severity=Severity.WARNING,
        where="accuracy",
        since=run.readings[0].epoch,
        message=f"the cost fell by {fall:.0%} but the accuracy stays at {shown[-1]:.3f}: "
        "the metric does not see what the loss sees, or every answer is the same class",
        evidence=(
            Evidence("movement of the accuracy", moved, "above 0.002", "scores that improve win examples"),
            Evidence("relative fall of the cost", fall, "below 0.4", "for an accuracy that stands"),
        ),
        advice="compare the metric's threshold and shapes with the loss's: (N,) against (N,1), a softmax "
        "over one unit, argmax over the wrong axis; then look at the share of each class",
        source="the definition of accuracy: the share of examples whose highest score is right",
    )


def too_good(run: Run, _: Context) -> Finding | None:
    """Every validation example right from the start."""
    shown = [reading.val_accuracy for reading in run.readings]
    if (
        run.explosion is not None
        or len(shown) < 3
        or not min(shown) >= 1
        or not 0 < run.readings[0].cost < 0.1
    ):
        return None
    return Finding(
        rule="too_good",
        severity=Severity.WARNING,
        where="val accuracy",
        since=run.readings[0].epoch,
        message="every validation example is right from the first reading on: too good to be true",
        evidence=(Evidence("cost at the first reading", run.readings[0].cost, "above 0.1", "it must learn"),),
        advice="look for the label among the features, examples in both splits, and labels that are all the "
        "same; a run that goes on from good weights is no fault",
        source="Kaufman et al. 2012, Leakage in data mining",
    )


def validation_loss_rises(run: Run, context: Context) -> Finding | None:
    """A validation loss that turned up while the cost goes on falling."""
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
    return Finding(
        rule="validation_loss_rises",
        severity=Severity.WARNING,
        where="val loss",
        since=since,
        message=f"the validation loss rose by {rise:.0%} from {context.unit} {since} on while the cost fell: "
        "the network overfits",
        evidence=(Evidence("validation loss", end, f"near {lowest:.4g}", "its lowest"),),
        advice=f"keep the weights of {context.unit} {since}; regularize more, or find more data",
        source="CS231n lecture 6, row 111",
    )


def oscillation(run: Run, _: Context) -> Finding | None:
    """A validation score that jumps up and down without gaining."""
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
    return Finding(
        rule="oscillation",
        severity=Severity.WARNING,
        where=what,
        since=run.readings[len(run.readings) // 2].epoch,
        message=f"the {what} jumps by {jump:.0%} from reading to reading and gains nothing: "
        "the learning rate is too high for this stage",
        evidence=(
            Evidence(f"mean jump of the {what}", jump, "below 0.3" if relative else "below 0.08", "settled"),
        ),
        advice="lower the learning rate or let it decay; a larger batch helps too. With fewer than a hundred "
        "validation examples, jumps are chance",
        source="CS231n lecture 6, row 109",
    )


def plateau(run: Run, context: Context) -> Finding | None:
    """A cost that no longer falls, although the data is not fitted."""
    costs = _costs(run, 10)
    if not costs or not min(costs) > 0 or _best_accuracy(run) >= 0.9:
        return None
    half = len(costs) // 2
    before, after = _ends(costs[half:])
    if not -0.01 < 1 - after / before < 0.01:
        return None
    since = run.readings[half].epoch
    return Finding(
        rule="plateau",
        severity=Severity.INFO,
        where="cost",
        since=since,
        message=f"the cost has stood at {after:.4g} since {context.unit} {since} or before: a plateau, or "
        "the floor of the task",
        evidence=(
            Evidence("relative fall over the second half", 1 - after / before, "above 0.01", "it learns"),
        ),
        advice="lower the learning rate once by 10: if the cost then falls, the rate was too high for this "
        "stage; if not, more capacity, or it is the floor",
        source="CS231n lecture 6, row 109",
    )


def still_improving(run: Run, context: Context) -> Finding | None:
    """A run that ends on its way down."""
    costs = _costs(run, 10)
    if not costs or not min(costs) > 0 or not _best_accuracy(run) < 0.8:
        return None
    share = max(3, len(costs) // 5)
    early, late = median(costs[-2 * share : -share]), median(costs[-share:])
    fall = 1 - late / early
    if fall < 0.1 or not _gains(run, share):
        return None
    return Finding(
        rule="still_improving",
        severity=Severity.INFO,
        where="cost",
        since=run.readings[-share].epoch,
        message=f"the cost still falls, by {fall:.0%} over the last {share} {context.unit}s: "
        "the run ended too early",
        evidence=(Evidence("relative fall at the end", fall, "below 0.1", "it has settled"),),
        advice="train longer, or raise the learning rate a little",
        source="CS231n lecture 6, row 109",
    )


def _gains(run: Run, share: int) -> bool:
    """Whether the validation score, where there is one, goes on rising."""
    accuracies, losses = _finite(run, "val_accuracy"), _finite(run, "val_loss")
    values = accuracies or [-loss for loss in losses]
    if len(values) < 2 * share:
        return not values
    return median(values[-share:]) > median(values[-2 * share : -share])
