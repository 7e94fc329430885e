"""Requests to live runs, each with an acknowledgement: asked, seen by the run's process, then answered.

A request is one row. Any process may ask. The process that runs the study takes the requests in their order,
and answers each: applied at a step, refused with a reason, or expired. A request is taken once, by one
conditional update from asked to seen, and only a seen request is applied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from babysit.errors import InputError
from babysit.records import Command, CommandKind, CommandState, TrialKey
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
from babysit.store.reader import Reader
from babysit.store.rows import command_from
from babysit.store.schema import commands, heartbeats, trials
from babysit.store.tables import create_tables

HEARTBEAT_SECONDS = 5.0
"""The time between two heartbeats of a running study's process, in seconds."""

SILENT_SECONDS = 30.0
"""The time without a heartbeat after which a request expires, in seconds."""


class Commands:
    """A store opened to make, to take and to answer requests; use it as a context manager, or close it.

    It may be used from several threads. Every call is one short transaction, committed on return.

    Args:
        url: a path, ``sqlite:///path``, or a database server's URL.
        busy_seconds: the time to wait for another writer, in seconds. Default: 30.

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
        """Closes the store."""
        self._reader.close()
        self._engine.dispose()

    def ask(
        self,
        study: int,
        kind: CommandKind,
        *,
        trial: TrialKey | None = None,
        argument: float = math.nan,
        by: str = "",
    ) -> Command:
        """Makes a request to a running study or to one of its trials.

        Args:
            study: the study's number.
            kind: stop and scale_learning_rate for a trial, stop_study and extend_study for the study.
            trial: (stage, number); for a study with a single trial (0, 0).
            argument: the factor of the learning rate, > 0, or the new number of trials of the last stage.
            by: the origin of the request, in words.

        Returns:
            The stored request.

        Raises:
            InputError: the request is malformed, or the study or the trial has ended.
            StoreError: there is no such study or trial.
        """
        _refuse_malformed(kind, trial, argument)
        with self._transaction() as connection:
            return insert_command(connection, study, trial, kind, argument, by)

    def find(self, number: int) -> Command:
        """Returns one request in its current state."""
        return command_from(self._reader.rows(commands_where(commands.c.id == number))[0])

    def take(self, study: int) -> list[Command]:
        """Takes the new requests to a study, oldest first, and marks them seen; each is taken once."""
        asked = and_(commands.c.study == study, commands.c.state == CommandState.ASKED.value)
        # There is mostly nothing, and a read needs no lock.
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
        """Answers that a seen request took effect after a step.

        A request that expired meanwhile, because its process left no heartbeat for too long, becomes applied
        as well.
        """
        seen = commands.c.state.in_([CommandState.SEEN.value, CommandState.EXPIRED.value])
        self._answer(number, seen, CommandState.APPLIED, detail or f"applied at step {step}", step)

    def refused(self, number: int, reason: str) -> None:
        """Answers that an open request is refused, with the reason."""
        self._answer(number, commands.c.state.in_(OPEN), CommandState.REFUSED, reason, None)

    def expired(self, number: int, reason: str) -> None:
        """Answers that an open request came too late, with the reason."""
        self._answer(number, commands.c.state.in_(OPEN), CommandState.EXPIRED, reason, None)

    def _answer(
        self, number: int, where: ColumnElement[bool], state: CommandState, detail: str, step: int | None
    ) -> None:
        with self._transaction() as connection:
            answer(connection, (commands.c.id == number) & where, state, detail=detail, step=step)

    def beat(self, study: int) -> None:
        """Writes the heartbeat of a running study: its process receives requests."""
        with self._transaction() as connection:
            time = now(connection)
            mine = update(heartbeats).where(heartbeats.c.study == study).values(time=time)
            if not connection.execute(mine).rowcount:
                connection.execute(insert(heartbeats).values(study=study, time=time))

    def silence(self, study: int) -> float:
        """Returns the seconds since a study's last heartbeat; NaN if there was none."""
        return silence(self._reader, study)

    def expire_unanswered(self, study: int) -> int:
        """Expires the open requests to a study whose process left no heartbeat for too long.

        Any process that waits for an answer may call it.

        Returns:
            The number of expired requests.
        """
        with self._reader.connect() as connection:
            if connection.execute(select(commands.c.id).where(_late(connection, study))).first() is None:
                return 0
        with self._transaction() as connection:
            take_turn(connection)
            quiet, late = _silence(connection, study), _late(connection, study)
            if quiet <= SILENT_SECONDS:
                return 0
            since = "no heartbeat so far" if math.isnan(quiet) else f"no heartbeat for {quiet:.0f} s"
            return expire_open(connection, late, f"no process answered: {since}")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with store_errors(self._location.text, self._location.path), self._engine.begin() as connection:
            yield connection


def commands_of(reader: Reader, study: int, *, trial: TrialKey | None = None) -> list[Command]:
    """Lists all requests of a study, or of one of its trials, oldest first.

    Args:
        reader: the store.
        study: the study's number.
        trial: (stage, number); None for all of the study.
    """
    if not reader.has(commands):
        return []
    one = () if trial is None else (trials.c.stage == trial[0], trials.c.number == trial[1])
    return [command_from(row) for row in reader.rows(commands_where(commands.c.study == study, *one))]


def silence(reader: Reader, study: int) -> float:
    """Returns the seconds since a study's last heartbeat; NaN if there was none.

    A running study whose silence is longer than ``SILENT_SECONDS`` receives nothing: its process is
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
    """Selects open requests that are so old that a live process would have answered them."""
    long_ago = commands.c.asked < now(connection) - SILENT_SECONDS
    return and_(commands.c.study == study, commands.c.state.in_(OPEN), long_ago)


def _refuse_malformed(kind: CommandKind, trial: TrialKey | None, argument: float) -> None:
    if kind.is_of_trial and trial is None:
        raise InputError(f"{kind} is a request to one trial", fix="name the trial by its stage and number")
    if not kind.is_of_trial and trial is not None:
        raise InputError(f"{kind} is a request to a whole study", fix="name the study alone")
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
