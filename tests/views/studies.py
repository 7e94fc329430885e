"""Studies for the views: a small search with a known best trial, ties, explosions and an alarm."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from io import StringIO
from typing import Any

import numpy as np
from rich.console import Console, RenderableType

from babysit.records import Edge, Explosion, Reading, Result, Run, Stage, State, Study, Trial
from babysit.verdicts import Cause, CheckResult, Evidence, Finding, Severity, Status, Verdict
from babysit.views.data.study import StudyView

NAN = math.nan
EVIL = "<script>alert('x')</script> & [red]\"quoted\"[/red]"
STEPS = 50
LOG_RATE = {"kind": "log_uniform", "low": 1e-6, "high": 1e-3, "log": True}
LOG_L2 = {"kind": "log_uniform", "low": 1e-5, "high": 1e5, "log": True}
EDGE = Edge(
    "learning_rate",
    9.5e-4,
    0.976,
    "upper",
    1e-6,
    1e-3,
    "log",
    1e-4,
    1e-2,
    "The best learning_rate sits at the upper edge.",
)
CHECKS = (
    CheckResult("initial_loss", Status.PASS, 2.302576, "2.302585 (ln 10)", "A uniform guess gives this."),
    CheckResult("input_scale", Status.FAIL, NAN, "zero mean", "Subtract the mean image."),
)
FINDING = Finding(
    "learning_rate_too_low",
    Severity.WARNING,
    "cost",
    1,
    "The cost barely moves.",
    (Evidence("fall", 7e-5, "1e-2", "why"),),
    "Raise it.",
    "row 82",
)


def complete(
    number: int, accuracy: float, rate: float = 1e-4, l2: float = 0.1, epochs: int = 3, stage: int = 0
) -> Result:
    """A trial that ends with an accuracy."""
    shares = [accuracy * (epoch + 1) / epochs for epoch in range(epochs)]
    readings = tuple(
        Reading(epoch, epoch * STEPS, 2.3 / epoch, share + 0.05, share, rate, 1.5)
        for epoch, share in enumerate(shares, 1)
    )
    trial = Trial(stage, number, {"learning_rate": rate, "l2": l2, "hidden": 50})
    return Result(trial, Run(State.COMPLETE, readings, 2.3, None, 1.0, epochs * STEPS))


def exploded(number: int, rate: float = 9e-4, cost: float = NAN, stage: int = 0) -> Result:
    """A trial that explodes at step 60."""
    trial = Trial(stage, number, {"learning_rate": rate, "l2": 1e3, "hidden": 50})
    readings = (Reading(1, STEPS, 5.0, 0.1, 0.087, rate),)
    return Result(trial, Run(State.EXPLODED, readings, 2.3, Explosion(60, 2, cost, 2.3), 1.0, 60))


def regression(number: int, loss: float) -> Result:
    """A trial without accuracies."""
    result = complete(number, 0.5, rate=10.0 ** -(3 + number))
    readings = tuple(
        replace(one, train_accuracy=NAN, val_accuracy=NAN, val_loss=loss + 1 / one.epoch)
        for one in result.run.readings
    )
    return Result(result.trial, replace(result.run, readings=readings))


def costs_of(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """A falling cost, or one that rises to NaN."""
    steps = np.arange(1, result.run.steps + 1, dtype=np.int32)
    if result.run.state is State.EXPLODED:
        costs = 2.3 * np.exp(steps / 20.0)
        costs[-1] = np.nan
        return steps, costs.astype(np.float32)
    return steps, (2.3 / np.sqrt(steps)).astype(np.float32)


def study(outcome: dict[str, Any] | None = None, name: str = "digits", **settings: Any) -> Study:
    """A study with an outcome."""
    return Study(7, name, "digits", "search", 3, "abc", settings, State.COMPLETE, 1.75e9, outcome or {})


def view_of(results: list[Result], outcome: dict[str, Any] | None = None, **changes: Any) -> StudyView:
    """A view of some results, in one coarse stage over two logarithmic ranges."""
    stage = Stage(
        0,
        "coarse",
        {"learning_rate": LOG_RATE, "l2": LOG_L2, "hidden": {"kind": "fixed", "value": 50}},
        len(results),
        3,
        "wide first",
    )
    costs = {result.trial.key: costs_of(result) for result in results if result.run.steps}
    fields: dict[str, Any] = {"checks": CHECKS, "stages": (stage,), "costs": costs}
    return StudyView(study(outcome), results=results, **{**fields, **changes})


def search(count: int = 6) -> StudyView:
    """A whole search: the last trial is the best, the one before it a tie, every third one explodes."""
    results = [
        exploded(number)
        if number % 3 == 0 and number < count - 2
        else complete(
            number, 0.1 + 0.4 * number / count, 10 ** (-6 + 3 * number / count), 10.0 ** (number % 7 - 3)
        )
        for number in range(count)
    ]
    outcome = {
        "best": {"stage": 0, "number": count - 1},
        "edges": [asdict(EDGE)],
        "ties": [[0, count - 1], [0, count - 2]],
        "advice": ["Train longer.", EDGE.message],
        "wall_seconds": 75.0,
        "trial_steps_per_second": 4312.7,
        "final": None,
    }
    found = Verdict((Cause(FINDING),))
    return view_of(results, outcome, verdicts={(0, 1): found, (0, 2): found})


def printed(*contents: RenderableType, width: int = 80) -> str:
    """Returns what a terminal of some width shows, without colours."""
    console = Console(file=StringIO(), width=width, color_system=None)
    for content in contents:
        console.print(content)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()
