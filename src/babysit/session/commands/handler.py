"""What a running search or training does with the commands that it hears."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from babysit.records import Command, CommandKind, Trial
from babysit.session.commands.poll import Listener
from babysit.training.requests import Request, Requests
from babysit.tuning.engines.inbox import Answer, Inbox

Key = tuple[int, int]

ONLY: Key = (0, 0)
"""The trial of a study that has only one."""


GOES_ON = "--trials "
"""Begins the note on an exception that ends an extended search: what its own command must add to go on."""


class StudyStopped(KeyboardInterrupt):
    """Somebody asked for a study's end, which comes as Ctrl-C would bring it; the text says who."""


def told(command: Command) -> str:
    """What was done, in words, without the step.

    Example:
        >>> from babysit.records import CommandState
        >>> told(Command(1, 1, (0, 0), CommandKind.SCALE_LEARNING_RATE, 0.5, "", 0.0, CommandState.SEEN))
        'learning rate x 0.5'
    """
    scales = command.kind is CommandKind.SCALE_LEARNING_RATE
    return f"learning rate x {command.argument:g}" if scales else "stopped"


class _Desk(ABC):
    """Hears the commands to one study and passes those to its trials on; use it as a context manager.

    Args:
        url: of the store.
        study: the study's number.
    """

    def __init__(self, url: str, study: int) -> None:
        self._listener = Listener(url, study, self._heed)
        self._lock = threading.Lock()
        self._pass_on: Callable[[Command], None] | None = None
        self._passed: dict[int, Command] = {}

    def __enter__(self) -> Self:
        self._listener.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.__exit__(kind, error, trace)

    def pass_to(self, engine: Callable[[Command], None]) -> None:
        """From here on commands to trials go there, those that came before and are not answered first."""
        with self._lock:
            self._pass_on = engine
            for command in self._passed.values():
                engine(command)

    def answered(self, answer: Answer) -> None:
        """A command to a trial was done."""
        with self._lock:
            command = self._passed.pop(answer.command, None)
        if command is not None:
            at = f"after step {answer.step}" if answer.step else "before the first step"
            self._listener.applied(command.id, answer.step, f"{told(command)} {at}")

    def _pass(self, command: Command) -> None:
        with self._lock:
            self._passed[command.id] = command
            if self._pass_on is not None:
                self._pass_on(command)

    @abstractmethod
    def _heed(self, command: Command) -> None: ...


class SearchDesk(_Desk):
    """The desk of a search, which may also be ended or extended.

    Args:
        url: of the store.
        study: the study's number.
        extend: asked for so many trials in the last stage; says why that cannot be, or nothing.
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
            self._listener.applied(stopped.id, 0, "stopped; --resume goes on from there")
        super().__exit__(kind, error, trace)
        ending = error if stopped is None else StudyStopped(stopped.by)
        if self._trials and ending is not None:
            ending.add_note(f"{GOES_ON}{self._trials}")
        if stopped is not None and ending is not None:
            raise ending from error

    def is_stopped(self) -> bool:
        """Whether the study's end was asked for."""
        return self._stop is not None

    def end_if_stopped(self) -> None:
        """For whoever trains without an engine, at the end of an epoch.

        Raises:
            KeyboardInterrupt: the study's end was asked for.
        """
        if self.is_stopped():
            raise KeyboardInterrupt

    def _heed(self, command: Command) -> None:
        if command.kind is CommandKind.STOP_STUDY:
            self._stop = self._stop or command
        elif command.kind is CommandKind.EXTEND_STUDY:
            self._grow(command)
        else:
            self._pass(command)

    def _grow(self, command: Command) -> None:
        trials = int(command.argument)
        reason = self._extend(trials)
        if reason:
            self._listener.refused(command.id, reason)
        else:
            self._trials = trials
            self._listener.applied(command.id, 0, f"the last stage now has {trials} trials")


class RunDesk(_Desk):
    """The desk of a study that has one run only: the end of the study is the end of the run.

    Args:
        url: of the store.
        study: the study's number.
        refusal: why nothing can be done to the run; empty if it can.

    Attributes:
        inbox: what is asked of the run.
        requests: the same for its trainer.
    """

    def __init__(self, url: str, study: int, refusal: str = "") -> None:
        super().__init__(url, study)
        self._refusal = refusal
        self.inbox = Inbox(self.answered)
        self.requests = requests_of(self.inbox, {ONLY: [0]})
        self.pass_to(self.inbox.put)

    def _heed(self, command: Command) -> None:
        is_extension = command.kind is CommandKind.EXTEND_STUDY
        refusal = (
            "a single run has no trials to add: train anew, for longer" if is_extension else self._refusal
        )
        if refusal:
            self._listener.refused(command.id, refusal)
        elif command.kind is CommandKind.STOP_STUDY:
            self._pass(replace(command, kind=CommandKind.STOP, trial=ONLY))
        else:
            self._pass(command)


def requests_of(inbox: Inbox, members: Mapping[Key, Sequence[int]]) -> Requests:
    """What waits in an inbox for the trials of a trainer.

    Args:
        inbox: of the commands.
        members: key of a trial -> its members.
    """

    def asked(alive: Sequence[int]) -> Sequence[Request]:
        if inbox.is_empty:
            return ()
        still = set(alive)
        left = {key: [one for one in mine if one in still] for key, mine in members.items()}
        return inbox.requests({key: mine for key, mine in left.items() if mine})

    return asked


def members_of(trials: Sequence[Trial]) -> dict[Key, list[int]]:
    """Key of a trial -> the places where it stands in a list that may name it several times.

    Example:
        >>> members_of([Trial(0, 3, {}), Trial(0, 1, {}), Trial(0, 3, {})])
        {(0, 3): [0, 2], (0, 1): [1]}
    """
    found: dict[Key, list[int]] = {}
    for place, trial in enumerate(trials):
        found.setdefault(trial.key, []).append(place)
    return found
