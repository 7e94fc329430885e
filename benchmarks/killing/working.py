"""What the processes do that are killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from babysit.records import Reading, Result, Run, State, Trial
from babysit.session.jobs import train as training
from babysit.session.jobs.job import Job, open_job
from babysit.session.jobs.search import run_search
from babysit.session.jobs.search_ask import Ask
from babysit.store import queries
from babysit.store.commands import Commands
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from benchmarks.killing.looking import Place

ASK = Ask("coarse:12x4,fine:8x4,final:1x4", population=4, resume=True)
WRITTEN = 40
"""Trials that a bare writer writes."""

PREPARED: dict[str, Any] = {}
"""Recipes with their data, which every process inherits."""

Work = Callable[[Place, int], None]
"""What a process does; it may write to a pipe which trials it knows to be finished."""


def prepare() -> None:
    """Loads what every process would have to load."""
    PREPARED["search"] = open_job(Job("digits"))
    PREPARED["train"] = open_job(Job("digits", ("epochs=30",)))


def search(place: Place, _: int) -> None:
    """A search that goes on where it was."""
    run_search(place.job(), PREPARED["search"], ASK)


def crew(place: Place, _: int) -> None:
    """The same with two worker processes."""
    run_search(place.job(), PREPARED["search"], replace(ASK, workers=2))


def train(place: Place, _: int) -> None:
    """A training that goes on from its checkpoint."""
    training.CHECKPOINT_SECONDS = 0.0
    training.train(place.job("epochs=30"), PREPARED["train"], resume=True)


def write(place: Place, pipe: int) -> None:
    """Trials as fast as they can be written; each is told once its commit has returned."""
    with Writer(place.store) as writer:
        study = begin(writer, place.name)
        for number in range(WRITTEN):
            write_one(writer, study, number, pipe)
        writer.finish_study(study, State.COMPLETE, {})


def begin(writer: Writer, name: str) -> int:
    """A study without a recipe."""
    return writer.begin_study(name=name, recipe="", kind="search", seed=0, fingerprint="", settings={})


def write_one(writer: Writer, study: int, number: int, pipe: int) -> None:
    """A trial of three epochs; told once it is committed."""
    result = made(number)
    for reading in result.run.readings:
        steps = range(reading.step - 99, reading.step + 1)
        writer.epoch(study, result.trial, reading, steps, [1 / step for step in steps])
    writer.finish_trials(study, [result])
    os.write(pipe, number.to_bytes(2, "big"))


def made(number: int) -> Result:
    """What a bare writer writes of a trial."""
    readings = tuple(Reading(epoch, 100 * epoch, 1 / epoch, 0.5, 0.1 * epoch, 1e-3) for epoch in (1, 2, 3))
    trial = Trial(0, number, {"learning_rate": 10.0 ** -(number % 12)})
    return Result(trial, Run(State.COMPLETE, readings, 2.3, seconds=1.0, steps=300))


def read(place: Place, _: int) -> None:
    """Everything, over and over, as a dashboard would."""
    cursor = 0
    while True:
        with Reader(place.store) as reader:
            for _ in range(20):
                cursor = queries.changes(reader, cursor).cursor
                for study in queries.studies(reader):
                    queries.results(reader, study.id)


def listen(place: Place, pipe: int) -> None:
    """Writes trials until SIGTERM comes, and meanwhile does what is asked of the first one, as a search does.

    The first trial runs all the time, so that there is something to ask.
    """
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    with Writer(place.store) as writer, Commands(place.store) as commands:
        study = begin(writer, place.name)
        writer.begin_trials(study, [made(0).trial])
        number = 0
        while not ending.is_set():
            number += 1
            write_one(writer, study, number, pipe)
            commands.beat(study)
            for command in commands.take(study):
                commands.applied(command.id, step=number)
            time.sleep(0.1)
        write_one(writer, study, 0, pipe)
        writer.finish_study(study, State.COMPLETE, {})
