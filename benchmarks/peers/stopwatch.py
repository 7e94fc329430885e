"""Notes when a recipe's functions are called, from outside: what tells start-up from training."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from babysit.recipe.recipe import Hyperparameters, Recipe
from benchmarks.peers.task import clock


class Mark(NamedTuple):
    """A call of ``what`` in the process ``pid``."""

    pid: int
    what: str
    when: float


def timed(recipe: Recipe, marks: str) -> Recipe:
    """The recipe, whose ``data`` and ``model`` note each call in the file ``marks``."""

    def note(what: str) -> None:
        # One short write to a file opened for appending is atomic among several writers.
        with open(marks, "ab", buffering=0) as file:
            file.write(f"{os.getpid()} {what} {clock()}\n".encode())

    def data() -> Any:
        note("data")
        return recipe.data()

    def model(hp: Hyperparameters) -> Any:
        note("model")
        return recipe.model(hp)

    return replace(recipe, data=data, model=model)


def read_marks(path: Path) -> list[Mark]:
    """In the order they were noted."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return [Mark(int(pid), what, float(when)) for pid, what, when in lines]


def training_span(marks: list[Mark]) -> tuple[float, float] | None:
    """When the workers began with their first trial, and when the search was over.

    A search's parent process is the first to load the data; its workers build models when they begin a
    trial; the parent builds one again when all are done, to retrain the best. None where that cannot be
    seen: no workers, or nothing to retrain.

    Example:
        >>> noted = [(1, "data", 0), (1, "model", 1), (2, "model", 5), (3, "model", 6), (1, "model", 9)]
        >>> training_span([Mark(*entry) for entry in noted])
        (5, 9)
    """
    parent = marks[0].pid
    built = [mark.when for mark in marks if mark.what == "model" and mark.pid != parent]
    later = [mark.when for mark in marks if built and mark.pid == parent and mark.when > max(built)]
    return (min(built), min(later)) if later else None
