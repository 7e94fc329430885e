"""What a worker of a cluster does: the local worker's life as an actor's methods, without a word of Ray."""

from __future__ import annotations

import contextlib
import platform
import signal
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

import torch

from babysit.recipe.building import Prepared
from babysit.records import Command, Trial
from babysit.tuning.engines.early_stop import Ending, Key
from babysit.tuning.engines.events import Event
from babysit.tuning.engines.inbox import Answer, Inbox
from babysit.tuning.engines.populations import Crews

Told = list[Event | Answer]
Reasons = Mapping[Key, str]


def versions() -> dict[str, str]:
    """What results depend on beside the recipe, as it is installed here.

    Example:
        >>> sorted(versions())
        ['Python', 'babysit', 'numpy', 'torch']
    """
    python = platform.python_version()
    return {"Python": python, **{name: version(name) for name in ("babysit", "numpy", "torch")}}


class Actor:
    """A worker's life: load the recipe, train the groups that come.

    Args:
        observe: whether layers and updates are looked at.
    """

    def __init__(self, observe: bool) -> None:
        with contextlib.suppress(ValueError):  # it is no main thread, which alone gets signals
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
        self._observe = observe
        self._answers: list[Answer] = []
        self._inbox = Inbox(self._answers.append)

    def versions(self) -> dict[str, str]:
        """What is installed here."""
        return versions()

    def load(self, prepared: Prepared) -> Iterator[Told]:
        """Takes the recipe and its data."""
        self._prepared = prepared
        yield []

    def begin(self, epochs: int, ending: Ending, rungs: int) -> None:
        """Begins a stage that is past so many rungs."""
        self._epochs, self._ending = epochs, ending
        self._crews = self._new_crews()
        for _ in range(rungs):
            list(self._crews.go_on({}))

    def train(self, trials: Sequence[Trial]) -> Iterator[Told]:
        """Trains a group to the first rung; thin populations may wait for the next group."""
        yield from self._tell(self._crews.train(trials))

    def finish(self) -> Iterator[Told]:
        """Trains those that wait; there will be no more groups."""
        yield from self._tell(self._crews.finish())

    def go_on(self, reasons: Reasons) -> Iterator[Told]:
        """Goes on to the next rung with those that have no reason to be pruned."""
        yield from self._tell(self._crews.go_on(reasons))

    def again(self, trials: Sequence[Trial], verdicts: Sequence[Reasons]) -> Iterator[Told]:
        """Trains a lost worker's trials from the beginning to where the others are, by the same verdicts."""
        crews = self._new_crews()
        yield from self._tell(crews.train(trials))
        yield from self._tell(crews.finish())
        for reasons in verdicts:
            yield from self._tell(crews.go_on(reasons))
        self._crews.adopt(crews)

    def touch(self, command: Command) -> None:
        """Takes a command; it has a thread of its own, so that it need not wait for the training."""
        self._inbox.put(command)

    def _new_crews(self) -> Crews:
        return Crews(
            self._prepared, self._epochs, observe=self._observe, ending=self._ending, inbox=self._inbox
        )

    def _tell(self, found: Iterator[list[Event]]) -> Iterator[Told]:
        """An epoch's events at once, behind what was asked and done in it."""
        torch.set_num_threads(1)  # of the thread that trains
        for events in found:
            yield [*self._taken(), *events]

    def _taken(self) -> list[Answer]:
        taken = self._answers[:]
        del self._answers[: len(taken)]
        return taken
