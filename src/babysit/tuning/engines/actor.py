"""The worker of a cluster: the life of a local worker as methods of an actor; imports nothing of Ray."""

from __future__ import annotations

import contextlib
import platform
import signal
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

import torch

from babysit.recipe.building import Prepared
from babysit.records import Command, Trial, TrialKey
from babysit.tuning.engines.early_stop import EarlyStop
from babysit.tuning.engines.events import Event
from babysit.tuning.engines.inbox import Inbox, Reply
from babysit.tuning.engines.populations import Populations

Messages = list[Event | Reply]
Reasons = Mapping[TrialKey, str]


def versions() -> dict[str, str]:
    """Returns the installed versions of all that results depend on beside the recipe.

    Example:
        >>> sorted(versions())
        ['Python', 'babysit', 'numpy', 'torch']
    """
    python = platform.python_version()
    return {"Python": python, **{name: version(name) for name in ("babysit", "numpy", "torch")}}


class Actor:
    """A worker: loads the recipe, then trains the groups of trials that it gets.

    Args:
        observe: layers and updates are sampled.
    """

    def __init__(self, observe: bool) -> None:
        with contextlib.suppress(ValueError):  # not a main thread, which alone gets signals
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
        self._observe = observe
        self._replies: list[Reply] = []
        self._inbox = Inbox(self._replies.append)

    def versions(self) -> dict[str, str]:
        """Returns the versions that are installed here."""
        return versions()

    def load(self, prepared: Prepared) -> Iterator[Messages]:
        """Takes the recipe and its data."""
        self._prepared = prepared
        yield []

    def begin(self, epochs: int, early_stop: EarlyStop, rungs: int) -> None:
        """Starts a stage that is past a number of rungs."""
        self._epochs, self._early_stop = epochs, early_stop
        self._populations = self._new_populations()
        for _ in range(rungs):
            list(self._populations.next_rung({}))

    def train(self, trials: Sequence[Trial]) -> Iterator[Messages]:
        """Trains a group to the first rung; undersized populations may wait for the next group."""
        yield from self._messages(self._populations.train(trials))

    def finish(self) -> Iterator[Messages]:
        """Trains the populations that wait; there will be no more groups."""
        yield from self._messages(self._populations.finish())

    def next_rung(self, reasons: Reasons) -> Iterator[Messages]:
        """Prunes trials for their reasons, and trains the others to the next rung."""
        yield from self._messages(self._populations.next_rung(reasons))

    def again(self, trials: Sequence[Trial], verdicts: Sequence[Reasons]) -> Iterator[Messages]:
        """Trains a lost worker's trials from the start to the rung of the others, by the same verdicts."""
        populations = self._new_populations()
        yield from self._messages(populations.train(trials))
        yield from self._messages(populations.finish())
        for reasons in verdicts:
            yield from self._messages(populations.next_rung(reasons))
        self._populations.adopt(populations)

    def touch(self, command: Command) -> None:
        """Takes a command; it has its own thread, so that it need not wait for the training."""
        self._inbox.put(command)

    def _new_populations(self) -> Populations:
        return Populations(
            self._prepared,
            self._epochs,
            observe=self._observe,
            early_stop=self._early_stop,
            inbox=self._inbox,
        )

    def _messages(self, found: Iterator[list[Event]]) -> Iterator[Messages]:
        """Yields the events of an epoch at once, after the replies to commands that it carried out."""
        torch.set_num_threads(1)  # of the thread that trains
        for events in found:
            replies = self._replies[:]
            del self._replies[: len(replies)]
            yield [*replies, *events]
