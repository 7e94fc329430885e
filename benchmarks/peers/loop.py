"""The hand-written loop, with the trials distributed to one process per core."""

from __future__ import annotations

from benchmarks.peers.task import Task, Trained, answer, dealt
from benchmarks.peers.training import Data, load_data, settle, train

_given: tuple[Task, Data]


def _one(number: int) -> Trained:
    settle(_given[0])
    return train(*_given, number)


def work(task: Task) -> list[Trained]:
    """Loads the data once; the workers share it."""
    global _given
    _given = task, load_data(task)
    return dealt(task, _one)


if __name__ == "__main__":
    answer(work)
