"""The question whether the recipe's learning rate is usable: a probe of many rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from babysit.checks.questions.shared import ladder, rungs
from babysit.recipe.building import Prepared
from babysit.recipe.space import Fixed, Numeric, Range, number, plain
from babysit.records import State, Value
from babysit.verdicts import CheckResult, Status

LEAST_FALL = 0.01
"""Share of an untrained network's cost that must be gone within the probe."""

STILL = 1e-30
"""Learning rate of the member that does not move."""


class Probe(NamedTuple):
    """Outcome of a short training at one learning rate.

    Attributes:
        learning_rate: the rate.
        verdict: "too low", "usable" or "exploding".
        fall: share by which the last steps' mean cost is below that of an untrained copy on the same
            mini-batches; NaN where it exploded.
    """

    learning_rate: float
    verdict: str
    fall: float


def probe_learning_rates(
    prepared: Prepared, hyperparameters: Mapping[str, Value], *, steps: int = 200
) -> list[Probe]:
    """Trains a small population on the recipe's data for some steps, one member a learning rate.

    One more member, at a rate of nearly zero, does not move. A lower cost than its own on the same
    mini-batches is due to learning, not to noise of the batches.

    Args:
        prepared: the recipe with its data.
        hyperparameters: the values to check; the schedule applies, l2 is as given.
        steps: number of updates. Default: 200.

    Returns:
        The probes from 1e-8 to 100, two a decade.
    """
    tried = rungs(1e-8, 100.0)
    members = ladder(hyperparameters, [STILL, *tried], warm_up_epochs=0.0)
    trainer = prepared.trainer(members, epochs=10**6)
    costs: list[list[float]] = [[] for _ in members]
    for report in prepared.reports(trainer, steps=steps):
        for member, values in report.costs.items():
            costs[member] += values.tolist()
    runs = trainer.runs()
    # Mini-batches that differ by a factor of three stop even the member that does not move.
    still = costs[0] if runs[0].explosion is None else costs[0][:1]
    probes = []
    for rate, own, run in zip(tried, costs[1:], runs[1:], strict=True):
        if run.state is State.EXPLODED:
            probes.append(Probe(rate, "exploding", math.nan))
            continue
        tail = max(len(own) // 10, 1)
        unmoved, last = float(np.mean(still[-tail:])), float(np.mean(own[-tail:]))
        fall = (unmoved - last) / abs(unmoved) if unmoved else 0.0
        probes.append(Probe(rate, "usable" if fall >= LEAST_FALL else "too low", fall))
    return probes


def bracket(probes: Sequence[Probe]) -> tuple[float, float] | None:
    """Returns the usable learning rates round the best one, up to a gap; None where there is none.

    Example:
        >>> bracket([Probe(1e-4, "too low", 0), Probe(1e-3, "usable", 0.2), Probe(1e-2, "usable", 0.5),
        ...          Probe(1e-1, "exploding", float("nan"))])
        (0.001, 0.01)
    """
    usable = [probe.verdict == "usable" for probe in probes]
    if not any(usable):
        return None
    best = max((i for i in range(len(probes)) if usable[i]), key=lambda i: probes[i].fall)
    low = high = best
    while low > 0 and usable[low - 1]:
        low -= 1
    while high + 1 < len(probes) and usable[high + 1]:
        high += 1
    return probes[low].learning_rate, probes[high].learning_rate


def learning_rate_bracket(
    prepared: Prepared, hyperparameters: Mapping[str, Value], *, steps: int = 200
) -> CheckResult:
    """Finds the usable learning rates and compares the recipe's with them.

    Args:
        prepared: the recipe with its data.
        hyperparameters: the values to check.
        steps: number of updates of the probe. Default: 200.

    Returns:
        pass where the recipe's rate or the middle of its range is usable; warn where only part of its range
        is; fail where none of it is, or no rate works.

    Source: CS231n lecture 6, 'Babysitting the Learning Process'.
    """
    probes = probe_learning_rates(prepared, hyperparameters, steps=steps)
    usable = bracket(probes)
    own_range = prepared.recipe.full_space()["learning_rate"]
    status = Status.FAIL if usable is None else _status(usable, own_range)
    best = max((p for p in probes if p.verdict == "usable"), key=lambda p: p.fall, default=None)
    if usable is None:
        advice = (
            f"no learning rate from 1e-8 to 100 lowers the cost by {LEAST_FALL:.0%} in {steps} steps: "
            "look at the data, the initialization and the loss before the rate"
        )
    else:
        low, high = map(number, usable)
        advice = f"in {steps} steps {low} to {high} lower the cost without exploding"
        if status is not Status.PASS:
            advice += ": search there; lower rates may still work in longer training"
    return CheckResult(
        name="learning_rate_bracket",
        status=status,
        value=best.learning_rate if best else math.nan,
        expected=f"the recipe's learning rate ({own_range}) among the usable ones",
        advice=advice,
        details={
            "usable_low": usable[0] if usable else math.nan,
            "usable_high": usable[1] if usable else math.nan,
            "probes": [probe._asdict() for probe in probes],
        },
    )


def _status(usable: tuple[float, float], found: Range) -> Status:
    """Judges the recipe's learning rate by the usable ones."""
    # With a tolerance of half the distance of two rates that were tried, two a decade.
    low, high = usable[0] / 1.8, usable[1] * 1.8
    own_range = plain(found)
    if isinstance(own_range, Numeric):
        if own_range.high < low or own_range.low > high:
            return Status.FAIL
        share = own_range.position(min(high, own_range.high)) - own_range.position(max(low, own_range.low))
        return Status.PASS if share >= 0.25 else Status.WARN
    rates = [own_range.value] if isinstance(own_range, Fixed) else list(own_range.options)
    inside = [low <= float(rate) <= high for rate in rates]
    return Status.PASS if all(inside) else Status.WARN if any(inside) else Status.FAIL
