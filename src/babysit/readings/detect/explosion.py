"""Detectors of an explosion: a cost that is NaN, infinite, or above three times the first cost."""

from __future__ import annotations

import math

from babysit.diagnosis.problem import Detection, detects
from babysit.diagnosis.problems.course import LOSS_EXPLODED, LOSS_NOT_FINITE
from babysit.readings.context import READ, Readings
from babysit.records import EXPLOSION_LIMIT, Explosion
from babysit.verdicts import Evidence


@detects(
    LOSS_EXPLODED,
    reason="the lecture's own limit; a healthy cost never trebles, and waiting for inf loses epochs",
    needs=(READ,),
)
def loss_exploded(given: Readings) -> Detection | None:
    """Finds a cost above 3 times the first cost."""
    explosion = given.run.explosion
    if explosion is None or not math.isfinite(explosion.cost):
        return None
    return _explosion(given, explosion, f"{explosion.ratio:.3g} times its first value")


@detects(LOSS_NOT_FINITE, reason="NaN almost always means a high learning rate", needs=(READ,))
def loss_not_finite(given: Readings) -> Detection | None:
    """Finds a cost that is NaN or infinite."""
    explosion = given.run.explosion
    if explosion is None or math.isfinite(explosion.cost):
        return None
    return _explosion(given, explosion, "NaN" if math.isnan(explosion.cost) else "infinite")


def _explosion(given: Readings, explosion: Explosion, became: str) -> Detection:
    context = given.context
    moment = f"at step {explosion.step} ({context.unit} {explosion.epoch})"
    if not explosion.step or context.unit == "step":  # a log may not name the step
        moment = f"at {context.unit} {explosion.epoch}"
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
        advice = f"try {context.rate_text(0.1)}"
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
    limit = EXPLOSION_LIMIT * explosion.first_cost
    expected = f"at most {limit:.4g}" if math.isfinite(limit) else "a number"
    return Detection(
        where="cost",
        message=f"the cost became {became} {moment}: {cause}",
        evidence=(
            Evidence("cost", explosion.cost, expected, f"{EXPLOSION_LIMIT:g} x the first cost"),
            Evidence("first cost", explosion.first_cost, "finite", "the run's own start"),
        ),
        since=explosion.epoch,
        fix=advice,
    )
