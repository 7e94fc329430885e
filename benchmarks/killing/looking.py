"""Checks after a kill: the store opens, is intact and keeps all finished trials; files load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import babysit
from babysit.errors import StoreError
from babysit.records import State
from babysit.session.jobs.job import Job
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.store.verifying import verify
from babysit.training.checkpoint import load_checkpoint

Key = tuple[int, int, int]
"""Study, stage and number."""


@dataclass
class Counts:
    """Counts for one kind of process.

    Attributes:
        kills: the number of kills.
        rounds: the number of times that it ended by itself in between.
        finished: trials that had finished when a kill came, over all kills.
        files: checkpoints and models that were loaded, over all kills.
        seconds: total time.
        broken: descriptions of the broken promises.
        more: counts of this kind only.
    """

    kills: int = 0
    rounds: int = 0
    finished: int = 0
    files: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    more: dict[str, float] = field(default_factory=dict)


Tell = Callable[[Counts], None]
"""Called after each kill with the counts so far."""


@dataclass(frozen=True)
class Place:
    """The folder, store and name of one round."""

    folder: Path
    store: str
    name: str

    def job(self, *settings: str) -> Job:
        """Builds a job on the handwritten digits."""
        return Job("digits", settings, store=self.store, folder=self.folder, name=self.name)

    @property
    def has_store(self) -> bool:
        """True if the store exists: a process may be killed before."""
        return "://" in self.store or Path(self.store).exists()


class Runs:
    """Trials of one round, as read from the store.

    Attributes:
        finished: each trial that has ended -> its run, and the version of its last change.
        states: each trial -> its state.
        broken: what is wrong with the store.
    """

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
        found = queries.results(reader, study)
        # The versions last: a trial that ends in between is not among the results that have ended.
        versions = {one.key: one.version for one in queries.run_summaries(reader, study)}
        for one in found:
            key = (study, *one.trial.key)
            self.states[key] = one.run.state
            if one.run.state.is_final:
                self.finished[key] = (repr(one), versions[one.trial.key])


def changed(before: Runs, now: Runs) -> list[str]:
    """Lists the finished trials that were lost or written again."""
    found = []
    for key, run in before.finished.items():
        if key not in now.finished:
            found.append(f"trial {key} had finished and is lost")
        elif now.finished[key] != run:
            found.append(f"trial {key} had finished and was written again")
    return found


def checked_files(folder: Path, broken: list[str]) -> int:
    """Loads every checkpoint and every model with its final name; returns their number."""
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
