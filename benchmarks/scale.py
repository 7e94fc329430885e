"""Search on several workers and machines: measurements on this machine, and a simulation from them.

    python -m benchmarks.scale [--json] [--trials N] [--epochs E] [--no-tune]

The same trials (the recipe ``small``: 64-32-10 on digits) are given to the local engine and to Ray's, with 1
and 2 workers each, started and warmed before the clock runs, and to Ray Tune
(``benchmarks/peers/ray_tune.py``). ``trial_steps_per_second`` counts the steps really trained;
``driver_ms_per_trial`` is the processor time of the process that hands out trials and takes what comes of
them, without the store. ``driver`` tells what a trial and an epoch cost there with the store, measured by a
search whose engine only repeats what was trained before.

The simulation is a queue: W workers train groups of trials, each tells its driver once an epoch of a group,
and the driver, one process, takes one message after the other at the measured price.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from babysit.recipe.building import Prepared, prepare
from babysit.recipe.loading import load_recipe
from babysit.records import Trial
from babysit.session.jobs.recorder import DiagnosingRecorder
from babysit.store.writer import Writer
from babysit.tuning.engines.early_stop import NEVER, EarlyStop, Prune, prune_none
from babysit.tuning.engines.events import Event, TrialDone
from babysit.tuning.engines.local import Engine, InProcess, Processes
from babysit.tuning.search import StagedSearch
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import Budget, draw_trials
from benchmarks import search as searches

RECIPE = str(searches.RECIPES / "small.py")
GROUP = 16
"""Trials that train together; fixed, so that all engines make the same groups."""
WORKERS = (1, 10, 100, 1000)
TRIALS = 1_000_000
TRIAL_SECONDS = (0.01, 0.1, 1.0, 10.0, 60.0)
"""What a trial may cost one worker, in seconds of its time: 0.01 is a toy, 60 a network worth a cluster."""

Row = dict[str, Any]


class Price(NamedTuple):
    """What the driver pays, in seconds.

    Attributes:
        message: for each message of a worker, whatever is in it.
        epoch: for each epoch of a trial, with the store.
        trial: for each trial beside, its commit included.
    """

    message: float
    epoch: float
    trial: float


def engines(trials: int, epochs: int) -> Iterator[Row]:
    """The local engine and Ray's, with 1 and 2 workers."""
    prepared = prepare(load_recipe(RECIPE), seed=searches.SEED)
    drawn = draw_trials(prepared.recipe.full_space(), stage=0, count=trials, seed=searches.SEED)
    for name in ("local", "ray"):
        for workers in (1, 2):
            with contextlib.closing(_engine(name, prepared, workers)) as engine:
                # Both workers are there, and have loaded, before the clock runs.
                list(engine.train(drawn[: GROUP * workers], 1))
                yield {"engine": name, "workers": workers, **_timed(engine, drawn, epochs)}


def _engine(name: str, prepared: Prepared, workers: int) -> Engine:
    if name == "local":
        return Processes(prepared, RECIPE, (), workers, GROUP)
    from babysit.tuning.engines.ray import Cluster

    return Cluster(prepared, workers, GROUP)


