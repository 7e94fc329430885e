"""Requests to live runs, each with an acknowledgement: asked, seen by the run's process, then answered.

A request is one row. Whoever wants something asks; the process that runs the study takes what was asked, in
that order, and answers: applied at a step, refused with a reason, or expired. It is taken once: between asked
and seen stands one conditional update, and nothing but a seen request is ever applied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Select, and_, insert, select, update

from babysit.errors import InputError
from babysit.records import Command, CommandKind, CommandState
from babysit.store.clock import now
from babysit.store.command_rows import (
    OPEN,
    answer,
    commands_where,
    expire_open,
    insert_command,
    take_turn,
)
from babysit.store.engine import BUSY_SECONDS, locate, open_engine
from babysit.store.failures import store_errors
from babysit.store.queries import Key
from babysit.store.reader import Reader
from babysit.store.rows import command_from
from babysit.store.schema import commands, heartbeats, trials
from babysit.store.tables import create_tables

HEARTBEAT_SECONDS = 5.0
"""How often the process of a running study says that it is there, in seconds."""

SILENT_SECONDS = 30.0
"""After so long without a heartbeat a request expires, in seconds."""


class Commands:
    """A store opened to ask, to take and to answer requests; use it as a context manager, or close it.

    May be used from several threads. Every call is one short transaction, committed on return.

    Args:
        url: a path, ``sqlite:///path``, or a database server's URL.
        busy_seconds: how long to wait for another writer, in seconds; default 30.

    Raises:
        StoreError: there is no such store, or it is not one.

    Example:
        >>> import tempfile
        >>> from babysit.records import State
        >>> from babysit.store.writer import Writer
        >>> with tempfile.TemporaryDirectory() as folder, Writer(f"{folder}/runs.db") as writer:
        ...     study = writer.begin_study(
        ...         name="digits", recipe="digits", kind="search", seed=0, fingerprint="f", settings={}
        ...     )
        ...     with Commands(f"{folder}/runs.db") as commands:
        ...         asked = commands.ask(study, CommandKind.STOP_STUDY, by="ann")
        ...         [seen] = commands.take(study)
        ...         commands.applied(seen.id, step=1200)
        ...         print(commands.find(asked.id).state, commands.find(asked.id).step)
        applied 1200
    """

    def __init__(self, url: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._reader = Reader(url)
        self._location = locate(url)
        self._engine = open_engine(self._location, read_only=False, busy_seconds=busy_seconds)
        try:
            if not self._reader.has(commands):  # an older store
                with self._transaction() as connection:
                    create_tables(connection, self._location)
                self._reader.close()
                self._reader = Reader(url)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the store."""
        self._reader.close()
        self._engine.dispose()

    def ask(
        self,
        study: int,
        kind: CommandKind,
        *,
        trial: Key | None = None,
        argument: float = math.nan,
        by: str = "",
    ) -> Command:
        """Asks something of a running study or of one of its trials.

        Args:
            study: the study's number.
            kind: what is asked: stop and scale_learning_rate of a trial, stop_study and extend_study of all.
            trial: (stage, number); for a study that has one trial only, (0, 0).
            argument: the factor of the learning rate, > 0, or the trials that the last stage shall have.
            by: who asks, in words.

        Returns:
            The request, as the store has it.

        Raises:
            InputError: the request is none, or the study or the trial has ended.
            StoreError: there is no such study or trial.
        """
        _refuse_malformed(kind, trial, argument)
        with self._transaction() as connection:
            return insert_command(connection, study, trial, kind, argument, by)

    def find(self, number: int) -> Command:
        """One request, as it stands."""
        return command_from(self._reader.rows(commands_where(commands.c.id == number))[0])

    def take(self, study: int) -> list[Command]:
        """Takes what was newly asked of a study, oldest first, and marks it seen; no one takes it again."""
        asked = and_(commands.c.study == study, commands.c.state == CommandState.ASKED.value)
        # Most often there is nothing, and a look needs no lock.
        if not self._reader.rows(select(commands.c.id).where(asked).limit(1)):
            return []
        with self._transaction() as connection:
            found = [row.id for row in connection.execute(commands_where(asked))]
            taken = [
                number
                for number in found
                if answer(connection, asked & (commands.c.id == number), CommandState.SEEN, detail="")
            ]
            rows = connection.execute(commands_where(commands.c.id.in_(taken)))
            return [command_from(row) for row in rows]

    def applied(self, number: int, *, step: int, detail: str = "") -> None:
        """Says that a seen request took effect after a step.

        A request that was called expired meanwhile, because its process gave no sign for too long, becomes
        applied as well: what happened is the truth.
        """
        seen = commands.c.state.in_([CommandState.SEEN.value, CommandState.EXPIRED.value])
        self._answer(number, seen, CommandState.APPLIED, detail or f"applied at step {step}", step)

    def refused(self, number: int, reason: str) -> None:
        """Says why an open request is not fulfilled."""
        self._answer(number, commands.c.state.in_(OPEN), CommandState.REFUSED, reason, None)

    def expired(self, number: int, reason: str) -> None:
        """Says that an open request came too late."""
        self._answer(number, commands.c.state.in_(OPEN), CommandState.EXPIRED, reason, None)

    def _answer(
        self, number: int, where: ColumnElement[bool], state: CommandState, detail: str, step: int | None
    ) -> None:
        with self._transaction() as connection:
            answer(connection, (commands.c.id == number) & where, state, detail=detail, step=step)

    def beat(self, study: int) -> None:
        """Leaves the heartbeat of a running study: somebody is there to hear a request."""
        with self._transaction() as connection:
            time = now(connection)
            mine = update(heartbeats).where(heartbeats.c.study == study).values(time=time)
            if not connection.execute(mine).rowcount:
                connection.execute(insert(heartbeats).values(study=study, time=time))

    def silence(self, study: int) -> float:
        """Seconds since a study's last heartbeat; NaN if there was none."""
        return silence(self._reader, study)

    def expire_unheard(self, study: int) -> int:
        """Expires the open requests of a study whose process has given no sign for too long.

        Anyone may call it who waits for an answer.

        Returns:
            How many there were.
        """
        with self._reader.connect() as connection:
            if connection.execute(select(commands.c.id).where(_late(connection, study))).first() is None:
                return 0
        with self._transaction() as connection:
            take_turn(connection)
            quiet, late = _silence(connection, study), _late(connection, study)
            told = "no heartbeat was ever left" if math.isnan(quiet) else f"no heartbeat for {quiet:.0f} s"
            return 0 if quiet <= SILENT_SECONDS else expire_open(connection, late, f"nobody listened: {told}")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._errors(), self._engine.begin() as connection:
            yield connection

    def _errors(self) -> AbstractContextManager[None]:
        return store_errors(self._location.text, self._location.path)


