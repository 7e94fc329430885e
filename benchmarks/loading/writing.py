"""Writers of long runs, each a process of its own."""

from __future__ import annotations

import os

import numpy as np

from babysit.records import Reading, Result, Run, Stage, State, Trial
from babysit.store.writer import Writer

EPOCHS = 20
BOX = {"learning_rate": {"kind": "log_uniform", "low": 1e-5, "high": 1e-1, "log": True}}


def write(store: str, index: int, trials: int, points: int) -> None:
    """A writer's share: a study, one trial after the other, a cost a step and a reading an epoch."""
    steps = np.arange(1, points + 1, dtype=np.int32)
    costs = (2.3 / np.sqrt(steps)).astype(np.float32)
    each = points // EPOCHS
    with Writer(store) as writer:
        study = writer.begin_study(
            name=f"load {index}", recipe="", kind="search", seed=0, fingerprint="", settings={}
        )
        writer.begin_stage(study, Stage(0, "load", BOX, trials, EPOCHS, "as asked"))
        for number in range(trials):
            trial = Trial(0, number, {"learning_rate": 10.0 ** (-5 + 4 * number / trials)})
            writer.begin_trials(study, [trial])
            readings = []
            for epoch in range(1, EPOCHS + 1):
                piece = slice((epoch - 1) * each, epoch * each)
                readings.append(Reading(epoch, epoch * each, float(costs[epoch * each - 1]), 0.5, 0.5, 1e-3))
                writer.epoch(study, trial, readings[-1], steps[piece], costs[piece])
            run = Run(State.COMPLETE, tuple(readings), 2.3, seconds=1.0, steps=each * EPOCHS)
            writer.finish_trials(study, [Result(trial, run)])
        writer.finish_study(study, State.COMPLETE, {})


def forked(store: str, index: int, trials: int, points: int) -> int:
    """A writer in a process of its own."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        write(store, index, trials, points)
        code = 0
    finally:
        os._exit(code)


def ended(living: set[int]) -> set[int]:
    """Those that have come to their end.

    Raises:
        SystemExit: one failed.
    """
    found = set()
    for child in living:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            found.add(child)
            if status:
                raise SystemExit(f"a writer ended with {os.waitstatus_to_exitcode(status)}")
    return found