def _timed(engine: Engine, trials: Sequence[Trial], epochs: int) -> Row:
    began, worked = time.perf_counter(), time.process_time()
    steps = sum(
        event.result.run.steps for event in engine.train(trials, epochs) if isinstance(event, TrialDone)
    )
    seconds, busy = time.perf_counter() - began, time.process_time() - worked
    return {
        "trials": len(trials),
        "seconds": seconds,
        "trial_steps_per_second": steps / seconds,
        "driver_ms_per_trial": 1000 * busy / len(trials),
        "driver_ms_per_message": 1000 * busy / (epochs * -(-len(trials) // GROUP)),
    }


class Replayed:
    """Engine that repeats the events of a former training.

    Args:
        events: the events of each trial, by its number.
    """

    def __init__(self, events: dict[int, list[Event]]) -> None:
        self._events = events

    def train(
        self, trials: Sequence[Trial], epochs: int, early_stop: EarlyStop = NEVER, prune: Prune = prune_none
    ) -> Iterator[Event]:
        """Repeats the events of each trial."""
        for trial in trials:
            yield from self._events[trial.number]

    def touch(self, command: object) -> None:
        """Does nothing: no trial is running."""

    def close(self) -> None:
        """Does nothing: no process was started."""


def driver_costs(trials: int, epochs: int) -> Row:
    """What the loop of a search, its judge and its store cost the driver's processor."""
    _replayed(trials, 1)  # the costs of the first call only
    per_trial = {count: min(_replayed(trials, count) for _ in range(3)) for count in (1, epochs)}
    epoch = (per_trial[epochs] - per_trial[1]) / (epochs - 1)
    return {"ms_per_epoch": 1000 * epoch, "ms_per_trial": 1000 * (per_trial[1] - epoch), "trials": trials}


def _replayed(trials: int, epochs: int) -> float:
    prepared = prepare(load_recipe(RECIPE), seed=searches.SEED)
    space = prepared.recipe.full_space()
    drawn = draw_trials(space, stage=0, count=trials, seed=searches.SEED)
    events: dict[int, list[Event]] = {trial.number: [] for trial in drawn}
    for event in InProcess(prepared, GROUP, observe=True).train(drawn, epochs):
        events[event.trial.number].append(event)
    with (
        tempfile.TemporaryDirectory(prefix="scale-") as folder,
        Writer(f"sqlite:///{folder}/s.sqlite") as writer,
    ):
        study = writer.begin_study(
            name="scale", recipe=RECIPE, kind="search", seed=0, fingerprint="", settings={}
        )
        search = StagedSearch(
            study=study,
            space=space,
            budgets=[Budget("coarse", trials, epochs)],
            settings=SearchSettings(),
            seed=searches.SEED,
            examples=180,
            engine=Replayed(events),
            recorder=DiagnosingRecorder(writer, prepared),
        )
        worked = time.process_time()
        search.run()
        writer.flush()
        return (time.process_time() - worked) / trials


@dataclass(frozen=True)
class Load:
    """A search to simulate.

    Attributes:
        workers: how many.
        trials: in all.
        group: trials that train together.
        epochs: of each.
        seconds: of a worker's time that a trial costs.
    """

    workers: int
    trials: int
    group: int
    epochs: int
    seconds: float


def simulated(load: Load, price: Price) -> Row:
    """Runs the queue: how busy the workers and the driver are, and how long it takes.

    A worker continues to train while its messages wait, and gets its next group after its last is processed.

    Example:
        >>> alone = simulated(Load(1, 16, 16, 1, 1.0), Price(0.0, 0.0, 0.0))
        >>> alone["hours"] * 3600, alone["workers_busy"]
        (16.0, 1.0)
    """
    groups = -(-load.trials // load.group)
    train = load.group * load.seconds / load.epochs
    take = price.message + load.group * price.epoch
    last = take + load.group * price.trial
    free, busy, end = 0.0, 0.0, 0.0
    # (when a message is sent, worker, the epoch that it tells of)
    sent = [(train, worker, 1) for worker in range(min(load.workers, groups))]
    heapq.heapify(sent)
    left = groups - len(sent)
    while sent:
        when, worker, epoch = heapq.heappop(sent)
        cost = last if epoch == load.epochs else take
        free = max(free, when) + cost
        busy += cost
        end = max(end, free)
        if epoch < load.epochs:
            heapq.heappush(sent, (when + train, worker, epoch + 1))
        elif left:
            left -= 1
            heapq.heappush(sent, (free + train, worker, 1))
    return {
        "workers": load.workers,
        "trial_seconds": load.seconds,
        "hours": end / 3600,
        "workers_busy": groups * load.epochs * train / (end * load.workers),
        "driver_busy": busy / end,
    }


def saturation(seconds: float, epochs: int, price: Price) -> float:
    """Computes the number of workers that keep the driver fully busy, for trials of this duration."""
    return seconds / (epochs * (price.message / GROUP + price.epoch) + price.trial)


def measure(trials: int, epochs: int, *, tune: bool, tell: Callable[[str], None]) -> dict[str, Any]:
    """Everything: rows, the driver's price, the simulation."""
    tell("local and Ray engines")
    rows = _in_own_network(trials, epochs)
    if tune:
        for workers in (1, 2):
            tell(f"Ray Tune, {workers} workers")
            rows += _tuned(trials, epochs, workers)
    tell("the driver's price")
    cost = driver_costs(trials, epochs)
    message = max(row["driver_ms_per_message"] for row in rows if row["engine"] == "ray") / 1000
    price = Price(message, cost["ms_per_epoch"] / 1000, cost["ms_per_trial"] / 1000)
    tell("simulation")
    plan = [
        simulated(Load(workers, TRIALS, GROUP, epochs, seconds), price)
        for seconds in TRIAL_SECONDS
        for workers in WORKERS
    ]
    full = {seconds: saturation(seconds, epochs, price) for seconds in TRIAL_SECONDS}
    return {
        "rows": rows,
        "driver": {**cost, "ms_per_message": 1000 * message},
        "simulation": plan,
        "saturating_workers": full,
        "machine": searches.machine(),
    }


def _in_own_network(trials: int, epochs: int) -> list[Row]:
    """The engines' rows, from a program that cannot be reached from outside: Ray listens on every address."""
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        report, found = Path(folder) / "report.json", Path(folder) / "rows.json"
        subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.peers.supervise", str(report), "1200", "own"),
                *(sys.executable, "-m", "benchmarks.scale", "--rows", str(found)),
                *("--trials", str(trials), "--epochs", str(epochs)),
            ],
            check=True,
            env=searches._environment(),
            cwd=searches.ROOT,
        )
        rows: list[Row] = json.loads(found.read_text())
    return rows


def _tuned(trials: int, epochs: int, workers: int) -> list[Row]:
    options = searches.Options(("small",), ("ray",), trials, epochs, processes=workers, quick=True)
    found = searches.measure(options)
    return [
        {
            "engine": "ray tune",
            "workers": workers,
            "trials": row["trials"],
            "seconds": row["wall_seconds"] - row["startup_seconds"],
            "trial_steps_per_second": row["trial_steps_per_second"],
        }
        for row in found["rows"]
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trials", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--no-tune", action="store_true")
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.rows:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # nothing else is in this network
        Path(asked.rows).write_text(json.dumps(list(engines(asked.trials, asked.epochs))))
        return
    found = measure(
        asked.trials, asked.epochs, tune=not asked.no_tune, tell=lambda text: print(text, file=sys.stderr)
    )
    print(json.dumps(found, indent=1)) if asked.json else _print(found)


def _print(found: dict[str, Any]) -> None:
    print("engine    workers  trial-steps/s  driver ms/trial")
    for row in found["rows"]:
        driver = f"{row['driver_ms_per_trial']:.2f}" if "driver_ms_per_trial" in row else ""
        print(f"{row['engine']:9} {row['workers']:7d}  {row['trial_steps_per_second']:13,.0f}  {driver:>15}")
    cost = found["driver"]
    print(
        f"\nthe driver pays {cost['ms_per_message']:.2f} ms a message, {cost['ms_per_epoch']:.3f} ms for an "
        f"epoch of a trial, {cost['ms_per_trial']:.2f} ms for a trial\n"
    )
    print(f"{TRIALS:,} trials, simulated")
    print("s/trial  workers     hours  workers busy  driver busy")
    for row in found["simulation"]:
        print(
            f"{row['trial_seconds']:7g}  {row['workers']:7d}  {row['hours']:8,.1f}"
            f"  {row['workers_busy']:12.0%}  {row['driver_busy']:11.0%}"
        )
    full = ", ".join(f"{seconds:g} s: {count:,.0f}" for seconds, count in found["saturating_workers"].items())
    print(f"\nworkers that keep the driver fully busy, by the length of a trial: {full}")


if __name__ == "__main__":
    main()
