"""The rows of commands: how one is asked and answered within a transaction.

Whoever changes one takes the next version first. That makes writers take turns on every database, so that
no request slips in between a study's end and the answer to those that were still open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, select, update

from babysit.errors import InputError, StoreError
from babysit.records import Command, CommandKind, CommandState, State
from babysit.store.active import next_versions
from babysit.store.clock import now
from babysit.store.rows import command_from
from babysit.store.schema import commands, run_summary, studies, trials

RETRAINING = "retraining"
"""Where an unfinished study's outcome names the finished trials that train once more, as [stage, number]."""

BEGUN_AGAIN = "; the run was begun again since, without it"

OPEN = [state.value for state in CommandState if state.is_open]


def commands_where(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Commands with the stage and number of their trials, oldest first."""
    columns = select(commands, trials.c.stage, trials.c.number)
    return columns.outerjoin_from(commands, trials).where(*conditions).order_by(commands.c.id)


def insert_command(
    connection: Connection,
    study: int,
    key: tuple[int, int] | None,
    kind: CommandKind,
    argument: float,
    by: str,
) -> Command:
    """Writes a request, if there is a live run to hear it.

    Raises:
        InputError: the study or the trial has ended.
        StoreError: there is no such study or trial.
    """
    version = take_turn(connection)
    again = _live_study(connection, study).get(RETRAINING) or ()
    row = None if key is None else _live_trial(connection, study, key, again)
    values = {
        "study": study,
        "trial": row,
        "kind": kind.value,
        "argument": argument,
        "asked_by": by,
        "asked": now(connection),
        "state": CommandState.ASKED.value,
        "step": 0,
        "detail": "",
        "answered": math.nan,
        "version": version,
    }
    made = connection.execute(insert(commands).values(values)).inserted_primary_key
    number = 0 if made is None else int(made[0])
    return command_from(connection.execute(commands_where(commands.c.id == number)).one())


def _live_study(connection: Connection, study: int) -> Mapping[str, Any]:
    """What a running study's outcome says so far."""
    found = connection.execute(
        select(studies.c.state, studies.c.outcome).where(studies.c.id == study)
    ).first()
    if found is None:
        raise StoreError(f"there is no study {study} in the store", fix="`babysit runs` lists them")
    if State(found.state) is not State.RUNNING:
        raise InputError(
            f"study {study} is {found.state}: nobody is there to hear a request",
            fix="only running studies can be touched; the same command with --resume goes on with a stopped "
            "search, and with more trials extends a complete one",
        )
    outcome: Mapping[str, Any] = found.outcome
    return outcome


def _live_trial(
    connection: Connection, study: int, key: tuple[int, int], again: Sequence[Sequence[int]]
) -> int:
    mine = (trials.c.study == study) & (trials.c.stage == key[0]) & (trials.c.number == key[1])
    found = connection.execute(select(trials.c.id, run_summary.c.state).join(run_summary).where(mine)).first()
    if found is None:
        raise StoreError(
            f"study {study} has no trial {key[0]}/{key[1]}", fix=f"`babysit show {study}` lists its trials"
        )
    if State(found.state) not in (State.RUNNING, State.WAITING) and list(key) not in again:
        raise InputError(
            f"trial {study}/{key[0]}/{key[1]} is {found.state}: there is nothing left to touch",
            fix=f"name a running trial; `babysit show {study}` lists them",
        )
    return int(found.id)


def take_turn(connection: Connection) -> int:
    """The next version; every other writer waits until this transaction has ended."""
    return next(iter(next_versions(connection, 1)))


def answer(
    connection: Connection,
    wanted: ColumnElement[bool],
    state: CommandState,
    *,
    detail: str,
    step: int | None = None,
) -> int:
    """Gives the commands that fulfil a condition their next state; those that do not stay as they are.

    Returns:
        How many were changed.
    """
    values: dict[str, Any] = {"state": state.value, "detail": detail, "version": take_turn(connection)}
    values |= {} if step is None else {"step": step}
    values |= {} if state.is_open else {"answered": now(connection)}
    return connection.execute(update(commands).where(wanted).values(values)).rowcount


def expire_open(connection: Connection, mine: ColumnElement[bool], detail: str) -> int:
    """Expires the commands of a study or of trials that nobody will answer any more; most often none.

    Args:
        connection: in a transaction that has taken its turn.
        mine: which commands.
        detail: why nobody answers.

    Returns:
        How many there were.
    """
    some = mine & commands.c.state.in_(OPEN)
    if connection.execute(select(commands.c.id).where(some).limit(1)).first() is None:
        return 0
    return answer(connection, some, CommandState.EXPIRED, detail=detail)


def note_started_over(connection: Connection, rows: Sequence[int]) -> None:
    """Says of what was applied to runs that they were begun again since, without it."""
    mine = commands.c.trial.in_(rows) & (commands.c.state == CommandState.APPLIED.value)
    values = {"detail": commands.c.detail + BEGUN_AGAIN, "version": take_turn(connection)}
    once = mine & ~commands.c.detail.endswith(BEGUN_AGAIN, autoescape=True)
    connection.execute(update(commands).where(once).values(values))
