"""What the loss, the update ratios and the accuracies of a run tell."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.course import (
    LEARNED_NOTHING,
    LOSS_EXPLODED,
    LOSS_NOT_FINITE,
    OSCILLATION,
    OVERFITTING,
    PLATEAU,
    UNDERFITTING,
)
from babysit.diagnosis.problems.rate import LEARNING_RATE_TOO_HIGH, LEARNING_RATE_TOO_LOW
from babysit.verdicts import Evidence
from babysit.watching.detect.shared import (
    BEGAN,
    ENOUGH,
    STEPPED,
    TARGETS,
    VALIDATION,
    fares_well,
    late,
    stepped,
    steps,
    typical_ratio,
)
from babysit.watching.sample import Epoch, Log, Sample

_EXPLOSION = 3.0
_ADAPTIVE = ("Adam", "RMSprop", "Rprop", "Adagrad", "Adadelta", "Lion", "Adafactor")


@detects(LOSS_NOT_FINITE, reason="NaN almost always means a high learning rate", needs=(BEGAN,))
def loss_not_finite(log: Log) -> Detection | None:
    """A loss that is NaN or infinite."""
    bad = next((step for step, loss in enumerate(log.losses, 1) if not math.isfinite(loss)), None)
    if bad is None:
        return None
    before = [sample for sample in stepped(log) if sample.step < bad]
    first = next((sample for sample in log.samples if sample.step >= bad), None)
    where = _first_bad(first) if first else "loss"
    grew = _grew(before)
    return Detection(
        where=where,
        message=f"the loss is {_named(log.losses[bad - 1])} from step {bad} on{_origin(first, where)}{grew}",
        evidence=evidence(
            "steps with a finite loss", bad - 1, "all", "NaN spreads to every weight in one step"
        ),
        since=bad,
        fix=_nan_advice(first, log, before),
    )


def _origin(sample: Sample | None, where: str) -> str:
    if sample is None:
        return ""
    if sample.output is not None and not sample.output.input_finite:
        return "; the model's input is not finite either"
    return (
        f"; first seen in {where} (step {sample.step})" if where != "loss" else "; the output is still finite"
    )


def _named(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"


def _first_bad(sample: Sample) -> str:
    if sample.output is not None and not sample.output.input_finite:
        return "input"
    layers = (name for name, stat in sample.layers.items() if not math.isfinite(stat.mean + stat.std))
    tensors = (name for name, stat in sample.tensors.items() if not math.isfinite(stat.weight))
    return next(layers, next(tensors, "loss"))


def _grew(before: list[Sample]) -> str:
    """The tensor whose norm grew most over the finite samples, if any grew much."""
    if len(before) < 2:
        return ""
    first, last = before[0].tensors, before[-1].tensors
    growth = {
        name: last[name].weight / stat.weight for name, stat in first.items() if name in last and stat.weight
    }
    name = max(growth, key=lambda known: growth[known], default="")
    return f"; before it |{name}| grew {growth[name]:.3g} times" if name and growth[name] > 2 else ""


def _grew_before_nan(log: Log, before: list[Sample]) -> bool:
    """Tells whether the loss or the weights moved wildly in the steps before the loss was NaN."""
    finite = [loss for loss in log.losses if math.isfinite(loss)]
    wild = typical_ratio(before) >= _limit(log)
    return bool(finite) and (max(finite) > _EXPLOSION * abs(log.losses[0]) or wild)


def _nan_advice(sample: Sample | None, log: Log, before: list[Sample]) -> str:
    if sample is not None and sample.output is not None and not sample.output.input_finite:
        return "clean the data: NaN or infinite inputs reach the model"
    if before and not _grew_before_nan(log, before):
        return "nothing grew before it: look at that batch, and for log(0), 0/0 or sqrt(0) in model and loss"
    return "the learning rate is too high: try a tenth of it; if that is no fix, look at the data's scale"


@detects(
    LOSS_EXPLODED,
    reason="one odd batch is no explosion, nor is a spike that the run recovers from",
    needs=(steps(10),),
)
def loss_exploded(log: Log) -> Detection | None:
    """The loss is above 3 x its first value, smoothed over 5 steps, and stays there."""
    since = _exploded_at(log)
    if not since:
        return None
    ratio = typical_ratio(stepped(log))
    gentle = ratio < _GENTLE and since > 10
    small = ", in small steps: does the gradient point uphill?" if gentle else ""
    return Detection(
        where="loss",
        message=f"the loss is {log.last / log.first:.3g} times its first value{small}",
        evidence=(
            Evidence("loss", log.last, f"at most {_EXPLOSION:g} x {log.first:.4g}", "the lecture's 3x rule"),
            Evidence("update ratio", ratio, "about 1e-3", "actual change of W over W"),
        ),
        since=since,
        fix="look for a flipped sign in the loss or update; else try a tenth of the learning rate"
        if gentle
        else "",
    )


def _exploded_at(log: Log) -> int:
    """Returns the step from which the loss has exploded; 0 where it has not, or has recovered."""
    losses, first = log.losses, log.first
    if log.steps < 10 or not first > 0 or not all(map(math.isfinite, losses)):
        return 0
    # A spike that the run recovers from is no explosion.
    if not log.last > _EXPLOSION * first:
        return 0
    high = (at + 1 for at in range(len(losses) - 4) if fmean(losses[at : at + 5]) > _EXPLOSION * first)
    return next(high, 0)


@detects(
    LEARNING_RATE_TOO_LOW,
    reason="30 times below the band's middle of 1e-3: at that pace a weight changes in 30,000 steps",
    needs=(STEPPED, steps(50)),
)
def learning_rate_too_low(log: Log) -> Detection | None:
    """The loss moved under 5% in 50 steps with update ratios below 3e-5, or under 0.1% with 3e-4."""
    ratio = typical_ratio(stepped(log))
    if log.steps < 50 or len(stepped(log)) < ENOUGH or fares_well(log) or not abs(log.fall) < 0.05:
        return None
    # 30 times below the band's middle; with a loss as flat as the lecture's, a factor of 3 is enough.
    if not ratio < (3e-4 if abs(log.fall) < 1e-3 else 3e-5):
        return None
    rate = max(log.samples[-1].rates, default=math.nan)
    return Detection(
        where="learning rate",
        message=f"the loss barely changes ({log.fall:.1e} of it in {log.steps} steps) and the "
        f"weights hardly move: "
        "the learning rate is too low",
        evidence=(
            Evidence("update ratio", ratio, "about 1e-3", "actual change of W over W"),
            Evidence("relative fall of the loss", log.fall, "above 1e-3", "it learns"),
        ),
        since=1,
        fix=f"raise the learning rate: try {10 * rate:.2g}, then {100 * rate:.2g}",
    )


@detects(
    LEARNING_RATE_TOO_HIGH,
    reason="the lecture's 3x rule: a step that overshoots raises the loss, and the next one more",
    needs=(BEGAN,),
)
def loss_thrown_up(log: Log) -> Detection | None:
    """The loss grew to 3 x its first value or became NaN after it had moved wildly, from finite inputs."""
    before, grew = stepped(log), _exploded_at(log)
    bad = next((step for step, loss in enumerate(log.losses, 1) if not math.isfinite(loss)), 0)
    if bad:
        before = [sample for sample in before if sample.step < bad]
        at = next((sample for sample in log.samples if sample.step >= bad), None)
        fed = at is not None and at.output is not None and not at.output.input_finite
        if bad == 1 or fed or not _grew_before_nan(log, before):
            return None
        what = f"became {_named(log.losses[bad - 1])} at step {bad}"
    else:
        if not grew or (grew > 10 and typical_ratio(before) < _GENTLE):
            return None
        what = f"grew to {log.last / log.first:.3g} times its first value"
    ratio = typical_ratio(before)
    steps_text = f", in steps of {ratio:.1%} of the weights" if ratio == ratio else ""
    rate = max((rate for sample in log.samples[:1] for rate in sample.rates), default=math.nan)
    return Detection(
        where="learning rate",
        message=f"the loss {what}{steps_text}: the learning rate is too high",
        evidence=(
            Evidence("update ratio", ratio, "about 1e-3", "actual change of W over W"),
            Evidence("first loss", log.losses[0], "not passed threefold", "the lecture's 3x rule"),
        ),
        since=1,
        fix=f"try a learning rate of {rate / 10:.2g}; scale inputs and targets if that does not help",
    )


_GENTLE = 1e-3
"""The usual update ratio: a loss that grows in smaller steps goes uphill for another reason."""


@detects(
    LEARNING_RATE_TOO_HIGH,
    reason="10-100 times the band's middle of 1e-3; adaptive rules move small weights more",
    needs=(STEPPED, steps(30)),
)
def learning_rate_too_high(log: Log) -> Detection | None:
    """Median update ratio above 0.03 (adaptive: 0.1) late, or an early loss 10 x the first, no progress."""
    samples = late(stepped(log))
    if _descends(log) and typical_ratio(samples) < _LARGE_STEPS:
        return None
    ratio = typical_ratio(samples)
    limit = _limit(log)
    if log.steps < 30 or len(samples) < ENOUGH or (fares_well(log) and not _limps(log)):
        return None
    if not ratio > limit or _still_falls(log):
        return _catapult(log) or _lost(log, limit)
    return Detection(
        where="learning rate",
        message=f"each step changes the weights by {ratio:.1%} of themselves and the loss does not settle: "
        "the learning rate is too high",
        evidence=evidence(
            "update ratio", ratio, f"below {limit:g}, better 1e-3", "actual change of W over W"
        ),
        since=samples[0].step,
        fix=f"try a learning rate of {max(log.samples[-1].rates, default=math.nan) / 10:.2g}",
    )


def _limit(log: Log) -> float:
    """Returns the update ratio from which steps are too large; adaptive rules move small weights more."""
    return 0.1 if any(name in each for name in _ADAPTIVE for each in log.setup.optimizers) else 0.03


_LARGE_STEPS = 0.1
"""On raw pixels and from weights of 1e-4, the lecture's best rates change weights by 3 to 4% a step."""


