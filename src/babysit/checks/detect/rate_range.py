"""Detector that compares the user's learning rate with the range of rates that learn fastest."""

from __future__ import annotations

import time
from dataclasses import replace

from babysit.checks.experiments import STEPS, STILL, Attempt, attempt, learn
from babysit.checks.measured import Measured
from babysit.checks.needs import OPTIMIZER, RUNS
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.rate import LEARNING_RATE_RANGE

SECONDS = 0.3
"""Longest time for all rates together. A slower model gets no range."""

SHARE = 0.1
"""Share of the best rate's fall of the loss from which a rate counts as learning."""

_FACTORS = (0.1, 1.0, 10.0, 100.0)
_UPDATES = 10
_BATCHES = 2


@detects(LEARNING_RATE_RANGE, needs=(RUNS, OPTIMIZER))
def learning_rate_range(measured: Measured) -> Detection | None:
    """Finds which of four rates a decade apart reach a tenth of the best one's fall in 10 steps; no fault."""
    found = learn(measured)
    own = found.own
    if own is None or own.steps < STEPS or own.fall < STILL or not own.before:
        return None  # the rate does not learn, which is another problem
    tried = _tried(measured)
    best = max(tried, key=lambda each: each.fall, default=None)
    if len(tried) < len(_FACTORS) or best is None or best.fall <= 0:
        return None
    # The usable rates without a gap round the best one.
    usable = [each.fall >= SHARE * best.fall for each in tried]
    first = last = tried.index(best)
    while first > 0 and usable[first - 1]:
        first -= 1
    while last + 1 < len(tried) and usable[last + 1]:
        last += 1
    low, high = tried[first].factor, tried[last].factor
    place = "below" if low > 1 else "above" if high < 1 else "in"
    end = "the highest tried explodes" if tried[-1].fall < 0 else "the highest tried still learns"
    return Detection(
        where="optimizer",
        message=f"learning rate {found.rate:g} lies {place} the range that learns fastest, "
        f"{found.rate * low:.2g} to {found.rate * high:.2g} (best {found.rate * best.factor:.2g})",
        evidence=evidence(
            "share of the loss gone",
            tried[_FACTORS.index(1.0)].fall,
            f"{best.fall:.2g} at the best rate",
            f"{_UPDATES} steps on copies; {end}",
        ),
    )


def _tried(measured: Measured) -> list[Attempt]:
    """Trains copies at each rate on two batches, so that this finding costs less than those of a fault."""
    program = replace(measured.program, batches=measured.program.batches[:_BATCHES])
    end, tried, before = time.thread_time() + SECONDS, list[Attempt](), None
    for factor in _FACTORS:
        tried.append(attempt(program, factor, steps=_UPDATES, before=before))
        before = tried[0].before
        if time.thread_time() > end:
            break
    return tried
