"""Detectors of a run's course: a late start, an early end, strong weight decay, and noise."""

from __future__ import annotations

import math
from statistics import fmean

from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.course import GRADIENT_NOISE, SLOW_START, STILL_IMPROVING
from babysit.diagnosis.problems.rate import REGULARIZATION_TOO_STRONG
from babysit.diagnosis.problems.wiring import LOOP_RAISED
from babysit.verdicts import Severity
from babysit.watching.detect.shared import (
    ENOUGH,
    STEPPED,
    VALIDATION,
    learns_well,
    newer_half,
    stepped,
    steps,
    weights,
)
from babysit.watching.exceptions import known_exception
from babysit.watching.noise import critical_batch, signal_share
from babysit.watching.sample import WatchLog, middle

_PARTS = 20


@detects(LOOP_RAISED, reason="PyTorch's messages about shapes, types and devices name a tensor, not the fix")
def loop_raised(log: WatchLog) -> Detection | None:
    """Finds an exception that left the watched loop, other than one that ends runs on purpose."""
    if not log.ending:
        return None
    known = known_exception(log.ending)
    return Detection(
        problem=known.problem if known else None,
        where="loop",
        message=f"{known.meaning}: the loop ended with {log.ending}"
        if known
        else f"the loop ended with {log.ending}",
        evidence=evidence("steps before it", log.steps, "all", "the run is not complete"),
        since=log.steps + 1,
        fix=known.fix if known else "read the traceback from its end",
    )


@detects(
    REGULARIZATION_TOO_STRONG,
    reason="decay shrinks weights by (1 - rate x decay) a step; the data's gradient holds what it needs",
    needs=(STEPPED,),
)
def regularization_too_strong(log: WatchLog) -> Detection | None:
    """Finds weights at a tenth of their first size, half of it lost early, with nothing learned."""
    samples = stepped(log)
    idle = not learns_well(log) and (log.last > 0.9 * log.chance or log.fall < 0.3)
    # With a penalty in it the loss falls even so: then all examples get the same answer, unlike at the start.
    spreads = [sample.output.spread for sample in log.samples if sample.output is not None]
    shrunk = len(spreads) >= 2 * ENOUGH and middle(spreads[len(spreads) // 2 :]) < 0.01 * spreads[0]
    if len(samples) < ENOUGH or not (idle or shrunk):
        return None
    first, last = weights(log, samples[0]), weights(log, samples[-1])
    left = middle(
        last[name].weight / stat.weight for name, stat in first.items() if name in last and stat.weight
    )
    # Half of it must be gone early: a dead network's weights shrink too, over a long time.
    soon = weights(log, samples[max(1, len(samples) // 2)])
    halfway = middle(
        soon[name].weight / stat.weight for name, stat in first.items() if name in soon and stat.weight
    )
    if not (left < 0.1 and halfway < 0.5):
        return None
    return Detection(
        where="weights",
        message=f"the weights shrank to {left:.2g} of their first size and nothing is learned: "
        "regularization dominates",
        evidence=evidence("weights, now over first", left, "above 0.1", "the data should say where they go"),
        since=samples[0].step,
    )


def _course(log: WatchLog) -> list[float]:
    """Computes 20 means of the loss, of equal length; none if a loss is NaN or infinite."""
    size = log.steps // _PARTS
    if size < 5 or not all(map(math.isfinite, log.losses)):
        return []
    return [fmean(log.losses[at * size : (at + 1) * size]) for at in range(_PARTS)]


@detects(
    SLOW_START,
    reason="a good start falls at once; the run itself is well, so this is info only",
    severity=Severity.INFO,
    needs=(steps(100),),
)
def slow_start(log: WatchLog) -> Detection | None:
    """Finds a loss within 3% of its start for 30% of the run or more, then 30% lower, without a warm-up."""
    course = _course(log)
    if not course or not course[0] > 0:
        return None
    flat = next((at for at, mean in enumerate(course) if mean < 0.97 * course[0]), _PARTS)
    early = [
        max(one.rates, default=math.nan) for one in stepped(log) if one.step <= flat * log.steps // _PARTS
    ]
    warms_up = len(early) >= 2 and early[-1] > 2 * early[0]
    if (
        not 6 <= flat < _PARTS
        or warms_up
        or not course[-1] < 0.7 * course[0]
        or max(course[:flat]) > 1.05 * course[0]
    ):
        return None
    return Detection(
        where="loss",
        message=f"the loss was flat for {flat * log.steps // _PARTS} steps and then fell: "
        "bad initialization is a prime suspect",
        evidence=evidence("flat share of the run", flat / _PARTS, "below 0.3", "a good start falls at once"),
        since=1,
    )


@detects(STILL_IMPROVING, reason="info: only the training time is wrong", needs=(VALIDATION,))
def still_improving(log: WatchLog) -> Detection | None:
    """Finds a loss that fell 5% in the last tenth of the run, with validation at its best and below 0.9."""
    course, epochs = _course(log), log.epochs
    if not course or len(epochs) < ENOUGH or learns_well(log):
        return None
    falling = course[-1] < 0.95 * course[-3] and course[-2] < course[-4]
    losses = [epoch.val_loss for epoch in epochs if math.isfinite(epoch.val_loss)]
    hits = [epoch.val_accuracy for epoch in epochs if math.isfinite(epoch.val_accuracy)]
    better = (hits and hits[-1] == max(hits) > hits[0]) or (losses and losses[-1] == min(losses) < losses[0])
    if not falling or not better or (hits and not hits[-1] < 0.9):
        return None
    return Detection(
        where="loss",
        message="training ended while loss and validation still improved",
        evidence=evidence(
            "loss, last twentieth over the third last", course[-1] / course[-3], "near 1", "done"
        ),
        since=log.steps,
    )


@detects(
    GRADIENT_NOISE, reason="at a floor the signal is gone too, so this is info only", needs=(steps(100),)
)
def gradient_noise(log: WatchLog) -> Detection | None:
    """Finds less than 2% of a gradient in the next one, over 6 late pairs, and a loss that stands still."""
    samples = newer_half([sample for sample in log.samples if sample.noise is not None])
    share = signal_share([sample.noise for sample in samples if sample.noise is not None])
    if len(samples) < 6 or not share < 0.02 or learns_well(log) or not log.fall > 0.02:
        return None
    course = _course(log)
    if not course or not abs(fmean(course[10:15]) - fmean(course[15:])) < 0.01 * abs(fmean(course[10:])):
        return None
    examples = round(middle(sample.output.examples for sample in samples if sample.output is not None) or 0)
    batch = critical_batch(share, examples)
    enough = f"about {batch:.2g} examples" if math.isfinite(batch) else "far more examples"
    return Detection(
        where="gradients",
        message=f"steps are noise: {max(share, 0):.1%} of a gradient is in the next one; signal and "
        f"noise would be equal in a batch of {enough} (now {examples})",
        evidence=evidence("signal in a gradient", share, "above 0.02", "successive gradients should agree"),
        since=samples[0].step,
    )
