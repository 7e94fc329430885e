"""kill -9 at random moments, again and again: is anything finished lost or done twice, or unreadable?

    python -m benchmarks.durability [--kills 200] [--seed 0] [--store URL] [--json]

Four kinds of processes are killed in turn: a search that goes on with --resume, a training that goes on from
its checkpoint (one an epoch here, so that many kills hit one), a bare writer that says after every commit
what it has finished, and a reader, as a dashboard is one, beside a writer that lives. A kill comes at a
moment drawn evenly over the time that an undisturbed process takes. After each:

- the store opens, and ``babysit store verify`` finds nothing;
- every trial that had finished is there, its run and its version the same: neither lost nor trained again;
- every checkpoint and every saved model that has its name loads.

A round ends when a process comes to its end unkilled: then all trials are there, in the states of a run that
nothing disturbed, and a new round begins. Exit code 1 if a single promise was broken.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import babysit
from babysit.errors import StoreError
from babysit.records import Reading, Result, Run, State, Trial
from babysit.session import training
from babysit.session.job import Job, open_job
from babysit.session.search_ask import Ask
from babysit.session.searching import run_search
from babysit.store import queries
from babysit.store.queries import Reader
from babysit.store.verifying import verify
from babysit.store.writer import Writer
from babysit.training.checkpoint import load_checkpoint

ASK = Ask("coarse:12x4,fine:8x4,final:1x4", population=4, resume=True)
WRITTEN = 40
"""Trials that a bare writer writes."""

Key = tuple[int, int, int]


@dataclass
class Counts:
    """What one kind of process went through.

    Attributes:
        kills: how often it was killed.
        rounds: how often it came to its end in between.
        finished: trials that had finished when a kill came, over all kills.
        files: checkpoints and models that were loaded, over all kills.
        broken: promises that were not kept, in words.
    """

    kills: int = 0
    rounds: int = 0
    finished: int = 0
    files: int = 0
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where one round keeps its things, and what it is called."""

    folder: Path
    store: str
    name: str

    def job(self, *settings: str) -> Job:
        """A job on the handwritten digits."""
        return Job("digits", settings, store=self.store, folder=self.folder, name=self.name)

    @property
    def has_store(self) -> bool:
        """Whether the store was made: a process may be killed before."""
        return "://" in self.store or Path(self.store).exists()


Work = Callable[[Place, int], None]
"""What a process does; it may write to a pipe which trials it knows to be finished."""


class Runs:
    """What the store says of the trials of one round."""

    def __init__(self, place: Place) -> None:
        self.finished: dict[Key, tuple[str, int]] = {}
        self.states: dict[Key, State] = {}
        self.broken: list[str] = []
        if place.has_store:
            try:
                self._look(place)
            except StoreError as error:
                if "nothing has been written to it yet" not in error.problem:  # killed before its tables
                    self.broken.append(str(error))

    def _look(self, place: Place) -> None:
        with Reader(place.store) as reader:
            self.broken = verify(reader)
            for study in queries.studies(reader):
                if study.name == place.name:
                    self._read(reader, study.id)

    def _read(self, reader: Reader, study: int) -> None:
        versions = {one.key: one.version for one in queries.run_summaries(reader, study)}
        for one in queries.results(reader, study):
            key = (study, *one.trial.key)
            self.states[key] = one.run.state
            if one.run.state.is_final:
                self.finished[key] = (repr(one), versions[one.trial.key])


def search(place: Place, _: int) -> None:
    """A search that goes on where it was."""
    job = place.job()
    run_search(job, PREPARED["search"], ASK)


def train(place: Place, _: int) -> None:
    """A training that goes on from its checkpoint."""
    training.CHECKPOINT_SECONDS = 0.0
    training.train(place.job("epochs=30"), PREPARED["train"], resume=True)


def write(place: Place, pipe: int) -> None:
    """Trials as fast as they can be written; each is told once its commit has returned."""
    with Writer(place.store) as writer:
        study = writer.begin_study(
            name=place.name, recipe="", kind="search", seed=0, fingerprint="", settings={}
        )
        for number in range(WRITTEN):
            result = _made(number)
            for reading in result.run.readings:
                steps = range(reading.step - 99, reading.step + 1)
                writer.epoch(study, result.trial, reading, steps, [1 / step for step in steps])
            writer.finish_trials(study, [result])
            os.write(pipe, number.to_bytes(2, "big"))
        writer.finish_study(study, State.COMPLETE, {})


