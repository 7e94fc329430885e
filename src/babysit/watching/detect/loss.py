"""Detectors of faults in a run's loss, update ratios and accuracies."""

from __future__ import annotations

import math
from array import array
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
from babysit.records import EXPLOSION_LIMIT
from babysit.verdicts import Evidence
from babysit.watching.detect.shared import (
    BEGAN,
    ENOUGH,
    STEPPED,
    TARGETS,
    VALIDATION,
    learns_well,
    newer_half,
    stepped,
    steps,
    typical_ratio,
)
from babysit.watching.sample import Sample, WatchLog

_ADAPTIVE = ("Adam", "RMSprop", "Rprop", "Adagrad", "Adadelta", "Lion", "Adafactor")


@detects(LOSS_NOT_FINITE, reason="NaN almost always means a high learning rate", needs=(BEGAN,))
def loss_not_finite(log: WatchLog) -> Detection | None:
    """Finds a loss that is NaN or infinite."""
    bad = _first_bad_step(log)
    if not bad:
        return None
    before = [sample for sample in stepped(log) if sample.step < bad]
    sample = next((sample for sample in log.samples if sample.step >= bad), None)
    bad_input = _has_bad_input(sample)

    if bad_input:
        where, origin = "input", "; the model's input is not finite either"
    elif sample is None:
        where, origin = "loss", ""
    else:
        layers = (name for name, stat in sample.layers.items() if not math.isfinite(stat.mean + stat.std))
        tensors = (name for name, stat in sample.tensors.items() if not math.isfinite(stat.weight))
        where = next(layers, next(tensors, "loss"))
        origin = f"; first seen in {where} (step {sample.step})"
        origin = origin if where != "loss" else "; the output is still finite"

    if bad_input:
        fix = "clean the data: NaN or infinite inputs reach the model"
    elif before and not _moved_wildly(log, before):
        fix = "nothing grew before it: look at that batch, and for log(0), 0/0 or sqrt(0) in model and loss"
    else:
        fix = "the learning rate is too high: try a tenth of it; if that is no fix, look at the data's scale"
    return Detection(
        where=where,
        message=f"the loss is {_name_of(log.losses[bad - 1])} from step {bad} on{origin}{_growth(before)}",
        evidence=evidence(
            "steps with a finite loss", bad - 1, "all", "NaN spreads to every weight in one step"
        ),
        since=bad,
        fix=fix,
    )


def _first_bad_step(log: WatchLog) -> int:
    """Returns the first step whose loss is NaN or infinite; 0 without one."""
    return next((step for step, loss in enumerate(log.losses, 1) if not math.isfinite(loss)), 0)


def _has_bad_input(sample: Sample | None) -> bool:
    return sample is not None and sample.output is not None and not sample.output.input_finite


def _name_of(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"


def _growth(before: list[Sample]) -> str:
    """Describes the tensor whose norm grew most over the finite samples; empty if none grew twofold."""
    if len(before) < 2:
        return ""
    first, last = before[0].tensors, before[-1].tensors
    growth = {
        name: last[name].weight / stat.weight for name, stat in first.items() if name in last and stat.weight
    }
    name = max(growth, key=lambda known: growth[known], default="")
    return f"; before it |{name}| grew {growth[name]:.3g} times" if name and growth[name] > 2 else ""


def _moved_wildly(log: WatchLog, before: list[Sample]) -> bool:
    """Tells whether the loss or the weights moved wildly in the steps before the loss was NaN."""
    finite = [loss for loss in log.losses if math.isfinite(loss)]
    wild = typical_ratio(before) >= _limit(log)
    return bool(finite) and (max(finite) > EXPLOSION_LIMIT * abs(log.losses[0]) or wild)


@detects(
    LOSS_EXPLODED,
    reason="one odd batch is no explosion, nor is a spike that the run recovers from",
    needs=(steps(10),),
)
def loss_exploded(log: WatchLog) -> Detection | None:
    """Finds a loss above 3 x its first value, smoothed over 5 steps, that stays there."""
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
            Evidence(
                "loss", log.last, f"at most {EXPLOSION_LIMIT:g} x {log.first:.4g}", "the lecture's 3x rule"
            ),
            Evidence("update ratio", ratio, "about 1e-3", "actual change of W over W"),
        ),
        since=since,
        fix="look for a flipped sign in the loss or update; else try a tenth of the learning rate"
        if gentle
        else "",
    )


def _exploded_at(log: WatchLog) -> int:
    """Returns the step from which the loss has exploded; 0 where it has not, or has recovered."""
    losses, first = log.losses, log.first
    if log.steps < 10 or not first > 0 or not all(map(math.isfinite, losses)):
        return 0
    # A spike that the run recovers from is no explosion.
    if not log.last > EXPLOSION_LIMIT * first:
        return 0
    limit = EXPLOSION_LIMIT * first
    return next((at + 1 for at in range(len(losses) - 4) if fmean(losses[at : at + 5]) > limit), 0)


