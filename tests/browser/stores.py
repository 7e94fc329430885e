"""Stores for pages: searches with known numbers, written as a search writes them, and one that goes on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from babysit.records import CommandKind, Explosion, Reading, Result, Run, Stage, State, Touch, Trial
from babysit.store.commands import Commands
from babysit.store.writer import Writer
from babysit.verdicts import Cause, Evidence, Finding, Severity, Verdict

EVIL = "<script>alert(1)</script>"
STEPS = 40
EPOCHS = 4
SETTINGS = {
    "settings": [],
    "loss": "softmax",
    "val_examples": 1000,
    "stages": [["coarse", 12, EPOCHS], ["fine", 8, EPOCHS]],
}
FINDING = Finding(
    "learning_rate_too_low",
    Severity.WARNING,
    "cost",
    1,
    f"the loss barely changes {EVIL}",
    (Evidence("fall", 7e-5, "1e-2", "why"),),
    "raise it",
    "row 82",
)


def log_range(low: float, high: float) -> dict:
    return {"kind": "log_uniform", "low": low, "high": high, "log": True}


COARSE = {
    "learning_rate": log_range(1e-6, 1e-3),
    "l2": log_range(1e-5, 1e1),
    "hidden": {"kind": "fixed", "value": 50},
}
FINE = {**COARSE, "learning_rate": log_range(1e-4, 1e-3), "l2": log_range(1e-4, 1e-1)}
STAGES = (
    Stage(0, "coarse", COARSE, 12, EPOCHS, "as asked"),
    Stage(1, "fine", FINE, 8, EPOCHS, "round the best"),
)


def trial(stage: int, number: int, rate: float, l2: float = 1e-2) -> Trial:
    return Trial(stage, number, {"learning_rate": rate, "l2": l2, "hidden": 50})


def costs(rate: float, epochs: int = EPOCHS) -> np.ndarray:
    """A curve that falls the faster the higher the rate."""
    steps = np.arange(epochs * STEPS)
    return 2.3 * np.exp(-steps * rate * 20) + 0.01 * np.sin(steps)


def reading(epoch: int, accuracy: float, rate: float) -> Reading:
    share = accuracy * epoch / EPOCHS
    return Reading(
        epoch, epoch * STEPS, float(costs(rate)[epoch * STEPS - 1]), share + 0.03, share, rate, 1.5
    )


def write_epochs(writer: Writer, study: int, one: Trial, accuracy: float, epochs: Iterable[int]) -> None:
    """Some epochs of a run, with the cost of every step."""
    rate = float(one.hyperparameters["learning_rate"])
    for epoch in epochs:
        first, last = (epoch - 1) * STEPS, epoch * STEPS
        steps = np.arange(first + 1, last + 1)
        writer.epoch(study, one, reading(epoch, accuracy, rate), steps, costs(rate)[first:last])


def finished(one: Trial, accuracy: float) -> Result:
    rate = float(one.hyperparameters["learning_rate"])
    readings = tuple(reading(epoch, accuracy, rate) for epoch in range(1, EPOCHS + 1))
    return Result(one, Run(State.COMPLETE, readings, 2.3, None, 3.0, EPOCHS * STEPS))


def exploded(one: Trial) -> Result:
    return Result(one, Run(State.EXPLODED, (), 2.3, Explosion(20, 1, 9.2, 2.3), 1.0, 20))


def ended(
    number: int, accuracy: float, rate: float, state: State = State.COMPLETE, touches: Sequence[Touch] = ()
) -> Result:
    """A coarse trial that ended in some state, with what the user did to it while it ran."""
    result = finished(trial(0, number, rate), accuracy)
    return replace(result, run=replace(result.run, state=state, touches=tuple(touches)))


STOPPED = (Touch(CommandKind.STOP, 2 * STEPS),)
SCALED = (Touch(CommandKind.SCALE_LEARNING_RATE, STEPS, 0.5),)


def write_results(writer: Writer, study: int, *results: Result) -> None:
    writer.begin_trials(study, [result.trial for result in results])
    writer.finish_trials(study, list(results))


def rates(low: float, high: float, count: int) -> Sequence[float]:
    return np.geomspace(low, high, count).tolist()


def begin(writer: Writer, name: str = "cifar10", **settings: object) -> int:
    study = writer.begin_study(
        name=name, recipe="cifar10", kind="search", seed=0, fingerprint="f", settings={**SETTINGS, **settings}
    )
    for stage in STAGES:
        writer.begin_stage(study, stage)
    return study


def write_search(writer: Writer, name: str = "cifar10", *, running: int = 0) -> int:
    """A search of 12 coarse and 8 fine trials; the best is fine 6, two exploded, the last ones may still run.

    Accuracies rise with the learning rate, so that the best lies next to the upper edge of its range.
    """
    study = begin(writer, name)
    coarse = [
        trial(0, index, rate, 10.0 ** (index % 5 - 4)) for index, rate in enumerate(rates(2e-6, 9e-4, 12))
    ]
    fine = [
        trial(1, index, rate, 10.0 ** (-1.5 - index % 3))
        for index, rate in enumerate(rates(1.2e-4, 9.8e-4, 8))
    ]
    everyone = [*coarse, *fine]
    writer.begin_trials(study, everyone)
    results, found = [], {}
    for one in everyone[: len(everyone) - running]:
        rate = float(one.hyperparameters["learning_rate"])
        accuracy = round(0.1 + 0.42 * (math.log10(rate) + 6) / 3, 4)
        if one.key in ((0, 11), (1, 7)):
            writer.costs(study, one, np.arange(1, 21), np.append(np.full(14, 2.3), np.geomspace(2.5, 9.2, 6)))
            results.append(exploded(one))
            continue
        write_epochs(writer, study, one, accuracy, range(1, EPOCHS + 1))
        results.append(finished(one, accuracy))
        if accuracy < 0.15:
            found[one.key] = Verdict((Cause(FINDING),))
    for one in everyone[len(everyone) - running :]:
        write_epochs(writer, study, one, 0.3, [1])
    writer.finish_trials(study, results, found)
    return study


@contextmanager
def living(path: str, study: int):
    """Somebody who hears requests to a study, as the process that trains does."""
    with Commands(path) as commands:
        commands.beat(study)
        yield commands


def written(url: str) -> str:
    """A store with a finished and a running search."""
    with Writer(url) as writer:
        write_search(writer)
        write_search(writer, EVIL, running=3)
    return url
