"""Which learning rates about the author's own lower the loss, and where his lies among them."""

from __future__ import annotations

import time
from dataclasses import replace

from babysit.checks.experiments import STEPS, STILL, Attempt, attempt, learn
from babysit.checks.measured import Measured
from babysit.checks.needs import OPTIMIZER, RUNS
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.rate import LEARNING_RATE_RANGE

SECONDS = 0.3
"""The longest that all rates together may take; a model too slow for that gets no range."""

SHARE = 0.1
"""Share of the best rate's fall from which a rate counts as learning too."""

_FACTORS = (0.1, 1.0, 10.0, 100.0)
_UPDATES = 10
_BATCHES = 2


@detects(LEARNING_RATE_RANGE, needs=(RUNS, OPTIMIZER))
def learning_rate_range(measured: Measured) -> Detection | None:
    """A fact: of four rates a decade apart, those that do a tenth of the best one's work in 10 steps."""
    found = learn(measured)
    own = found.own
    if own is None or own.steps < STEPS or own.fall < STILL or not own.before:
        return None  # a rate that does not learn, which has a verdict of its own
    tried = _tried(measured)
    best = max(tried, key=lambda each: each.fall, default=None)
    if len(tried) < len(_FACTORS) or best is None or best.fall <= 0:
        return None
    low, high = _usable(tried, best)
    return Detection(
        where="optimizer",
        message=f"learning rate {found.rate:g} lies {_place(low, high)} the range that learns fastest, "
        f"{found.rate * low:.2g} to {found.rate * high:.2g} (best {found.rate * best.factor:.2g})",
        evidence=evidence(
            "share of the loss gone",
            tried[_FACTORS.index(1.0)].fall,
            f"{best.fall:.2g} at the best rate",
            f"{_UPDATES} steps on copies; {_ends(tried)}",
        ),
    )


def _tried(measured: Measured) -> list[Attempt]:
    """On two batches, read in turn: a fact may not cost more than the verdicts."""
    program = replace(measured.program, batches=measured.program.batches[:_BATCHES])
    end, tried, before = time.thread_time() + SECONDS, list[Attempt](), None
    for factor in _FACTORS:
        tried.append(attempt(program, factor, steps=_UPDATES, before=before))
        before = tried[0].before
        if time.thread_time() > end:
            break
    return tried


def _usable(tried: list[Attempt], best: Attempt) -> tuple[float, float]:
    """The factors without a gap round the best one."""
    good = [each.fall >= SHARE * best.fall for each in tried]
    low = high = tried.index(best)
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(tried) and good[high + 1]:
        high += 1
    return tried[low].factor, tried[high].factor


def _place(low: float, high: float) -> str:
    return "below" if low > 1 else "above" if high < 1 else "in"


def _ends(tried: list[Attempt]) -> str:
    return "the highest tried explodes" if tried[-1].fall < 0 else "the highest tried still learns"