def _descends(log: Log) -> bool:
    """Whether the loss was never thrown up, and has kept falling to the end."""
    if log.steps < 100 or not max(log.losses) < 1.5 * log.first or not log.fall > 0.2:
        return False
    size = log.steps // 4
    second, third, fourth = (fmean(log.losses[at : at + size]) for at in (size, 2 * size, 3 * size))
    return fourth < 0.99 * third and third < 0.99 * second


def _limps(log: Log) -> bool:
    """Thrown so far out that a loss below half of chance is no sign of health yet."""
    return max(log.losses[: log.steps // 2]) > 100 * log.first and log.last > 0.2 * log.first


def _still_falls(log: Log) -> bool:
    """Whether the newest quarter lies clearly below the one before, and the loss was never thrown up."""
    quarter = log.steps // 4
    before, newest = fmean(log.losses[-2 * quarter : -quarter]), fmean(log.losses[-quarter:])
    return newest < 0.95 * before and newest < 0.8 * log.first and max(log.losses) < 1.5 * log.losses[0]


def _catapult(log: Log) -> Detection | None:
    """The first steps threw the loss far above its start, and the run never learned well after."""
    peak = max(log.losses[: log.steps // 2])
    if not peak > 10 * log.first > 0:
        return None
    return Detection(
        where="learning rate",
        message=f"the loss was thrown to {peak / log.first:.3g} times its first value and has not "
        f"done well since: "
        "the learning rate is too high, at least at the start",
        evidence=evidence("highest loss", peak, f"below 3 x {log.first:.4g}", "the lecture's 3x rule"),
        since=log.losses.index(peak) + 1,
        fix=f"try a learning rate of {max(log.samples[-1].rates, default=math.nan) / 10:.2g}, or a warm-up",
    )


def _lost(log: Log, limit: float) -> Detection | None:
    """Large early steps found a good place and threw it away again."""
    early = typical_ratio(stepped(log)[: len(stepped(log)) // 2])
    best = min(fmean(log.losses[at : at + 5]) for at in range(0, log.steps - 4, 5))
    if not (early > limit and 0 < best < 0.7 * log.last):
        return None
    return Detection(
        where="learning rate",
        message=f"steps of {early:.1%} of the weights reached a loss of {best:.3g}, now it is "
        f"{log.last:.3g}: "
        "the learning rate is too high",
        evidence=evidence(
            "early update ratio", early, f"below {limit:g}, better 1e-3", "actual change of W over W"
        ),
        since=1,
        fix=f"try a learning rate of {max(log.samples[-1].rates, default=math.nan) / 10:.2g}",
    )


@detects(OSCILLATION, reason="noise of batches has correlation 0", needs=(STEPPED, steps(40)))
def oscillation(log: Log) -> Detection | None:
    """Neighbouring losses correlate below -0.5 and swing over 5%, update ratio above 3e-3, no progress."""
    tail = log.losses[log.steps // 2 :]
    ratio = typical_ratio(late(stepped(log)))
    if len(tail) < 20 or fares_well(log) or not all(map(math.isfinite, tail)) or not ratio > 3e-3:
        return None
    echo, swing = _echo(tail)
    if not (echo < -0.5 and swing > 0.05):
        return None
    return Detection(
        where="loss",
        message="the loss swings to and fro at every step: steps overshoot the valley they should descend",
        evidence=evidence("correlation of neighbouring losses", echo, "0 or more", "overshooting alternates"),
        since=log.steps // 2,
    )


def _echo(values: Sequence[float]) -> tuple[float, float]:
    """Correlation of neighbours (-1 for a swing of period two, 0 for noise), and relative spread."""
    mean = fmean(values)
    away = array("d", (value - mean for value in values))  # half a long run: no object for each
    spread = fmean(value * value for value in away)
    if not spread:
        return 0.0, 0.0
    swing = math.sqrt(spread) / abs(mean or 1)
    return fmean(a * b for a, b in pairwise(away)) / spread, swing


@detects(
    LEARNED_NOTHING,
    reason="the entropy of the class shares, or the variance of the targets",
    needs=(TARGETS, steps(100)),
)
def learned_nothing(log: Log) -> Detection | None:
    """After 100 steps a loss above 0.99 of the best constant answer's on the same batches."""
    # Loss and chance of the very same batches: targets differ from batch to batch by more than is learned.
    samples = [sample for sample in late(list(log.samples)) if sample.targets is not None]
    chance = log.chance_in(samples)
    loss = fmean(log.losses[sample.step - 1] for sample in samples) if samples else math.nan
    unmoved = loss > 0.99 * chance and log.last > 0.97 * log.chance and log.fall < 0.5
    if log.steps < 100 or not unmoved:
        return None
    return Detection(
        where="loss",
        message=f"after {log.steps} steps the model does no better than {_constant(log)}",
        evidence=evidence("loss", loss, f"below {chance:.4g}", "a constant answer reaches that"),
        since=1,
    )


def _constant(log: Log) -> str:
    if log.graph is not None and log.graph.kind == "squared error":
        return "the targets' mean said for every example (the loss is their variance)"
    return "the classes' shares said for every example (the loss is their entropy, ln C if they are equal)"


_GAP = 0.1


@detects(OVERFITTING, reason="a gap that does not cost accuracy needs no fix", needs=(VALIDATION,))
def overfitting(log: Log) -> Detection | None:
    """Accuracy gap above 0.2, or 0.1 with validation 0.02 below its best, or validation loss 1.25 x best."""
    epochs = log.epochs
    if len(epochs) < 3 or not (_gap_widens(epochs) or _val_loss_turns(log)):
        return None
    gap = epochs[-1].train_accuracy - epochs[-1].val_accuracy
    return Detection(
        where="validation",
        message="the network overfits: it still improves on its training examples and no longer on "
        "the others",
        evidence=(
            Evidence("train - validation accuracy", gap, f"below {_GAP:g}", "a small gap generalizes"),
            Evidence("validation loss", epochs[-1].val_loss, "at its best", "it should not turn up"),
        ),
        since=max(epochs, key=lambda each: -each.val_loss if each.val_loss == each.val_loss else 0.0).step,
    )


def _gap_widens(epochs: tuple[Epoch, ...]) -> bool:
    best = max(
        (each.val_accuracy for each in epochs if each.val_accuracy == each.val_accuracy), default=math.nan
    )
    gap = epochs[-1].train_accuracy - epochs[-1].val_accuracy
    return gap > 2 * _GAP or (gap > _GAP and best - epochs[-1].val_accuracy > 0.02)


def _val_loss_turns(log: Log) -> bool:
    losses = [each.val_loss for each in log.epochs if math.isfinite(each.val_loss)]
    if len(losses) < 3:
        return False
    # A rise that is small beside what there was to learn is the scatter of a run that has learned it.
    rise = min(losses[-2:]) - min(losses)
    learnable = min(value for value in (log.first, log.chance, math.inf) if value == value)
    turned = min(losses[-2:]) > 1.25 * min(losses) > 0 and rise > 0.05 * learnable
    return turned and log.last < 0.5 * losses[-1]


@detects(UNDERFITTING, reason="no gap means capacity to spare", needs=(VALIDATION,))
def underfitting(log: Log) -> Detection | None:
    """Train accuracy below 0.9 and less than 0.01 above validation, loss flat for half of the run."""
    if len(log.epochs) < 5 or log.steps < 100:
        return None
    last, half = log.epochs[-1], fmean(log.losses[log.steps // 2 : log.steps // 2 + log.window])
    flat = log.last > 0.98 * half
    if not (flat and last.train_accuracy - last.val_accuracy < 0.01 and last.train_accuracy < 0.9):
        return None
    return Detection(
        where="accuracy",
        message="no gap between training and validation, and the loss no longer falls: the network "
        "has room to grow",
        evidence=evidence(
            "training accuracy", last.train_accuracy, "above 0.9", "it does not fit its own data"
        ),
        since=log.steps // 2,
    )


@detects(PLATEAU, reason="a floor and a plateau look alike: a remark only", needs=(steps(100),))
def plateau(log: Log) -> Detection | None:
    """The loss fell by 5%, then changed by less than 0.5% over the newer half."""
    if log.steps < 100 or fares_well(log) or not log.fall > 0.05:
        return None
    half = fmean(log.losses[log.steps // 2 : log.steps // 2 + log.window])
    if not abs(half - log.last) < 0.005 * abs(half):
        return None
    return Detection(
        where="loss",
        message="the loss has stood still for half of the run",
        evidence=evidence("loss", log.last, f"below {half:.4g}", "its value half a run ago"),
        since=log.steps // 2,
    )
