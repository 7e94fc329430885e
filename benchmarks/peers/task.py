"""What a peer is given and what it answers, as two JSON files. Loads nothing heavy."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

Pair = tuple[float, float]
"""A learning rate and an l2."""


@dataclass(frozen=True)
class Task:
    """One search for one peer.

    Attributes:
        recipe: the recipe's file, for babysit.
        net: "two_layer" or "lenet".
        shape: inputs and hidden units of the first layer.
        weight_scale: standard deviation of the first weights; 0 leaves them to the library.
        batch: examples per step; the remainder of an epoch is dropped.
        pairs: what to try.
        box: the range of the learning rate and of l2 that the pairs were drawn from.
        epochs: epochs of every trial.
        processes: worker processes, one thread each.
        flushed: numbers below 1e-38 count as zero.
        precision: "float32", or what to pass on.
        population: members that babysit trains together, for the floor.
        data: the folder with the prepared arrays.
        scratch: a folder that is removed afterwards.
        seed: of a search that draws its own trials.
        until: when such a search must end, in the clock of the machine; default never.
    """

    recipe: str
    net: str
    shape: tuple[int, int]
    weight_scale: float
    batch: int
    pairs: Sequence[Pair]
    box: tuple[Pair, Pair]
    epochs: int
    processes: int
    flushed: bool
    precision: str
    population: int
    data: str
    scratch: str
    seed: int = 0
    until: float = math.inf

    def save(self, path: Path) -> None:
        """Writes it for the peer's program."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Task:
        """Reads what ``save`` wrote."""
        return cls(**json.loads(path.read_text()))


class Trained(NamedTuple):
    """One trial, in the clock that all processes of a machine share.

    Attributes:
        start, end: from before its model was built until after its last evaluation, in seconds.
        steps: update steps really done.
        accuracy: the best validation accuracy after an epoch; NaN if there was none.
        note: what went wrong, empty otherwise.
    """

    start: float
    end: float
    steps: int
    accuracy: float
    note: str = ""


def clock() -> float:
    """Seconds of the machine's monotonic clock, the same in every process."""
    return time.monotonic()


def note(task: Task, accuracy: float) -> None:
    """Writes down that a model of this validation accuracy is known now, after any epoch of any trial."""
    # One short write to a file opened for appending is atomic among several writers.
    with open(Path(task.scratch) / "noted", "ab", buffering=0) as file:
        file.write(f"{clock()} {accuracy}\n".encode())


def read_notes(task: Task) -> list[tuple[float, float]]:
    """What ``note`` wrote: when, and the accuracy."""
    path = Path(task.scratch) / "noted"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [(float(when), float(accuracy)) for when, accuracy in map(str.split, lines)]


def answer(work: Callable[[Task], Sequence[Trained]]) -> None:
    """A peer's program: ``python -m benchmarks.peers.X TASK ANSWER``."""
    task = Task.load(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps([trained._asdict() for trained in work(task)]))


def read_answer(path: Path) -> list[Trained]:
    """What ``answer`` wrote."""
    return [Trained(**entry) for entry in json.loads(path.read_text())]


@contextmanager
def pool(processes: int) -> Iterator[Any]:
    """Worker processes that share what this one has loaded, as `multiprocessing` makes them on Linux."""
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(processes) as found:
        yield found


def dealt(task: Task, train: Callable[[int], Trained]) -> list[Trained]:
    """Trains every trial in one of the processes, the next one in the first free process.

    ``train`` is a function of a module: workers import it by name.
    """
    with pool(task.processes) as workers:
        found: list[Trained] = workers.map(train, range(len(task.pairs)), chunksize=1)
    return found


def together(parts: Sequence[Sequence[Trained]]) -> list[Trained]:
    """What several processes trained, as one list."""
    return list(chain.from_iterable(parts))
