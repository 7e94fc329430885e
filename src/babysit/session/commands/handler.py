"""Handlers for the commands that a running search or training receives."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from babysit.records import Command, CommandKind, Trial
from babysit.session.commands.poll import CommandPoller
from babysit.training.requests import MemberRequest, Requests
from babysit.tuning.engines.inbox import Inbox, Reply

Key = tuple[int, int]

ONLY: Key = (0, 0)
"""The trial of a study that has only one."""


class StudyStopped(KeyboardInterrupt):
    """The end of a search on request, raised like Ctrl-C.

    Args:
        by: the user who sent the command; empty after Ctrl-C.
        trials: the number to which the last stage was extended, which resuming needs; 0 if it was not.
    """

    def __init__(self, by: str = "", trials: int = 0) -> None:
        super().__init__(by)
        self.by, self.trials = by, trials


def outcome_text(command: Command) -> str:
    """Describes what a command changed, without the step.

    Example:
        >>> from babysit.records import CommandState
        >>> scale = CommandKind.SCALE_LEARNING_RATE
        >>> outcome_text(Command(1, 1, (0, 0), scale, 0.5, "", 0.0, CommandState.SEEN))
        'learning rate x 0.5'
    """
    scales = command.kind is CommandKind.SCALE_LEARNING_RATE
    return f"learning rate x {command.argument:g}" if scales else "stopped"


class _CommandHandler(ABC):
    """Receives the commands to one study and forwards those to its trials; use it as a context manager.

    Args:
        url: the store.
        study: the study's number.
    """

    def __init__(self, url: str, study: int) -> None:
        self._poller = CommandPoller(url, study, self._handle)
        self._lock = threading.Lock()
        self._forward: Callable[[Command], None] | None = None
        self._forwarded: dict[int, Command] = {}

    def __enter__(self) -> Self:
        self._poller.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._poller.__exit__(kind, error, trace)

    def pass_to(self, receive: Callable[[Command], None]) -> None:
        """Forwards the commands to trials from now on, earlier ones without a reply first."""
        with self._lock:
            self._forward = receive
            for command in self._forwarded.values():
                receive(command)

    def answered(self, answer: Reply) -> None:
        """Replies to a command that a trial has carried out."""
        with self._lock:
            command = self._forwarded.pop(answer.command, None)
        if command is not None:
            at = f"after step {answer.step}" if answer.step else "before the first step"
            self._poller.applied(command.id, answer.step, f"{outcome_text(command)} {at}")

    def _to_trial(self, command: Command) -> None:
        with self._lock:
            self._forwarded[command.id] = command
            if self._forward is not None:
                self._forward(command)

    @abstractmethod
    def _handle(self, command: Command) -> None: ...


class SearchCommandHandler(_CommandHandler):
    """Command handler of a search, which may also be stopped or extended as a whole.

    Args:
        url: the store.
        study: the study's number.
        extend: sets the number of trials of the last stage; returns why that is refused, or an empty text.
    """

    def __init__(self, url: str, study: int, extend: Callable[[int], str]) -> None:
        super().__init__(url, study)
        self._extend = extend
        self._trials = 0
        self._stop: Command | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = self._stop if kind is KeyboardInterrupt else None
        if stopped is not None:
            self._poller.applied(stopped.id, 0, "stopped; --resume continues from there")
        super().__exit__(kind, error, trace)
        if kind is KeyboardInterrupt and (stopped is not None or self._trials):
            raise StudyStopped("" if stopped is None else stopped.by, self._trials) from error

    def is_stopped(self) -> bool:
        """Tells whether a command to stop the study has arrived."""
        return self._stop is not None

    def end_if_stopped(self) -> None:
        """Raises if the study is to stop; called at the end of an epoch that no engine trains.

        Raises:
            KeyboardInterrupt: a command to stop the study has arrived.
        """
        if self.is_stopped():
            raise KeyboardInterrupt

    def _handle(self, command: Command) -> None:
        if command.kind is CommandKind.STOP_STUDY:
            self._stop = self._stop or command
        elif command.kind is not CommandKind.EXTEND_STUDY:
            self._to_trial(command)
        elif reason := self._extend(trials := int(command.argument)):
            self._poller.refused(command.id, reason)
        else:
            self._trials = trials
            self._poller.applied(command.id, 0, f"the last stage now has {trials} trials")


class RunCommandHandler(_CommandHandler):
    """Command handler of a study with a single run: stopping the study stops the run.

    Args:
        url: the store.
        study: the study's number.
        refusal: why the run cannot be changed; empty if it can.

    Attributes:
        inbox: the commands that wait for the run.
        requests: the same commands as a trainer takes them.
    """

    def __init__(self, url: str, study: int, refusal: str = "") -> None:
        super().__init__(url, study)
        self._refusal = refusal
        self.inbox = Inbox(self.answered)
        self.requests = requests_of(self.inbox, {ONLY: [0]})
        self.pass_to(self.inbox.put)

    def _handle(self, command: Command) -> None:
        refusal = self._refusal
        if command.kind is CommandKind.EXTEND_STUDY:
            refusal = "a single run has no trials to add: train anew, for longer"
        if refusal:
            self._poller.refused(command.id, refusal)
        elif command.kind is CommandKind.STOP_STUDY:
            self._to_trial(replace(command, kind=CommandKind.STOP, trial=ONLY))
        else:
            self._to_trial(command)


def requests_of(inbox: Inbox, members: Mapping[Key, Sequence[int]]) -> Requests:
    """Returns a function by which a trainer fetches the commands to its trials from an inbox.

    Args:
        inbox: the commands.
        members: key of a trial -> its members.
    """

    def requests(alive: Sequence[int]) -> Sequence[MemberRequest]:
        if inbox.is_empty:
            return ()
        still = set(alive)
        left = {key: [one for one in mine if one in still] for key, mine in members.items()}
        return inbox.requests({key: mine for key, mine in left.items() if mine})

    return requests


def members_of(trials: Sequence[Trial]) -> dict[Key, list[int]]:
    """Maps the key of each trial to its positions in a list that may name it several times.

    Example:
        >>> members_of([Trial(0, 3, {}), Trial(0, 1, {}), Trial(0, 3, {})])
        {(0, 3): [0, 2], (0, 1): [1]}
    """
    found: dict[Key, list[int]] = {}
    for place, trial in enumerate(trials):
        found.setdefault(trial.key, []).append(place)
    return found
