"""Commands to trials, on their way from the thread or process that hears them to whoever trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from babysit.records import Command, Touch
from babysit.training.requests import Request
from babysit.tuning.engines.early_stop import Key
from babysit.tuning.engines.events import Event


class Answer(NamedTuple):
    """A command was done.

    Attributes:
        command: its number.
        step: the steps that the trial had made by then.
    """

    command: int
    step: int


Answered = Callable[[Answer], None]


def nobody_asks(_: Answer) -> None:
    """Where no command comes in, no answer goes out."""


def passed_on(
    told: Iterator[Event | Answer],
    answered: Answered,
    taken: Callable[[Event | Answer], None],
    given_up: Callable[[], None],
) -> Iterator[Event]:
    """What workers tell: events to whoever listens to this, answers to whoever asked.

    Args:
        told: by the workers.
        answered: gets the answers.
        taken: called with each once it was passed on.
        given_up: called if it ends before the workers do: they are in the middle of something that nobody
            waits for.
    """
    finished = False
    try:
        for one in told:
            if isinstance(one, Answer):
                answered(one)
            else:
                yield one
            taken(one)
        finished = True
    finally:
        if not finished:
            given_up()


class Inbox:
    """Commands that wait for their trials; one thread puts them in, the training one takes them out.

    A command may come long before its trial is begun, or for a trial that trains elsewhere: it waits.

    Args:
        answered: told in the training thread once a command is done.

    Example:
        >>> from babysit.records import CommandKind, CommandState
        >>> inbox = Inbox(print)
        >>> command = Command(7, 1, (0, 3), CommandKind.STOP, 0.0, "ann", 0.0, CommandState.SEEN)
        >>> inbox.put(command)
        >>> [request] = inbox.requests({(0, 2): [0], (0, 3): [1]})
        >>> request.member
        1
        >>> request.done(120)
        Answer(command=7, step=120)
        >>> inbox.requests({(0, 3): [1]})
        []
    """

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._arrived: deque[Command] = deque()
        self._waiting: list[Command] = []

    @property
    def is_empty(self) -> bool:
        """Whether no command waits; costs next to nothing."""
        return not (self._arrived or self._waiting)

    def put(self, command: Command) -> None:
        """Takes a command to a trial; may be called from any thread."""
        self._arrived.append(command)

    def requests(self, members: Mapping[Key, Sequence[int]]) -> list[Request]:
        """What waits for some trials, as requests to the members that they are, oldest first.

        Args:
            members: key of a trial -> its members; it is said once that a command was done to all of them.
        """
        while self._arrived:
            self._waiting.append(self._arrived.popleft())
        mine = [command for command in self._waiting if command.trial in members]
        self._waiting = [command for command in self._waiting if command.trial not in members]
        return [
            Request(member, Touch(command.kind, 0, command.argument), self._done(command.id, first=not index))
            for command in mine
            for index, member in enumerate(members[command.trial] if command.trial else ())
        ]

    def _done(self, command: int, *, first: bool) -> Callable[[int], None]:
        return (lambda step: self._answered(Answer(command, step))) if first else (lambda _: None)
