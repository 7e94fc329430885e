"""Detectors on learning: the learning rate, the weight decay, and memorizing a few examples."""

from __future__ import annotations

import math
from collections.abc import Callable

from babysit.checks.experiments import (
    CLEAR,
    FACTORS,
    LEAST,
    SECONDS,
    STEPS,
    STILL,
    STUCK,
    UPDATES,
    Attempt,
    Learning,
    is_at_chance,
    is_well,
    learn,
)
from babysit.checks.measured import Measured
from babysit.checks.needs import OPTIMIZER, RUNS
from babysit.diagnosis.problem import Detection, Need, UnansweredError, detects, evidence
from babysit.diagnosis.problems.course import CANNOT_OVERFIT, LEARNS_AT_NO_RATE
from babysit.diagnosis.problems.rate import (
    LEARNING_RATE_TOO_HIGH,
    LEARNING_RATE_TOO_LOW,
    LEARNING_RATE_ZERO,
    REGULARIZATION_TOO_STRONG,
)
from babysit.verdicts import Severity

KNOWN_RANGE = Need[Measured](
    lambda measured: measured.chance is not None and measured.best is not None and bool(measured.loss),
    "the losses of a network that knows nothing and of one that knows all are unknown",
    applies=False,
)
ENOUGH_EXAMPLES = Need[Measured](
    lambda measured: learn(measured).examples >= LEAST,
    f"so few parameters that {LEAST} examples are too many to memorize",
    applies=False,
)