def _made(number: int) -> Result:
    readings = tuple(Reading(epoch, 100 * epoch, 1 / epoch, 0.5, 0.1 * epoch, 1e-3) for epoch in (1, 2, 3))
    trial = Trial(0, number, {"learning_rate": 10.0**-number})
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


def checked_files(folder: Path, broken: list[str]) -> int:
    """Loads every checkpoint and every model that has its final name."""
    files = [
        path for path in folder.glob("*.safetensors") if not path.name.endswith("preprocessing.safetensors")
    ]
    for path in files:
        try:
            load_checkpoint(path)
            if path.with_suffix(".recipe.json").exists():
                babysit.load(path)
        except Exception as error:
            broken.append(f"{path.name} cannot be loaded: {error}")
    return len(files)


def started(work: Work, place: Place) -> tuple[int, int]:
    """Forks a process; returns its number, and the pipe that it tells its finished trials through."""
    listening, telling = os.pipe()
    child = os.fork()
    if child:
        os.close(telling)
        return child, listening
    code = 1
    try:
        os.close(listening)
        place.folder.mkdir(exist_ok=True)
        with (place.folder / "errors.txt").open("w") as errors:
            os.dup2(errors.fileno(), 2)
            work(place, telling)
        code = 0
    except BaseException as error:
        (place.folder / "errors.txt").write_text(f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def ended(child: int, listening: int, seconds: float) -> tuple[int | None, list[int]]:
    """Kills a process after a time; returns its exit code, None if it was killed, and what it told."""
    deadline = time.monotonic() + seconds
    code = None
    while code is None and time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if done else None
        time.sleep(0.001)
    if code is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(listening, "rb") as pipe:
        told = pipe.read()
    return code, [int.from_bytes(told[at : at + 2], "big") for at in range(0, len(told) - 1, 2)]


class Killing:
    """Kills one kind of process until it was killed often enough.

    Args:
        kind: its name.
        work: what it does.
        root: where rounds have their folders.
        store: a server's URL; empty for a file in each round's folder.
        chance: of the moments.
    """

    def __init__(self, kind: str, work: Work, root: Path, store: str, chance: random.Random) -> None:
        self.counts = Counts()
        self._kind, self._work, self._root, self._store, self._chance = kind, work, root, store, chance
        self._tag = f"{os.getpid()}-{kind}"
        undisturbed = self._place("undisturbed")
        before = time.monotonic()
        code, _ = ended(*started(work, undisturbed), 600)
        self._seconds = time.monotonic() - before
        if code != 0:
            raise SystemExit(f"{kind} fails undisturbed: {(undisturbed.folder / 'errors.txt').read_text()}")
        self._states = sorted(Runs(undisturbed).states.values())

    def _place(self, name: str) -> Place:
        folder = self._root / f"{self._tag}-{name}"
        return Place(folder, self._store or str(folder / "runs.sqlite"), f"{self._tag}-{name}")

    def run(self, kills: int) -> Counts:
        """Round after round."""
        for number in itertools.count():
            if self.counts.kills >= kills:
                break
            self.counts.rounds += self._round(self._place(str(number)), kills)
        return self.counts

    def _round(self, place: Place, kills: int) -> bool:
        """Kills until the process comes to its end; whether it did."""
        before = Runs(place)
        while self.counts.kills < kills:
            child, listening = started(self._work, place)
            code, told = ended(child, listening, self._chance.uniform(0, self._seconds))
            now = Runs(place)
            self._check(place, before, now, told)
            if code == 0:
                self._check_end(now)
                return True
            if code is not None:
                self._break(f"ended with {code}: {(place.folder / 'errors.txt').read_text()}")
                return False
            self.counts.kills += 1
            before = now
            if self._work is write:  # it begins anew each time
                return False
        return False

    def _check(self, place: Place, before: Runs, now: Runs, told: list[int]) -> None:
        self.counts.finished += len(now.finished)
        for fault in now.broken:
            self._break(fault)
        for key, run in before.finished.items():
            if key not in now.finished:
                self._break(f"trial {key} had finished and is lost")
            elif now.finished[key] != run:
                self._break(f"trial {key} had finished and was written again")
        there = {number: run for (_, _, number), (run, _) in now.finished.items()}
        for number in told:
            if there.get(number) != repr(_made(number)):
                self._break(f"trial {number} was committed and is lost")
        self.counts.files += checked_files(place.folder, self.counts.broken)

    def _check_end(self, now: Runs) -> None:
        if self._kind == "search" and sorted(now.states.values()) != self._states:
            self._break("a search that was killed has other trials than one that was not")
        if self._kind == "train" and State.COMPLETE not in now.states.values():
            self._break("a training that was killed did not complete")

    def _break(self, told: str) -> None:
        self.counts.broken.append(told)


def killed_readers(root: Path, store: str, chance: random.Random, kills: int) -> Counts:
    """Kills readers beside a writer that lives; it must come to its end each time."""
    counts = Counts()
    while counts.kills < kills:
        folder = root / f"read-{counts.rounds}"
        place = Place(folder, store or str(folder / "runs.sqlite"), f"{os.getpid()}-read-{counts.rounds}")
        folder.mkdir()
        Writer(place.store).close()
        writer, listening = started(write, place)
        while counts.kills < kills and os.waitpid(writer, os.WNOHANG) == (0, 0):
            ended(*started(read, replace(place, folder=root / "reader")), chance.uniform(0, 0.3))
            counts.kills += 1
        _wait(writer)
        with os.fdopen(listening, "rb") as pipe:
            told = pipe.read()
        now = Runs(place)
        counts.finished += len(now.finished)
        counts.broken += now.broken
        if len(told) != 2 * WRITTEN or len(now.finished) != WRITTEN:
            counts.broken.append(f"a writer beside killed readers finished {len(now.finished)} of {WRITTEN}")
        counts.rounds += 1
    return counts


def _wait(child: int) -> None:
    try:
        os.waitpid(child, 0)
    except ChildProcessError:
        return  # it had ended


PREPARED: dict[str, Any] = {}
"""Recipes with their data, which every process inherits."""


def measure(kills: int, seed: int = 0, store: str = "") -> dict[str, Counts]:
    """Kills so many processes in all, a quarter of each kind."""
    torch.set_num_threads(1)
    PREPARED["search"] = open_job(Job("digits"))
    PREPARED["train"] = open_job(Job("digits", ("epochs=30",)))
    share = [kills // 4 + (position < kills % 4) for position in range(4)]
    with tempfile.TemporaryDirectory(prefix="babysit-durability-") as folder:
        counts = {
            work.__name__: Killing(
                work.__name__, work, Path(folder), store, random.Random(f"{seed} {work.__name__}")
            ).run(count)
            for work, count in zip((search, train, write), share, strict=False)
        }
        counts["read"] = killed_readers(Path(folder), store, random.Random(f"{seed} read"), share[3])
    return counts


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="in all, default 200")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, default 0")
    parser.add_argument("--store", default="", help="a server's URL; default a file in a temporary folder")
    parser.add_argument("--json", action="store_true", help="as JSON")
    chosen = parser.parse_args()
    counts = measure(chosen.kills, chosen.seed, chosen.store)
    if chosen.json:
        print(json.dumps({kind: asdict(one) for kind, one in counts.items()}, indent=2))
    else:
        print(f"{'killed':8} {'kills':>6} {'rounds':>7} {'finished trials':>16} {'files':>6} {'broken':>7}")
        for kind, one in counts.items():
            print(
                f"{kind:8} {one.kills:6} {one.rounds:7} {one.finished:16} {one.files:6} {len(one.broken):7}"
            )
        for told in (told for one in counts.values() for told in one.broken[:5]):
            print(f"  {told}")
    raise SystemExit(1 if any(one.broken for one in counts.values()) else 0)


if __name__ == "__main__":
    main()