def commands_of(reader: Reader, study: int, *, trial: Key | None = None) -> list[Command]:
    """All requests of a study, or of one of its trials, oldest first.

    Args:
        reader: the store.
        study: the study's number.
        trial: (stage, number); None for all of the study.
    """
    one = () if trial is None else (trials.c.stage == trial[0], trials.c.number == trial[1])
    return _found(reader, commands_where(commands.c.study == study, *one))


def changed_commands(reader: Reader, since: int) -> list[Command]:
    """The requests, of all studies, that were made or answered after a cursor.

    Args:
        reader: the store.
        since: a version; the cursor of :func:`babysit.store.queries.changes` counts the same versions.
    """
    return _found(reader, commands_where(commands.c.version > since))


def _found(reader: Reader, statement: Select[Any]) -> list[Command]:
    return [command_from(row) for row in reader.rows(statement)] if reader.has(commands) else []


def silence(reader: Reader, study: int) -> float:
    """Seconds since a study's last heartbeat; NaN if it never left one.

    A running study whose silence is longer than ``SILENT_SECONDS`` hears nothing: its process is
    gone or hangs.
    """
    if not reader.has(heartbeats):
        return math.nan
    with reader.connect() as connection:
        return _silence(connection, study)


def _silence(connection: Connection, study: int) -> float:
    passed = select(now(connection) - heartbeats.c.time).where(heartbeats.c.study == study)
    seconds = connection.execute(passed).scalar()
    return math.nan if seconds is None else max(0.0, float(seconds))


def _late(connection: Connection, study: int) -> ColumnElement[bool]:
    """The open requests that were made so long ago that somebody who listens would have answered."""
    long_ago = commands.c.asked < now(connection) - SILENT_SECONDS
    return and_(commands.c.study == study, commands.c.state.in_(OPEN), long_ago)


def _refuse_malformed(kind: CommandKind, trial: Key | None, argument: float) -> None:
    if kind.is_of_trial and trial is None:
        raise InputError(f"{kind} is asked of one trial", fix="name the trial by its stage and number")
    if not kind.is_of_trial and trial is not None:
        raise InputError(f"{kind} is asked of a whole study", fix="name the study alone")
    if kind is CommandKind.SCALE_LEARNING_RATE and not 0 < argument < math.inf:
        raise InputError(
            f"a learning rate cannot be multiplied with {argument:g}",
            fix="give a factor above 0, e.g. 0.5 to halve it",
        )
    if kind is CommandKind.EXTEND_STUDY and not (argument >= 1 and float(argument).is_integer()):
        raise InputError(
            f"a stage cannot have {argument:g} trials", fix="give a whole number of trials, 1 or more"
        )
    if not kind.has_argument and not math.isnan(argument):
        raise InputError(f"{kind} takes no number, {argument:g} was given", fix="leave it out")