@detects(CANNOT_OVERFIT, severity=Severity.WARNING, needs=(RUNS, KNOWN_RANGE, ENOUGH_EXAMPLES))
def cannot_overfit(measured: Measured) -> Detection | None:
    """Finds a loss on twenty examples of which half is left after 150 updates, and that no longer falls."""
    found = learn(measured)
    losses, chance, best = found.memorizing, measured.chance or 0.0, measured.best or 0.0
    if not losses:
        raise UnansweredError("training on a few examples raised an exception")
    is_summed = measured.call is not None and measured.call.options.get("reduction") == "sum"
    scale = losses[0] / measured.loss if is_summed else 1.0
    start, goal = min(losses[0], chance * scale), best * scale
    last, recent = losses[-1], losses[-len(losses) // 4]
    if start <= goal or (math.isfinite(last) and last - goal < STUCK * (start - goal)):
        return None
    if len(losses) < UPDATES:
        if not math.isfinite(last):
            return None  # too high a rate for these few examples
        raise UnansweredError(
            f"{len(losses)} of {UPDATES} updates fitted into {SECONDS:g} s of processor time"
        )
    if math.isfinite(last) and last < 0.98 * recent:
        return None
    return Detection(
        where="training",
        message=f"the network cannot memorize {found.examples} examples: the loss stays at {last:.4g}",
        evidence=evidence("loss on a few examples", last, f"near {goal:.2g}", f"after {UPDATES} updates"),
    )


@detects(LEARNING_RATE_ZERO, needs=(OPTIMIZER,))
def learning_rate_zero(measured: Measured) -> Detection | None:
    """Finds a learning rate of 0 in every parameter group, which no schedule will raise."""
    if learn(measured).rate != 0:
        return None
    return Detection(
        where="optimizer",
        message="the learning rate is 0",
        evidence=evidence("learning rate", 0.0, "above 0"),
    )


@detects(LEARNING_RATE_TOO_HIGH, needs=(RUNS, OPTIMIZER))
def learning_rate_too_high(measured: Measured) -> Detection | None:
    """Finds a loss that does not fall in 60 steps on a copy, and does at a lower learning rate."""
    found, own = _tried(measured)
    if own.fall >= STILL and not is_at_chance(own, measured):
        return _nothing(own)
    better = _best(found, lambda factor: factor < 1)
    if better is None or (own.fall > -0.02 and _best(found, lambda factor: factor > 1)):
        return _nothing(own)
    lower = found.rate * better.factor
    what = "explodes" if not math.isfinite(own.after) else f"goes from {own.before:.4g} to {own.after:.4g}"
    return Detection(
        where="optimizer",
        message=f"learning rate {found.rate:g} is too high: the loss {what}; {lower:g} works",
        evidence=evidence(
            "loss after some steps", own.after, f"below {own.before:.4g}", f"{own.steps} steps on a copy"
        ),
        fix=f"try a learning rate of {lower:g}",
    )


@detects(LEARNING_RATE_TOO_LOW, needs=(RUNS, OPTIMIZER))
def learning_rate_too_low(measured: Measured) -> Detection | None:
    """Finds losses that move by less than 0.2% in 60 steps on a copy, by 5% at ten times the rate or more."""
    found, own = _tried(measured)
    if found.rate == 0 or abs(own.fall) >= STILL * own.steps / STEPS:
        return _nothing(own)
    better = _best(found, lambda factor: factor >= 10)
    if better is None:
        return _nothing(own)
    higher = found.rate * better.factor
    return Detection(
        where="optimizer",
        message=f"learning rate {found.rate:g} is too low: the loss moves by {abs(own.fall):.1%} in some "
        f"steps, at {higher:g} by {better.fall:.0%}",
        evidence=evidence(
            "share of the loss gone", own.fall, f"above {STILL:g}", f"{own.steps} steps on a copy"
        ),
        fix=f"try a learning rate of {higher:g}",
    )


@detects(LEARNS_AT_NO_RATE, needs=(RUNS, OPTIMIZER))
def learns_at_no_rate(measured: Measured) -> Detection | None:
    """Finds no rate from a thousandth to 1e5 times the user's that lowers the loss by 5% in 60 steps."""
    found, own = _tried(measured)
    if found.rate == 0 or is_well(own, measured) or len(found.attempts) <= len(FACTORS):
        return _nothing(own)
    if _best(found, lambda factor: factor != 1) is not None:
        return None
    highest = max(tried.fall for tried in found.attempts)
    return Detection(
        where="training",
        message=f"no learning rate from {found.rate * 1e-3:g} to {found.rate * 1e5:g} lowers the loss",
        evidence=evidence(
            "largest share of the loss gone", highest, f"above {CLEAR:g}", f"{own.steps} steps on copies"
        ),
    )


@detects(REGULARIZATION_TOO_STRONG, needs=(RUNS, OPTIMIZER))
def weight_decay_too_strong(measured: Measured) -> Detection | None:
    """Finds a loss that falls by a tenth in a few steps without weight decay, by a third of that with it."""
    found, own = _tried(measured)
    without = found.undecayed
    if without is None:
        return None
    falls, undecayed = (_fall_below_chance(tried, measured) for tried in (own, without))
    if undecayed < CLEAR or falls > undecayed / 3:
        return _nothing(own)
    groups = [group for optimizer in measured.program.optimizers for group in optimizer.param_groups]
    decay = max(group.get("weight_decay", 0.0) for group in groups)
    return Detection(
        where="optimizer",
        message=f"weight decay {decay:g} holds the network down: without it the loss falls by "
        f"{undecayed:.0%}",
        evidence=evidence(
            "share of the loss gone", falls, f"about {undecayed:.2g}", "as without weight decay"
        ),
    )


def _tried(measured: Measured) -> tuple[Learning, Attempt]:
    found = learn(measured)
    if found.own is None:
        raise UnansweredError("training a copy raised an exception")
    return found, found.own


def _nothing(own: Attempt) -> Detection | None:
    """Returns None, unless too few steps were made to judge."""
    if own.is_short:
        raise UnansweredError(f"{own.steps} of {STEPS} steps fitted into {SECONDS:g} s of processor time")
    return None


def _fall_below_chance(tried: Attempt, measured: Measured) -> float:
    """Returns the share gone of the first loss, or of chance where that is lower, as with zero weights."""
    start = min(tried.before, measured.chance or tried.before)
    if not math.isfinite(tried.after) or start <= 0:
        return tried.fall
    return (start - tried.after) / start


def _best(found: Learning, wanted: Callable[[float], bool]) -> Attempt | None:
    fitting = [tried for tried in found.attempts[1:] if wanted(tried.factor) and tried.fall >= CLEAR / 2]
    return max(fitting, key=lambda tried: tried.fall, default=None)
