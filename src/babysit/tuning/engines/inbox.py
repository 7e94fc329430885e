"""Commands to trials, on their way from the thread or process that receives them to the trainer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from babysit.records import Command, Touch, TrialKey
from babysit.training.requests import MemberRequest
from babysit.tuning.engines.events import Event


class Reply(NamedTuple):
    """The reply to a command that was carried out.

    Attributes:
        command: its number.
        step: the steps that the trial had made by then.
    """

    command: int
    step: int


Answered = Callable[[Reply], None]


def ignore_replies(_: Reply) -> None:
    """Discards a reply."""


def forward_events(
    messages: Iterator[Event | Reply],
    answered: Answered,
    forwarded: Callable[[Event | Reply], None],
    abandoned: Callable[[], None],
) -> Iterator[Event]:
    """Yields the events of workers, and passes their replies to a function.

    Args:
        messages: of the workers.
        answered: receives the replies.
        forwarded: called with each message once it was passed on.
        abandoned: called if the caller stops before the workers have ended.
    """
    finished = False
    try:
        for message in messages:
            if isinstance(message, Reply):
                answered(message)
            else:
                yield message
            forwarded(message)
        finished = True
    finally:
        if not finished:
            abandoned()


class Inbox:
    """Commands that wait for their trials; one thread puts them in, the training one takes them out.

    A command may come long before its trial starts, or for a trial that trains elsewhere: it waits.

    Args:
        answered: called in the training thread once a command was carried out.

    Example:
        >>> from babysit.records import CommandKind, CommandState
        >>> inbox = Inbox(print)
        >>> command = Command(7, 1, (0, 3), CommandKind.STOP, 0.0, "ann", 0.0, CommandState.SEEN)
        >>> inbox.put(command)
        >>> [request] = inbox.requests({(0, 2): [0], (0, 3): [1]})
        >>> request.member
        1
        >>> request.done(120)
        Reply(command=7, step=120)
        >>> inbox.requests({(0, 3): [1]})
        []
    """

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._arrived: deque[Command] = deque()
        self._waiting: list[Command] = []

    @property
    def is_empty(self) -> bool:
        """True while no command waits."""
        return not (self._arrived or self._waiting)

    def put(self, command: Command) -> None:
        """Takes a command to a trial; may be called from any thread."""
        self._arrived.append(command)

    def requests(self, members: Mapping[TrialKey, Sequence[int]]) -> list[MemberRequest]:
        """Takes the commands to some trials, as requests to their members, oldest first.

        Args:
            members: key of a trial -> its members; one reply is sent for all of them.
        """
        while self._arrived:
            self._waiting.append(self._arrived.popleft())
        mine = [command for command in self._waiting if command.trial in members]
        self._waiting = [command for command in self._waiting if command.trial not in members]

        def done(command: int, is_first: bool) -> Callable[[int], None]:
            return (lambda step: self._answered(Reply(command, step))) if is_first else (lambda _: None)

        return [
            MemberRequest(member, Touch(command.kind, 0, command.argument), done(command.id, not index))
            for command in mine
            for index, member in enumerate(members[command.trial] if command.trial else ())
        ]
