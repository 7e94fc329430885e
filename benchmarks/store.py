"""A store under load: many processes write long runs while a reader polls, as a dashboard does.

    python -m benchmarks.store [--trials 1000] [--points 100000] [--writers 8] [--store URL] [--json]

Each writer is a process that writes its share of the trials, one after the other: a reading and a cost for
every step of each of 20 epochs. The reader asks for changes ten times a second and, after the last writer has
ended, must have seen the last version of every trial. Told are the points per second of all writers together,
how long a poll took, how large the store is per point, how much memory a writer took at its largest, and
whether ``babysit store verify`` finds the store whole.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from babysit.records import Reading, Result, Run, State, Trial
from babysit.store import queries
from babysit.store.queries import Reader
from babysit.store.verifying import verify
from babysit.store.writer import Writer

EPOCHS = 20
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Load:
    """What was measured.

    Attributes:
        trials, points, writers: what was written: points of one trial, and by how many processes.
        seconds: from the first writer's start to the last one's end.
        points_per_second: of all writers together.
        poll_median, poll_worst: how long the reader waited for what had changed, in milliseconds.
        missed: trials whose last version the reader had not seen.
        bytes_per_point: of the store, all tables; NaN on a server.
        writer_mib: the largest memory of a writer, in MiB.
        faults: what verify found.
    """

    trials: int
    points: int
    writers: int
    seconds: float
    points_per_second: float
    poll_median: float
    poll_worst: float
    missed: int
    bytes_per_point: float
    writer_mib: float
    faults: list[str]


def write(store: str, index: int, trials: int, points: int) -> None:
    """A writer's share."""
    steps = np.arange(1, points + 1, dtype=np.int32)
    costs = (2.3 / np.sqrt(steps)).astype(np.float32)
    each = points // EPOCHS
    with Writer(store) as writer:
        study = writer.begin_study(
            name=f"load {index}", recipe="", kind="search", seed=0, fingerprint="", settings={}
        )
        for number in range(trials):
            trial = Trial(0, number, {"learning_rate": 1e-3})
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


def measure(trials: int, points: int, writers: int, store: str) -> Load:
    """Writes and reads at once."""
    Writer(store).close()
    share = [trials // writers + (index < trials % writers) for index in range(writers)]
    started = time.perf_counter()
    living = {forked(store, index, count, points) for index, count in enumerate(share)}
    polls, seen, cursor = [], {}, 0
    with Reader(store) as reader:
        while living:
            before = time.perf_counter()
            found, cursor = queries.changes(reader, cursor)
            polls.append(time.perf_counter() - before)
            seen |= {(one.study, *one.key): one.version for one in found}
            time.sleep(POLL_SECONDS)
            living -= _ended(living)
        seconds = time.perf_counter() - started
        seen |= {(one.study, *one.key): one.version for one in queries.changes(reader, cursor).summaries}
        there = {(one.study, *one.key): one.version for one in queries.changes(reader, 0).summaries}
        faults = verify(reader)
    written = trials * (points // EPOCHS) * EPOCHS
    size = Path(store).stat().st_size / written if "://" not in store else float("nan")
    return Load(
        trials,
        points,
        writers,
        seconds,
        written / seconds,
        1e3 * float(np.median(polls)),
        1e3 * max(polls),
        sum(seen.get(key) != version for key, version in there.items()),
        size,
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        faults,
    )


def _ended(living: set[int]) -> set[int]:
    ended = set()
    for child in living:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            ended.add(child)
            if status:
                raise SystemExit(f"a writer ended with {os.waitstatus_to_exitcode(status)}")
    return ended


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000, help="in all, default 1000")
    parser.add_argument("--points", type=int, default=100_000, help="costs of one trial, default 100000")
    parser.add_argument("--writers", type=int, default=8, help="processes, default 8")
    parser.add_argument("--store", default="", help="a server's URL; default a file in a temporary folder")
    parser.add_argument("--json", action="store_true", help="as JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="babysit-load-") as folder:
        store = chosen.store or f"{folder}/runs.sqlite"
        load = measure(chosen.trials, chosen.points, chosen.writers, store)
    if chosen.json:
        print(json.dumps(asdict(load), indent=2))
    else:
        for name, value in asdict(load).items():
            print(f"{name:18} {value:,.1f}" if isinstance(value, float) else f"{name:18} {value}")
    raise SystemExit(1 if load.missed or load.faults else 0)


if __name__ == "__main__":
    main()
