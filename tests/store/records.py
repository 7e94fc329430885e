"""Records as a search would make them, and a comparison in which NaN equals NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
from sqlalchemy import update

from babysit.records import Details, Explosion, Histogram, Reading, Result, Run, Snapshot, Stage, State, Trial
from babysit.store.engine import locate, open_engine
from babysit.store.schema import commands, heartbeats
from babysit.verdicts import (
    Answer,
    Cause,
    CheckResult,
    Evidence,
    Finding,
    Question,
    Severity,
    Status,
    Verdict,
)

NAN = math.nan
STEPS_PER_EPOCH = 100

STAGE = Stage(
    0,
    "coarse",
    {
        "learning_rate": {"kind": "log_uniform", "low": 1e-6, "high": 1e-3, "log": True},
        "hidden": {"kind": "fixed"},
    },
    trials=3,
    epochs=5,
    reason="wide ranges first",
)
CHECKS = [
    CheckResult("initial_loss", Status.PASS, 2.302576, "2.302585", "the loss is ln 10", {"classes": 10}),
    CheckResult(
        "gradients",
        Status.FAIL,
        NAN,
        "below 1e-7",
        "look at the layer",
        {"worst": math.inf, "layers": ["a", "b"]},
    ),
]
FINDING = Finding(
    rule="learning_rate_too_low",
    severity=Severity.WARNING,
    where="cost",
    since=2,
    message="The cost barely moves.",
    evidence=(
        Evidence("relative fall", 7e-5, "at least 1e-2", "a healthy run falls at once"),
        Evidence("x", NAN, "", ""),
    ),
    advice="Raise the learning rate ten-fold.",
    source="lecture row 82",
    confidence=0.85,
)
SYMPTOM = replace(FINDING, rule="plateau", severity=Severity.INFO, where="loss", confidence=0.1 + 0.2)
VERDICT = Verdict(
    causes=(
        Cause(
            replace(FINDING, rule="learning_rate_too_high", severity=Severity.ERROR, unit="step", since=9),
            (SYMPTOM, replace(SYMPTOM, rule="oscillation", unit="step")),
            "a tenth of the rate: does it fall?",
        ),
        Cause(FINDING, (replace(SYMPTOM, rule="slow_start", since=0),)),
        Cause(replace(SYMPTOM, rule="still_improving", confidence=1.0)),
    ),
    questions=(
        Question("learning_rate_too_high"),
        Question("dead_units", Answer.NOT_ANSWERED, "only 3 steps"),
        Question("overfitting", Answer.DOES_NOT_APPLY, "no validation set \0 <b> 'é'"),
        Question("learning_rate_too_low", matters=False),
        Question("underfitting", Answer.NOT_ANSWERED, "only 3 steps", matters=False),
        Question("slow_start", Answer.NOT_ANSWERED, "no loss"),
        Question("plateau"),
    ),
    facts=("the hooks cost 1% of the time", "2 of 10 layers were seen"),
    steps=3_000_000_000,
    when="after 3 epochs",
)
"""Every kind of thing that a verdict holds."""


def verdict(*findings: Finding) -> Verdict:
    """A verdict in which every finding is a cause."""
    return Verdict(tuple(map(Cause, findings)))


def trial(number: int = 0, stage: int = 0) -> Trial:
    """A trial with one value of every kind."""
    choice = {
        "learning_rate": 10.0 ** -(3 + number / 7),
        "l2": 0.1,
        "hidden": 50,
        "update": "sgd",
        "nesterov": True,
    }
    return Trial(stage, number, choice)


def reading(epoch: int, cost: float = 2.3, val_accuracy: float = 0.25) -> Reading:
    """The reading at the end of an epoch."""
    return Reading(epoch, epoch * STEPS_PER_EPOCH, cost, 0.1 + 0.2, val_accuracy, 1e-4 * 0.95**epoch, 1 / 3)


def complete(number: int = 0, stage: int = 0, epochs: int = 3) -> Result:
    """A trial that ran to its end."""
    readings = tuple(reading(epoch, 2.3 / epoch, 0.1 * epoch) for epoch in range(1, epochs + 1))
    steps = epochs * STEPS_PER_EPOCH
    return Result(trial(number, stage), Run(State.COMPLETE, readings, 2.302576, None, 1.25, steps))


def exploded(number: int = 1) -> Result:
    """A trial that exploded in its second epoch, to NaN."""
    run = Run(State.EXPLODED, (reading(1, 5.0, 0.087),), 2.3, Explosion(142, 2, NAN, 2.3), 0.5, 142)
    return Result(trial(number), run)


def epoch_costs(epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and costs of an epoch."""
    steps = np.arange(1, STEPS_PER_EPOCH + 1) + (epoch - 1) * STEPS_PER_EPOCH
    return steps, 2.3 / np.sqrt(steps)


def details(epoch: int) -> Details:
    """What an epoch's two looks at the layers showed."""
    steps = [epoch * STEPS_PER_EPOCH - 49, epoch * STEPS_PER_EPOCH]
    series = {
        "layers/0.weight/update_ratio": (steps, [epoch * 1e-3] * 2),
        "layers/1/dead": (steps, [0.5, 0.25]),
    }
    edges, counts = np.float32([-0.5, 0.25, 4]), np.array([7, epoch], dtype=np.int32)
    weights = np.full((2, 3, 4), epoch, dtype=np.float16)
    return Details(
        series,
        [Histogram("activations/1", steps[1], edges, counts)],
        [Snapshot("0.weight", steps[1], weights)],
    )


def same(first: object, second: object) -> bool:
    """True for equal records; the text of a float is exact, and NaN reads as NaN."""
    return repr(first) == repr(second)


def same_verdict(first: Verdict, second: Verdict) -> bool:
    """True for equal verdicts, whose own text is none of a record."""
    return all(same(getattr(first, part.name), getattr(second, part.name)) for part in fields(Verdict))


def feed(writer: object, study: int, result: Result) -> None:
    """Gives a writer every epoch of a run, as a search would."""
    readings: Sequence[Reading] = result.run.readings
    for one in readings:
        writer.epoch(study, result.trial, one, *epoch_costs(one.epoch))  # type: ignore[attr-defined]


def let_pass(url: str, seconds: float) -> None:
    """Makes heartbeats and requests older, as if so much time had passed on whosever clock they have."""
    engine = open_engine(locate(url), read_only=False)
    with engine.begin() as connection:
        for column in (heartbeats.c.time, commands.c.asked):
            connection.execute(update(column.table).values({column: column - seconds}))
    engine.dispose()
