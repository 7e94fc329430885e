"""Which learning rates are too low, usable, exploding?"""

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
"""The share of an untrained network's cost that must be gone within the probe."""

STILL = 1e-30
"""The learning rate of the member that stands still."""


class Probe(NamedTuple):
    """What one learning rate did.

    Attributes:
        learning_rate: the rate.
        verdict: "too low", "usable" or "exploding".
        fall: how much lower the last steps' mean cost is than that of an untrained copy on the same
            mini-batches, as a share; NaN when it exploded.
    """

    learning_rate: float
    verdict: str
    fall: float


def probe_learning_rates(
    prepared: Prepared, hyperparameters: Mapping[str, Value], *, steps: int = 200
) -> list[Probe]:
    """Trains one small population, a member a learning rate, for some steps on the real data.

    One more member, at a rate of nearly zero, stands still: what the others cost less than it on the same
    mini-batches is learning, and no noise of the batches.

    Args:
        prepared: the recipe with its data.
        hyperparameters: one choice of them; the schedule applies, l2 is as given.
        steps: updates, default 200.

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
    # Mini-batches that differ by a factor of three stop even the member that stands still.
    still = costs[0] if runs[0].explosion is None else costs[0][:1]
    return [
        _classify(rate, own, still, run.state is State.EXPLODED)
        for rate, own, run in zip(tried, costs[1:], runs[1:], strict=True)
    ]


def _classify(rate: float, costs: Sequence[float], still: Sequence[float], exploded: bool) -> Probe:
    if exploded:
        return Probe(rate, "exploding", math.nan)
    tail = max(len(costs) // 10, 1)
    unmoved, last = float(np.mean(still[-tail:])), float(np.mean(costs[-tail:]))
    fall = (unmoved - last) / abs(unmoved) if unmoved else 0.0
    return Probe(rate, "usable" if fall >= LEAST_FALL else "too low", fall)


def bracket(probes: Sequence[Probe]) -> tuple[float, float] | None:
    """The usable learning rates without a gap round the one whose cost fell most; None if none is usable.

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
    """Finds the usable learning rates and says where the recipe's own lie.

    Args:
        prepared: the recipe with its data.
        hyperparameters: one choice of them.
        steps: updates of the probe, default 200.

    Returns:
        pass when the recipe's rate or the middle of its range is usable, warn when only part of its range
        is, fail when none of it is or no rate works.

    Source: CS231n lecture 6, 'Babysitting the Learning Process'.
    """
    probes = probe_learning_rates(prepared, hyperparameters, steps=steps)
    usable = bracket(probes)
    asked = prepared.recipe.full_space()["learning_rate"]
    status = Status.FAIL if usable is None else _status(usable, asked)
    best = max((p for p in probes if p.verdict == "usable"), key=lambda p: p.fall, default=None)
    return CheckResult(
        name="learning_rate_bracket",
        status=status,
        value=best.learning_rate if best else math.nan,
        expected=f"the recipe's learning rate ({asked}) among the usable ones",
        advice=_advice(status, usable, steps),
        details={
            "usable_low": usable[0] if usable else math.nan,
            "usable_high": usable[1] if usable else math.nan,
            "probes": [probe._asdict() for probe in probes],
        },
    )


def _status(usable: tuple[float, float], found: Range) -> Status:
    # Half a rung of tolerance: the ladder has two steps a decade.
    low, high = usable[0] / 1.8, usable[1] * 1.8
    asked = plain(found)
    if isinstance(asked, Numeric):
        if asked.high < low or asked.low > high:
            return Status.FAIL
        share = asked.position(min(high, asked.high)) - asked.position(max(low, asked.low))
        return Status.PASS if share >= 0.25 else Status.WARN
    rates = [asked.value] if isinstance(asked, Fixed) else list(asked.options)
    inside = [low <= float(rate) <= high for rate in rates]
    return Status.PASS if all(inside) else Status.WARN if any(inside) else Status.FAIL


def _advice(status: Status, usable: tuple[float, float] | None, steps: int) -> str:
    if usable is None:
        return (
            f"no learning rate from 1e-8 to 100 lowers the cost by {LEAST_FALL:.0%} in {steps} steps: "
            "look at the data, the initialization and the loss before the rate"
        )
    found = f"in {steps} steps {number(usable[0])} to {number(usable[1])} lower the cost without exploding"
    if status is Status.PASS:
        return found
    return f"{found}: search there; lower rates may still work in longer training"