@detects(
    LEARNING_RATE_TOO_LOW,
    reason="30 times below the band's middle of 1e-3: at that pace a weight changes in 30,000 steps",
    needs=(STEPPED, steps(50)),
)
def learning_rate_too_low(log: WatchLog) -> Detection | None:
    """Finds a loss that moved under 5% in 50 steps at update ratios below 3e-5, or under 0.1% at 3e-4."""
    ratio = typical_ratio(stepped(log))
    if log.steps < 50 or len(stepped(log)) < ENOUGH or learns_well(log) or not abs(log.fall) < 0.05:
        return None
    # 30 times below the band's middle; with a loss as flat as the lecture's, a factor of 3 is enough.
    if not ratio < (3e-4 if abs(log.fall) < 1e-3 else 3e-5):
        return None
    rate = max(log.samples[-1].rates, default=math.nan)
    return Detection(
        where="learning rate",
        message=f"the loss barely changes ({log.fall:.1e} of it in {log.steps} steps) and the "
        f"weights hardly move: the learning rate is too low",
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
def loss_thrown_up(log: WatchLog) -> Detection | None:
    """Finds a loss that grew to 3 x its first value, or became NaN after wild moves, from finite inputs."""
    before, grew = stepped(log), _exploded_at(log)
    bad = _first_bad_step(log)
    if bad:
        before = [sample for sample in before if sample.step < bad]
        sample = next((sample for sample in log.samples if sample.step >= bad), None)
        if bad == 1 or _has_bad_input(sample) or not _moved_wildly(log, before):
            return None
        what = f"became {_name_of(log.losses[bad - 1])} at step {bad}"
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
def learning_rate_too_high(log: WatchLog) -> Detection | None:
    """Finds late update ratios above 0.03 (adaptive: 0.1), or an early loss 10 x the first; no progress."""
    samples = newer_half(stepped(log))
    if _descends(log) and typical_ratio(samples) < _LARGE_STEPS:
        return None
    ratio = typical_ratio(samples)
    limit = _limit(log)
    if log.steps < 30 or len(samples) < ENOUGH:
        return None
    # After a peak of 100 x the first loss, a loss below half of chance is no sign of health yet.
    is_thrown_far = max(log.losses[: log.steps // 2]) > 100 * log.first and log.last > 0.2 * log.first
    if learns_well(log) and not is_thrown_far:
        return None
    quarter = log.steps // 4
    earlier, newest = fmean(log.losses[-2 * quarter : -quarter]), fmean(log.losses[-quarter:])
    is_falling = (
        newest < 0.95 * earlier and newest < 0.8 * log.first and max(log.losses) < 1.5 * log.losses[0]
    )
    if not ratio > limit or is_falling:
        return _early_peak(log) or _lost_minimum(log, limit)
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


def _limit(log: WatchLog) -> float:
    """Returns the update ratio from which steps are too large; adaptive rules move small weights more."""
    return 0.1 if any(name in each for name in _ADAPTIVE for each in log.setup.optimizers) else 0.03


_LARGE_STEPS = 0.1
"""On raw pixels and from weights of 1e-4, the lecture's best rates change weights by 3 to 4% a step."""


def _descends(log: WatchLog) -> bool:
    """Tells whether the loss never rose far, and has kept falling to the end."""
    if log.steps < 100 or not max(log.losses) < 1.5 * log.first or not log.fall > 0.2:
        return False
    size = log.steps // 4
    second, third, fourth = (fmean(log.losses[at : at + size]) for at in (size, 2 * size, 3 * size))
    return fourth < 0.99 * third and third < 0.99 * second


def _early_peak(log: WatchLog) -> Detection | None:
    """Finds first steps that threw the loss far above its start, in a run that never learned well after."""
    peak = max(log.losses[: log.steps // 2])
    if not peak > 10 * log.first > 0:
        return None
    return Detection(
        where="learning rate",
        message=f"the loss was thrown to {peak / log.first:.3g} times its first value and has not "
        f"done well since: the learning rate is too high, at least at the start",
        evidence=evidence(
            "highest loss", peak, f"below {EXPLOSION_LIMIT:g} x {log.first:.4g}", "the lecture's 3x rule"
        ),
        since=log.losses.index(peak) + 1,
        fix=f"try a learning rate of {max(log.samples[-1].rates, default=math.nan) / 10:.2g}, or a warm-up",
    )


def _lost_minimum(log: WatchLog, limit: float) -> Detection | None:
    """Finds a low loss that was reached by large early steps and lost again."""
    early = typical_ratio(stepped(log)[: len(stepped(log)) // 2])
    best = min(fmean(log.losses[at : at + 5]) for at in range(0, log.steps - 4, 5))
    if not (early > limit and 0 < best < 0.7 * log.last):
        return None
    return Detection(
        where="learning rate",
        message=f"steps of {early:.1%} of the weights reached a loss of {best:.3g}, now it is "
        f"{log.last:.3g}: the learning rate is too high",
        evidence=evidence(
            "early update ratio", early, f"below {limit:g}, better 1e-3", "actual change of W over W"
        ),
        since=1,
        fix=f"try a learning rate of {max(log.samples[-1].rates, default=math.nan) / 10:.2g}",
    )


@detects(OSCILLATION, reason="noise of batches has correlation 0", needs=(STEPPED, steps(40)))
def oscillation(log: WatchLog) -> Detection | None:
    """Finds neighbouring losses that correlate below -0.5 and swing over 5%, update ratios above 3e-3, and no
    progress.
    """
    tail = log.losses[log.steps // 2 :]
    ratio = typical_ratio(newer_half(stepped(log)))
    if len(tail) < 20 or learns_well(log) or not all(map(math.isfinite, tail)) or not ratio > 3e-3:
        return None
    # The correlation of neighbours is -1 for a swing of period two, and 0 for noise.
    mean = fmean(tail)
    away = array("d", (value - mean for value in tail))  # a long run: no Python object for each value
    spread = fmean(value * value for value in away)
    if not spread:
        return None
    correlation = fmean(a * b for a, b in pairwise(away)) / spread
    if not (correlation < -0.5 and math.sqrt(spread) / abs(mean or 1) > 0.05):
        return None
    return Detection(
        where="loss",
        message="the loss swings to and fro at every step: steps overshoot the valley they should descend",
        evidence=evidence(
            "correlation of neighbouring losses", correlation, "0 or more", "overshooting alternates"
        ),
        since=log.steps // 2,
    )


@detects(
    LEARNED_NOTHING,
    reason="the entropy of the class shares, or the variance of the targets",
    needs=(TARGETS, steps(100)),
)
def learned_nothing(log: WatchLog) -> Detection | None:
    """Finds a loss above 0.99 of the best constant answer's on the same batches, after 100 steps."""
    # Loss and chance of the very same batches: targets differ from batch to batch by more than is learned.
    samples = [sample for sample in newer_half(log.samples) if sample.targets is not None]
    chance = log.chance_in(samples)
    loss = fmean(log.losses[sample.step - 1] for sample in samples) if samples else math.nan
    unmoved = loss > 0.99 * chance and log.last > 0.97 * log.chance and log.fall < 0.5
    if log.steps < 100 or not unmoved:
        return None
    constant = (
        "the classes' shares said for every example (the loss is their entropy, ln C if they are equal)"
    )
    if log.graph is not None and log.graph.kind == "squared error":
        constant = "the targets' mean said for every example (the loss is their variance)"
    return Detection(
        where="loss",
        message=f"after {log.steps} steps the model does no better than {constant}",
        evidence=evidence("loss", loss, f"below {chance:.4g}", "a constant answer reaches that"),
        since=1,
    )


_GAP = 0.1


@detects(OVERFITTING, reason="a gap that does not cost accuracy needs no fix", needs=(VALIDATION,))
def overfitting(log: WatchLog) -> Detection | None:
    """Finds an accuracy gap above 0.2, or above 0.1 with validation 0.02 below its best, or a validation loss
    of 1.25 x its best.
    """
    epochs = log.epochs
    if len(epochs) < 3:
        return None
    accuracies = [each.val_accuracy for each in epochs if each.val_accuracy == each.val_accuracy]
    gap = epochs[-1].train_accuracy - epochs[-1].val_accuracy
    drop = max(accuracies, default=math.nan) - epochs[-1].val_accuracy
    is_wide = gap > 2 * _GAP or (gap > _GAP and drop > 0.02)
    if not is_wide and not _val_loss_turns(log):
        return None
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


def _val_loss_turns(log: WatchLog) -> bool:
    """Tells whether the validation loss has turned up by 25% while the training loss is low."""
    losses = [each.val_loss for each in log.epochs if math.isfinite(each.val_loss)]
    if len(losses) < 3:
        return False
    # A rise that is small beside what there was to learn is the scatter of a run that has learned it.
    rise = min(losses[-2:]) - min(losses)
    learnable = min(value for value in (log.first, log.chance, math.inf) if value == value)
    turned = min(losses[-2:]) > 1.25 * min(losses) > 0 and rise > 0.05 * learnable
    return turned and log.last < 0.5 * losses[-1]


@detects(UNDERFITTING, reason="no gap means capacity to spare", needs=(VALIDATION,))
def underfitting(log: WatchLog) -> Detection | None:
    """Finds train accuracy below 0.9, less than 0.01 above validation, and a loss flat for half the run."""
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


@detects(PLATEAU, reason="a floor and a plateau look alike, so this is info only", needs=(steps(100),))
def plateau(log: WatchLog) -> Detection | None:
    """Finds a loss that fell by 5%, then changed by less than 0.5% over the newer half."""
    if log.steps < 100 or learns_well(log) or not log.fall > 0.05:
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
