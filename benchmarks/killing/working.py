"""Work of the processes that are killed."""

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
from babysit.store import queries
from babysit.store.commands import Commands
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from babysit.tuning.settings import SearchSettings
from benchmarks.killing.looking import Place

SETTINGS = SearchSettings(stages="coarse:12x4,fine:8x4,final:1x4", population=4)
WRITTEN = 40
"""Number of trials that the plain writer writes."""

PREPARED: dict[str, Any] = {}
"""Recipes with their data, which every process inherits."""

Work = Callable[[Place, int], None]
"""The work of a process; it may write to a pipe the numbers of the trials that it knows to be finished."""


def prepare() -> None:
    """Loads the recipes once for all processes."""
    PREPARED["search"] = open_job(Job("digits"))
    PREPARED["train"] = open_job(Job("digits", ("epochs=30",)))


def search(place: Place, _: int) -> None:
    """Searches, and resumes where it stopped."""
    run_search(place.job(), PREPARED["search"], SETTINGS, resume=True)


def workers(place: Place, _: int) -> None:
    """Searches with two worker processes."""
    run_search(place.job(), PREPARED["search"], replace(SETTINGS, workers=2), resume=True)


def train(place: Place, _: int) -> None:
    """Trains, and resumes from its checkpoint."""
    training.CHECKPOINT_SECONDS = 0.0
    training.train(place.job("epochs=30"), PREPARED["train"], resume=True)


def write(place: Place, pipe: int) -> None:
    """Writes trials as fast as possible, and reports each after its commit."""
    with Writer(place.store) as writer:
        study = begin(writer, place.name)
        for number in range(WRITTEN):
            write_one(writer, study, number, pipe)
        writer.finish_study(study, State.COMPLETE, {})


def begin(writer: Writer, name: str) -> int:
    """Starts a study without a recipe."""
    return writer.begin_study(name=name, recipe="", kind="search", seed=0, fingerprint="", settings={})


def write_one(writer: Writer, study: int, number: int, pipe: int) -> None:
    """Writes a trial of three epochs, and reports it after its commit."""
    result = made(number)
    for reading in result.run.readings:
        steps = range(reading.step - 99, reading.step + 1)
        writer.epoch(study, result.trial, reading, steps, [1 / step for step in steps])
    writer.finish_trials(study, [result])
    os.write(pipe, number.to_bytes(2, "big"))


def made(number: int) -> Result:
    """Builds the result that the plain writer writes for a trial."""
    readings = tuple(Reading(epoch, 100 * epoch, 1 / epoch, 0.5, 0.1 * epoch, 1e-3) for epoch in (1, 2, 3))
    trial = Trial(0, number, {"learning_rate": 10.0 ** -(number % 12)})
    return Result(trial, Run(State.COMPLETE, readings, 2.3, seconds=1.0, steps=300))


def read(place: Place, _: int) -> None:
    """Reads everything repeatedly, as a dashboard would."""
    cursor = 0
    while True:
        with Reader(place.store) as reader:
            for _ in range(20):
                cursor = queries.changes(reader, cursor).cursor
                for study in queries.studies(reader):
                    queries.results(reader, study.id)


def listen(place: Place, pipe: int) -> None:
    """Writes trials until SIGTERM, and meanwhile applies the commands to the first one, as a search does.

    The first trial runs all the time, so that it can receive commands.
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
